"""What a result name looks like is said in Python once; SQL and TypeScript say the same."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from pgweave.grammar.result_names import NAME, is_name

ROOT = Path(__file__).parents[2]
SAME = NAME.replace("A-Za-z", "a-zA-Z")  # the words of the reference put small letters first


def test_the_database_admits_what_python_calls_a_name(database: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select pg_get_constraintdef(oid) from pg_constraint where conname = 'nodes_result_name_chk'"
        ).fetchone()
    assert row is not None
    assert f"'^{NAME}$'" in row[0]


def test_every_pattern_of_a_name_in_sql_is_this_one() -> None:
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "runtime" / "sql").rglob("*.sql"))]
    written = {found for text in texts for found in re.findall(r"\bname !?~ '\^(.*?)\$'", text)}
    assert written
    assert written <= {NAME, SAME}


def test_the_designer_asks_for_the_same_names() -> None:
    sources = sorted((ROOT / "designer" / "web" / "src").rglob("*.ts*"))
    written = [found for path in sources for found in re.findall(r'RESULT_NAME = "(.*?)"', path.read_text("utf-8"))]
    assert written == [NAME]


def test_a_name_begins_with_a_letter_or_an_underscore() -> None:
    assert [text for text in ("a", "_1", "Ab9", "1a", "", "a-b", "é", "a\n") if is_name(text)] == ["a", "_1", "Ab9"]
