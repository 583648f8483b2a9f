"""Cron expressions: is this one that df.wait_for_schedule accepts? The same rules and words as df_internal.cron_problem in SQL.

Five fields (minute, hour, day of month, month, day of week), each a list of `*`, numbers, names of months or weekdays
and ranges, with an optional step. Before them may stand the zone that they are meant in:

    CRON_TZ=Europe/Berlin 0 6 * * MON-FRI
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ZONE = "CRON_TZ="
_HELP = "Write five fields, for example '0 6 * * MON' for every Monday at six."


class BadCron(NamedTuple):
    """What is wrong, where in the expression, and what to do."""

    detail: str
    start: int
    end: int
    help: str = _HELP


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
    zoned = bool(found) and found[0].group().startswith(_ZONE)
    if zoned:
        zone = found.pop(0)
        wrong_zone = _bad_zone(zone.group().removeprefix(_ZONE), zone.start() + len(_ZONE))
        if wrong_zone is not None:
            return wrong_zone
    if len(found) != len(_FIELDS):
        count = len(found) if zoned else max(1, len(found))
        detail = f"expected 5 fields (minute hour day-of-month month day-of-week), found {count}"
        return BadCron(detail, 0, len(expression))
    for field, place in zip(_FIELDS, found, strict=True):
        at = place.start()
        for item in place.group().lower().split(","):
            wrong = _bad_item(field, item)
            if wrong is not None:
                return BadCron(wrong, at, at + len(item))
            at += len(item) + 1
    return None


def _bad_zone(name: str, at: int) -> BadCron | None:
    """What is wrong with the name of a time zone, which begins at `at`. Names are those of the IANA database."""
    from difflib import get_close_matches  # lazy: start-up; few schedules name a zone
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder of zones, a path, no zone at all
        places = {zone.lower().rpartition("/")[2]: zone for zone in sorted(available_timezones(), reverse=True)}
        zones = {zone.lower(): zone for zone in available_timezones()}
        close = get_close_matches(name.lower(), [*zones, *places], n=1)
        near = [(zones | places)[word] for word in close]
        advice = f"Did you mean {near[0]}?" if near else "Write a name such as Europe/Berlin, or UTC."
        return BadCron(f"there is no time zone '{name}'", at, at + len(name), advice)
    return None


def _bad_item(field: _Field, item: str) -> str | None:
    atom = f"(?:[0-9]{{1,2}}{field.words})"
    if re.fullmatch(rf"(?:\*|{atom}(?:-{atom})?)(?:/[1-9][0-9]?)?", item) is None:
        return f"'{item}' is not a {field.name}"
    for number in re.findall("[0-9]+", item.split("/", maxsplit=1)[0]):
        if not field.low <= int(number) <= field.high:
            return f"{field.name} {number} is outside of {field.low} to {field.high}"
    return None
