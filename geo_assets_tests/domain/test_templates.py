import pytest

from geo_assets.domain.templates import (
    COMMAND_PLACEHOLDERS,
    PATH_PLACEHOLDERS,
    command_words,
    filled,
    placeholders,
    plain_value,
)


def test_a_command_is_split_before_anything_is_filled_in():
    words = command_words("fmask --in '{bands}' -o {output}.img --title 'two words'")
    assert words == ("fmask", "--in", "{bands}", "-o", "{output}.img", "--title", "two words")
    assert filled(words[2], {"bands": "/a b; rm x"}) == "/a b; rm x"


def test_values_are_not_filled_in_a_second_time():
    assert filled("{scene}-{tile}{{}}", {"scene": "{tile}", "tile": "33TVL"}) == "{tile}-33TVL{}"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (
            "fmask {safe} {outputs}",
            r"\{outputs\}, expected one of \{bands\}, \{granule\}, \{output\}, \{safe\}, \{scene\}",
        ),
        ("fmask {safe!r}", r"\{safe\}, expected"),
        ("fmask {safe:>10}", r"\{safe\}, expected"),
        ("fmask {safe.parent}", r"\{safe.parent\}, expected"),
        ("fmask {safe", "braces"),
        ("fmask 'unfinished {output}", "cannot be split"),
        ("", "empty command"),
        ("{safe}/run {output}", "as the program"),
        ("fmask {bands}", "does not say where to write"),
        ("sh -c 'cd {granule} && run'", "read as code"),
        ("sh -c 'run {output}'", "read as code"),
        ("/bin/bash -ec {output}", "read as code"),
        ("env python3 -c {output}", "read as code"),
        ("run $({output})", "read as code"),
    ],
)
def test_a_command_that_cannot_be_or_would_run_a_value_as_code_is_refused(template, problem):
    with pytest.raises(ValueError, match=problem):
        command_words(template)


@pytest.mark.parametrize(
    "template",
    [
        "sh -c 'cd \"$1\" && exec run_Fmask_4_6.sh /opt/mcr' sh {granule}",
        "python3 -m tool -c {bands} -o {output}/",
        "fmask.py -i {safe} --output={output}/ --threads {threads}",
    ],
)
def test_a_command_that_hands_values_over_as_words_is_taken(template):
    assert command_words(template)


@pytest.mark.parametrize("value", ["", "-rf", "..", "../x", "a/b", "a b", "a;b", "$(x)", "a\nb", "ä", "a\0"])
def test_a_value_that_could_leave_a_folder_or_read_as_an_option_is_refused(value):
    with pytest.raises(ValueError, match="found scene"):
        plain_value("scene", value)


def test_a_path_knows_scene_tile_and_date_only():
    assert placeholders("qa/{tile}/{date}_{scene}.tif", PATH_PLACEHOLDERS) == {"tile", "date", "scene"}
    with pytest.raises(ValueError, match="safe"):
        placeholders("{safe}/x.tif", PATH_PLACEHOLDERS)
    assert set(COMMAND_PLACEHOLDERS) == {"bands", "granule", "output", "safe", "scene", "threads"}
