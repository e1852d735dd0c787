"""How commands speak: errors without a traceback, sizes, paths, pictures, and progress on a terminal or in a log."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from geo_assets.domain.errors import GeoAssetsError, ResourceError

_BAR_STEPS = 1000


def tells_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose deliberate errors are printed without a traceback and end it with exit code 2."""

    @wraps(command)
    def telling(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except GeoAssetsError as error:
            click.secho(f"{error}", fg="red", err=True)
            sys.exit(2)

    return telling


@contextmanager
def interruptible(kept: str = "finished work is kept; run the same command again") -> Iterator[None]:
    """Ends the program with 130, as shells expect of Ctrl-C, and says what became of the work."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Interrupted: {kept}.", err=True)
        sys.exit(130)


@contextmanager
def untold(logger: str) -> Iterator[None]:
    """Keeps warnings of a logger from the terminal, where the command says the same itself."""
    silent = logging.NullHandler()
    logging.getLogger(logger).addHandler(silent)
    try:
        yield
    finally:
        logging.getLogger(logger).removeHandler(silent)


@contextmanager
def steps_shown() -> Iterator[Callable[[str, float], None]]:
    """What shows how far a composite is: a bar on a terminal; else, as in a log, a line for every step."""
    if not sys.stderr.isatty():
        yield _steps_in_lines()
        return
    with click.progressbar(length=_BAR_STEPS, width=30, label="", show_pos=False, file=sys.stderr) as bar:

        def advance(step: str, share: float) -> None:
            bar.label = step
            bar.update(max(round(share * _BAR_STEPS) - bar.pos, 0))

        yield advance
        bar.update(_BAR_STEPS - bar.pos)


def _steps_in_lines() -> Callable[[str, float], None]:
    """Writes a line when a step begins, and at every quarter of the whole."""
    told: tuple[str, int] = ("", 0)

    def tell(step: str, share: float) -> None:
        nonlocal told
        if (step, int(4 * share)) != told:
            told = (step, int(4 * share))
            click.echo(f"{share:4.0%} {step}", err=True)

    return tell


def size_of(amount: float) -> str:
    """Bytes in the unit that fits: `12 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def duration_of(seconds: float) -> str:
    """Seconds in the unit that fits: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def short_path(path: Path) -> str:
    """The path as a user would type it here."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def write_picture(path: Path, content: bytes, *, option: str = "--png") -> None:
    """Write a picture or page; `ResourceError` names the remedy, an option of the command, when it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ResourceError(
            f"Picture {path}: cannot be written ({error.strerror}). Name another file with {option}, "
            "or another folder with GEO_ASSETS_HOME."
        ) from None
