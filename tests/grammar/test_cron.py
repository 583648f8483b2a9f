"""Cron expressions: the parser and the database refuse the same ones, in the same words."""

from __future__ import annotations

import psycopg

from pgweave.grammar.meaning import cron_rules
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

EXPRESSIONS = [
    "0 6 * * *", " */5\t0-23/2 1,15 JAN-MAR mon-FRI ", "0 0 * * 7", "59 23 31 12 0",
    "", "* * *", "0 0 6 * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
    "1, * * * *", "mon * * * *", "* * * * monday", "@daily", "-1 * * * *", "1-2-3 * * * *", "100 * * * *",
    "CRON_TZ=UTC 0 6 * * *", "CRON_TZ=Europe/Berlin\t0 6 * * *", "  CRON_TZ=America/Argentina/Ushuaia  0 6 * * 1-5",
    "CRON_TZ=UTC", "CRON_TZ= 0 6 * * *", "CRON_TZ=Europe/Berlyn 0 6 * * *", "CRON_TZ=UTC 0 6 * *", "CRON_TZ=UTC 60 6 * * *",
    "CRON_TZ=cest 0 6 * * *", "CRON_TZ=UTC+3 0 6 * * *", "CRON_TZ=europe/berlin 0 6 * * *",
    "CRON_TZ=Europe 0 6 * * *", "cron_tz=UTC 0 6 * * *", "TZ=UTC 0 6 * * *", "0 6 * * * CRON_TZ=UTC",
]  # fmt: skip


def test_the_parser_says_of_an_expression_what_the_database_says(database: str) -> None:
    with psycopg.connect(database) as connection:
        theirs = {
            text: connection.execute("select df_internal.cron_problem(%s)", [text]).fetchone() for text in EXPRESSIONS
        }
    ours = {text: cron_rules.problem(text) for text in EXPRESSIONS}
    assert {text: (found and found.detail,) for text, found in ours.items()} == theirs


def test_an_unknown_zone_is_pointed_at_and_the_nearest_named() -> None:
    written = "df.wait_for_schedule('CRON_TZ=Berlin 0 6 * * *')"
    (found,) = parse(Source("x.df", written)).diagnostics
    assert found.span.of(written) == "Berlin"
    assert found.help == "Did you mean Europe/Berlin?"
