"""When a cron expression fires next: five fields, Vixie's rules, in UTC.

cronsim (BSD) knows the rules; we add that there are exactly five fields, and the wording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def next_tick(expression: str, after: datetime) -> datetime:
    """First time strictly after `after` (aware). ValueError when there is none or the expression is none."""
    from cronsim import CronSim, CronSimError

    if len(expression.split()) != 5:
        raise ValueError(f"'{expression}' does not have five fields")
    try:
        return next(CronSim(expression, after))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"No upcoming schedule found for '{expression}'") from error
