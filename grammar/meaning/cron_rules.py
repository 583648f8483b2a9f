"""Cron expressions: is this one that df.wait_for_schedule accepts? The same rules and words as df_internal.cron_problem in SQL.

Five fields (minute, hour, day of month, month, day of week), each a list of `*`, numbers, names of months or weekdays
and ranges, with an optional step. Before them may stand the zone that they are meant in:

    CRON_TZ=Europe/Berlin 0 6 * * MON-FRI
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pgweave.grammar.catalogue import phrase

_ZONE = "CRON_TZ="


class BadCron(NamedTuple):
    """What is wrong, where in the expression, and what to do. detail, advice: phrases of the catalogue, filled."""

    detail: str
    start: int
    end: int
    advice: str


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    words: str = ""

    @property
    def called(self) -> str:
        """Its name in a sentence: `day of month`."""
        return self.name.replace("-", " ")


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, "|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"),
    # Sunday is 0 and 7.
    _Field("day-of-week", 0, 7, "|sun|mon|tue|wed|thu|fri|sat"),
)


_MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * SUN",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
"""Names of other crons, and what they stand for."""


def problem(expression: str) -> BadCron | None:
    """What keeps PostgreSQL from taking this expression; None if nothing does."""
    found = list(re.finditer(r"[^ \t]+", expression))
    # Case counts, as in df_internal.cron_problem: cron_tz=UTC is one field too many.
    zoned = bool(found) and found[0].group().startswith(_ZONE)
    if zoned:
        zone = found.pop(0)
        wrong_zone = _bad_zone(zone.group().removeprefix(_ZONE), zone.start() + len(_ZONE))
        if wrong_zone is not None:
            return wrong_zone
    if len(found) != len(_FIELDS):
        # regexp_split_to_array makes one empty field of an empty text, and its count is in the message of both.
        count = len(found) if zoned else max(1, len(found))
        same = _MACROS.get(expression.strip().lower())
        advice = phrase("write-macro", same=same) if same else phrase("write-fields")
        return BadCron(phrase("cron-fields", count=count), 0, len(expression), advice)
    for field, place in zip(_FIELDS, found, strict=True):
        at = place.start()
        for item in place.group().lower().split(","):
            wrong = _bad_item(field, item)
            if wrong is not None:
                return BadCron(wrong, at, at + len(item), phrase("write-fields"))
            # 1: the comma.
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
        advice = phrase("near-zone", zone=near[0]) if near else phrase("write-zone")
        return BadCron(phrase("cron-zone", zone=name), at, at + len(name), advice)
    return None


def _bad_item(field: _Field, item: str) -> str | None:
    # words begins with `|`, so that the names are further alternatives beside the number, and an empty one adds
    # nothing.
    atom = f"(?:[0-9]{{1,2}}{field.words})"
    if re.fullmatch(rf"(?:\*|{atom}(?:-{atom})?)(?:/[1-9][0-9]?)?", item) is None:
        return phrase("cron-item", item=item, field=field.called)
    for number in re.findall("[0-9]+", item.split("/", maxsplit=1)[0]):
        if not field.low <= int(number) <= field.high:
            return phrase("cron-range", field=field.called, number=number, low=field.low, high=field.high)
    return None


_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month, in a leap year for February


def impossible_day(expression: str) -> tuple[int, int] | None:
    """Where an expression that is right asks for days that no year has; None if there are such days.

    `0 0 31 2 *` and `0 0 31 4,6,9,11 *` never come. With a weekday beside it the day is only one of two ways to come.
    """
    fields = list(re.finditer(r"[^ \t]+", expression))[-len(_FIELDS) :]
    day, month, weekday = fields[2], fields[3], fields[4]
    # `0 0 31 2 MON` comes on every Monday of February: cron joins the two day fields with OR unless one begins
    # with `*`.
    if weekday.group()[0] != "*" and day.group()[0] != "*":
        return None
    days, months = (_values(_FIELDS[at], fields[at].group().lower()) for at in (2, 3))
    if any(day <= _LONGEST[month - 1] for month in months for day in days):
        return None
    return day.start(), month.end()


def _values(field: _Field, written: str) -> set[int]:
    """The numbers that a field stands for: `1-5/2,10` is 1, 3, 5 and 10. A range that ends before it begins goes round."""
    words = {word: at for at, word in enumerate(field.words.split("|")[1:], start=field.low)}
    found: set[int] = set()
    for item in written.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if first == "*":
            low, high = field.low, field.high
        else:
            low = words[first] if first in words else int(first)
            # `5/10` means from 5 to the end in steps of 10, `5` alone is 5.
            high = (words[last] if last in words else int(last)) if last else (field.high if step else low)
        # `fri-mon` is 5, 6, 7, 0, 1: the range runs past the end and the last line takes it back by the size of
        # the field.
        high = high if high >= low else high + field.high - field.low + 1
        every = range(low, high + 1, int(step or 1))
        found.update((at - field.low) % (field.high - field.low + 1) + field.low for at in every)
    return found
