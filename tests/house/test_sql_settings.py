"""The schema's SQL means the same under every setting of a session that calls it."""

from __future__ import annotations

import re
from pathlib import Path

SCHEMA = Path(__file__).parents[2] / "runtime" / "sql" / "schema"
_COMMENT = re.compile(r"--[^\n]*")
_STRING = re.compile(r"(?<![A-Za-z0-9_])([eE]?)'((?:[^']|'')*)'")


def test_a_backslash_stands_only_in_strings_that_say_what_it_means() -> None:
    """In '..' it is an escape or not, by standard_conforming_strings of whoever calls the function."""
    found = [
        f"{path.name}: {string[0]}"
        for path in sorted(SCHEMA.glob("*.sql"))
        for string in _STRING.finditer(_COMMENT.sub("", path.read_text(encoding="utf-8")))
        if "\\" in string[2] and not string[1]
    ]
    assert found == []
