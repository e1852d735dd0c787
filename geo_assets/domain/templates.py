"""Templates of the region file: text with placeholders, such as a path or the command of a program."""

import re
import shlex
from collections.abc import Collection, Mapping
from itertools import takewhile
from string import Formatter

COMMAND_PLACEHOLDERS = ("bands", "granule", "output", "safe", "scene", "threads")
"""What a command may name: folder of top-of-atmosphere bands, granule folder in a SAFE folder, where to write, SAFE
folder, scene id, number of threads."""

PATH_PLACEHOLDERS = ("date", "scene", "tile")
"""What a path may name: day of acquisition as YYYYMMDD, scene id, tile."""

_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What comes from a catalogue and fills a template: no separator, nothing that reads as an option or as `..`."""

_INTERPRETERS = re.compile(r"(?:ba|da|z|k|fi|c|tc)?sh|python[0-9.]*|perl|ruby|awk|gawk")
_CODE_OPTION = re.compile(r"-[A-Za-z]*[ce]")
_MEANS_SOMETHING_TO_A_SHELL = re.compile(r"[\s;&|$`'\"()<>*?!#\\]")


def placeholders(template: str, known: Collection[str]) -> frozenset[str]:
    """The placeholders of a template; literal braces are written twice.

    Raises
    ------
    ValueError
        A placeholder that is not `known`, or braces that do not match.
    """
    try:
        parsed = list(Formatter().parse(template))
    except ValueError:
        raise ValueError(f"found braces that do not match in {template!r}; literal ones are written twice") from None
    named = [(field, spec or conversion) for _, field, spec, conversion in parsed if field is not None]
    allowed = ", ".join(f"{{{name}}}" for name in sorted(known))
    for field, extra in named:
        if field not in known or extra:
            raise ValueError(
                f"found the placeholder {{{field}}}, expected one of {allowed}; literal braces are written twice"
            )
    return frozenset(field for field, _ in named)


def command_words(template: str) -> tuple[str, ...]:
    """The words of a command, still with their placeholders: no value can add a word, and no shell reads them.

    Parameters
    ----------
    template
        As one would type it: quotes keep blanks together. Pipes, `>` and `$NAME` have no meaning.

    Raises
    ------
    ValueError
        Not a command, an unknown placeholder, nothing that says where the result will be, or a placeholder inside the
        program text of a shell or another interpreter, which would read a value as code.
    """
    try:
        words = tuple(shlex.split(template))
    except ValueError as error:
        raise ValueError(f"found a command that cannot be split into words ({error}); close its quotes") from None
    if not words:
        raise ValueError("found an empty command; name a program and its arguments")
    used = [placeholders(word, COMMAND_PLACEHOLDERS) for word in words]
    if used[0]:
        raise ValueError(f"found {words[0]!r} as the program, expected a name without placeholders")
    if not frozenset().union(*used) & {"output", "safe", "granule"}:
        raise ValueError("found a command that does not say where to write; give it {output}, or {safe} or {granule}")
    for index, word in enumerate(words):
        if used[index] and _is_program_text(words, index):
            raise ValueError(
                f"found a placeholder inside the word {word!r}, which a shell or interpreter could read as code; "
                "hand it over as a word of its own: sh -c 'cd \"$1\" && exec program' sh {granule}"
            )
    return words


def _is_program_text(words: tuple[str, ...], index: int) -> bool:
    """Whether a word may be code: it has signs that mean something to a shell, or follows an interpreter's `-c`."""
    if _MEANS_SOMETHING_TO_A_SHELL.search(words[index]):
        return True
    options = list(takewhile(lambda word: word.startswith("-"), reversed(words[:index])))
    program = words[index - len(options) - 1] if len(options) < index else ""
    runs_code = any(_CODE_OPTION.fullmatch(option) for option in options)
    return runs_code and _INTERPRETERS.fullmatch(program.rpartition("/")[2]) is not None


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template, or a word of one, with `values` for its placeholders; in one pass, so values stay as they are."""
    return "".join(
        literal + (values[field] if field is not None else "") for literal, field, _, _ in Formatter().parse(template)
    )


def plain_value(name: str, value: str) -> str:
    """A value from a catalogue that may fill a template.

    Raises
    ------
    ValueError
        Other signs than letters, digits, `.`, `_` and `-`, or not a letter or digit at first.
    """
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"found {name} {value!r:.80}, expected letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return value
