"""Runs every `benchmarks/bench_NAME.py`, or those named as arguments, and prints one table.

A benchmark module has `main() -> Sequence[Measurement]`. A missed target is shown, not raised: times belong
to the machine that they were taken on.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from benchmarks.measurement import Measurement

PREFIX = "bench_"


def benchmark_names() -> tuple[str, ...]:
    """The names that `python -m benchmarks NAME` knows, sorted."""
    modules = Path(__file__).parent.glob(f"{PREFIX}*.py")
    return tuple(sorted(module.stem.removeprefix(PREFIX) for module in modules))


def table(measurements: Iterable[Measurement]) -> str:
    """The measurements as aligned text, one line each, under a heading."""
    rows = [("what", "value", "target", "")]
    for measured in measurements:
        target = "" if measured.target is None else f"{measured.target:.3g} {measured.unit}"
        rows.append((measured.what, f"{measured.value:.3g} {measured.unit}", target, measured.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main(chosen: Iterable[str]) -> int:
    """Exit code: 0, or 2 where a name is unknown."""
    known = benchmark_names()
    names = tuple(chosen) or known
    if unknown := sorted(set(names) - set(known)):
        print(f"No benchmark {', '.join(unknown)}; there are: {', '.join(known) or 'none'}.", file=sys.stderr)
        return 2
    measurements: list[Measurement] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        measurements += import_module(f"benchmarks.{PREFIX}{name}").main()
    print(table(measurements))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
