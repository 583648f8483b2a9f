"""When a cron expression fires next: five fields, Vixie's rules, in UTC or in a zone that the expression names.

    0 6 * * MON-FRI                          six o'clock UTC
    CRON_TZ=Europe/Berlin 0 6 * * MON-FRI    six o'clock in Berlin, summer and winter

cronsim (BSD) knows the rules, days of the week and daylight saving included; we add that there are exactly five
fields, the zone and the wording.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE = "CRON_TZ="


def next_tick(expression: str, after: datetime) -> datetime:
    """First time strictly after `after` (aware). ValueError when there is none or the expression is none."""
    from cronsim import CronSim, CronSimError

    zone, fields = split(expression)
    if len(fields.split()) != 5:
        raise ValueError(f"'{expression}' does not have five fields")
    try:
        return next(CronSim(fields, after.astimezone(zone))).astimezone(UTC)
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"No upcoming schedule found for '{expression}'") from error


def split(expression: str) -> tuple[tzinfo, str]:
    """The zone of an expression, and its fields. ValueError when there is no such zone."""
    first, *fields = expression.split(maxsplit=1) or [""]
    if not first.startswith(ZONE):
        return UTC, expression
    name = first.removeprefix(ZONE)
    try:
        return ZoneInfo(name), "".join(fields)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: Europe is a folder of zones
        raise ValueError(f"there is no time zone '{name}'") from error
