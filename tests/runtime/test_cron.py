"""When schedules fire: Vixie's rules, named zones, daylight saving, and one tick for many that were missed."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from pgweave.runtime.worker.cron_times import next_tick


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2026-11-22T10:00:00", "2026-11-22T10:01:00"),
        ("* * * * *", "2026-11-22T10:00:59.999", "2026-11-22T10:01:00"),
        ("*/15 * * * *", "2026-11-22T10:15:00", "2026-11-22T10:30:00"),
        ("0 6 * * MON-FRI", "2026-11-20T06:00:00", "2026-11-23T06:00:00"),
        ("0 6 * * 0", "2026-11-21T00:00:00", "2026-11-22T06:00:00"),
        ("0 6 * * 7", "2026-11-21T00:00:00", "2026-11-22T06:00:00"),
        ("0 0 13 * 5", "2026-11-01T00:00:00", "2026-11-06T00:00:00"),  # day of month OR day of week
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("CRON_TZ=Europe/Berlin 0 6 * * *", "2026-11-22T00:00:00", "2026-11-22T05:00:00"),  # winter: UTC+1
        ("CRON_TZ=Europe/Berlin 0 6 * * *", "2026-07-01T00:00:00", "2026-07-01T04:00:00"),  # summer: UTC+2
        (
            "CRON_TZ=Europe/Berlin 30 2 * * *",
            "2026-03-28T12:00:00",
            "2026-03-29T01:00:00",
        ),  # there is no 02:30 that night
        ("CRON_TZ=Asia/Kolkata 0 0 * * *", "2026-11-22T00:00:00", "2026-11-22T18:30:00"),
    ],
)
def test_the_next_tick_is_the_first_strictly_afterwards(expression: str, after: str, expected: str) -> None:
    assert next_tick(expression, at(after)) == at(expected)


def test_a_day_that_is_longer_by_an_hour_has_no_tick_twice() -> None:
    expression, now, ticks = "CRON_TZ=Europe/Berlin 30 2 * * *", at("2026-10-24T12:00:00"), []
    for _ in range(3):
        now = next_tick(expression, now)
        ticks.append(now.date().isoformat())
    assert ticks == ["2026-10-25", "2026-10-26", "2026-10-27"]


def test_ticks_that_were_missed_are_not_made_up_for() -> None:
    assert next_tick("* * * * *", at("2030-01-01T12:34:56")) == at("2030-01-01T12:35:00")


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "* * * * * *", "0 0 31 2 *", "61 * * * *", "CRON_TZ=Mars/Olympus 0 0 * * *", "@daily"]
)
def test_what_never_fires_is_refused_here_and_in_the_database(database: str, expression: str) -> None:
    with pytest.raises(ValueError, match=r"five fields|No upcoming schedule|no time zone"):
        next_tick(expression, at("2026-01-01T00:00:00"))
    if expression == "0 0 31 2 *":
        return  # well formed; that it never fires is for the calendar to say
    with psycopg.connect(database) as connection, pytest.raises(psycopg.DatabaseError, match="Invalid cron expression"):
        connection.execute("select df.wait_for_schedule(%s)", [expression])


def test_the_database_takes_what_we_take(database: str) -> None:
    with psycopg.connect(database) as connection:
        for expression in ("*/5 0-6 1,15 JAN-MAR mon-fri", "CRON_TZ=Europe/Berlin 0 6 * * 0,7", "0 0 1/2 * *"):
            next_tick(expression, at("2026-01-01T00:00:00"))
            assert connection.execute("select df.wait_for_schedule(%s)", [expression]).fetchone()
