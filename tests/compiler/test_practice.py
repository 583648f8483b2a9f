"""Programs as people write them for real: loading, queues, approvals, children, reminders, psql scripts, a runbook.

They do what they should, so whatever is said about them is a false alarm. The other way round, `mistakes.df` holds
programs that fail at three in the morning: each mistake is found, and the caret stands at the words that are wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from support.sections import find

from pgweave import dbcheck
from pgweave.compiler import lower
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.writing.formatter import format_source
from pgweave.texts import read

GOLDEN = Path(__file__).parents[1] / "golden"
PROGRAMS = sorted(file for file in (GOLDEN / "practice").iterdir() if file.name != "setup.sql")
SETUP = GOLDEN / "practice" / "setup.sql"
_HEADING = re.compile(r"^---- (PW[0-9]{3}) at (.+): (.+)\n", re.MULTILINE)
MISTAKES = [
    pytest.param(code, place, text, id=f"{code} {why}")
    for parts in [_HEADING.split((GOLDEN / "mistakes.df").read_text(encoding="utf-8"))]
    for code, place, why, text in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True)
]


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: file.name)
def test_there_is_nothing_to_say_about_a_program_that_works(file: Path) -> None:
    source = read(file)
    assert parse(source).module.definitions
    assert [(one.code, one.title, one.span.of(source.text)) for one in find(source)] == []


@pytest.mark.parametrize("file", [file for file in PROGRAMS if file.suffix == ".df"], ids=lambda file: file.name)
def test_it_means_the_same_and_stays_clean_when_it_is_laid_out(file: Path) -> None:
    source = read(file)
    laid = Source(file.name, format_source(source).text)
    trees = [[lower.tree(one) for one in parse(text).module.definitions] for text in (source, laid)]
    assert trees[0] == trees[1]
    assert find(laid) == []


def test_a_database_with_their_tables_accepts_every_step(database: str) -> None:
    refused = {}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SETUP.read_bytes())
        for file in PROGRAMS:
            outcome = dbcheck.check(parse(read(file)).module, connection)
            refused[file.name] = [*((one.title, one.label) for one in outcome.findings), *outcome.notes]
    assert {name: said for name, said in refused.items() if said} == {}


@pytest.mark.parametrize(("code", "place", "text"), MISTAKES)
def test_a_mistake_is_found_where_it_was_made(code: str, place: str, text: str) -> None:
    found = {(one.code, one.span.of(text)) for one in find(Source("mistake.df", text))}
    assert (code, place) in found
    assert {said for said, _ in found} <= {code, *(["PW216"] if code == "PW101" else [])}


def test_every_mistake_of_the_file_is_read() -> None:
    assert len(MISTAKES) == (GOLDEN / "mistakes.df").read_text(encoding="utf-8").count("\n---- ") + 1
