"""Cron expressions: is this one that df.wait_for_schedule accepts? The same rules and words as df.cron_problem in SQL.

Five fields (minute, hour, day of month, month, day of week), each a list of `*`, numbers, names of months or weekdays
and ranges, with an optional step.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class BadCron(NamedTuple):
    """What is wrong, and where in the expression."""

    detail: str
    start: int
    end: int


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    words: str = ""


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, "|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"),
    _Field("day of week", 0, 7, "|sun|mon|tue|wed|thu|fri|sat"),
)


def problem(expression: str) -> BadCron | None:
    """What keeps PostgreSQL from taking this expression; None if nothing does."""
    found = list(re.finditer(r"[^ \t]+", expression))
    if len(found) != len(_FIELDS):
        detail = f"expected 5 fields (minute hour day-of-month month day-of-week), found {max(1, len(found))}"
        return BadCron(detail, 0, len(expression))
    for field, place in zip(_FIELDS, found, strict=True):
        at = place.start()
        for item in place.group().lower().split(","):
            wrong = _bad_item(field, item)
            if wrong is not None:
                return BadCron(wrong, at, at + len(item))
            at += len(item) + 1
    return None


def _bad_item(field: _Field, item: str) -> str | None:
    atom = f"(?:[0-9]{{1,2}}{field.words})"
    if re.fullmatch(rf"(?:\*|{atom}(?:-{atom})?)(?:/[1-9][0-9]?)?", item) is None:
        return f"'{item}' is not a {field.name}"
    for number in re.findall("[0-9]+", item.split("/", maxsplit=1)[0]):
        if not field.low <= int(number) <= field.high:
            return f"{field.name} {number} is outside of {field.low} to {field.high}"
    return None
