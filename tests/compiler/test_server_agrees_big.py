"""Any text means the same to pgweave and to the installed df functions: the same JSON tree, or both refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from support.texts import programs

from pgweave.compiler import lower, passes
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where PostgreSQL builds something that nobody meant, without a word, and we refuse: text glued onto the JSON of a step,
# and a NULL step as the condition of a loop, which then never ends. Findings above PW2xx but for the options of a child
# are advice about programs that both can read.
OURS_ALONE = frozenset({"PW106", "PW021"})
OF_OPTIONS = frozenset({"PW602", "PW603"})


@pytest.fixture(scope="module")
def connection(databases: object) -> Iterator[psycopg.Connection]:
    """One session for all examples: each is one statement and leaves nothing behind."""
    dsn = databases.create()  # type: ignore[attr-defined]
    with psycopg.connect(dsn, autocommit=True) as found:
        found.execute("SET search_path = public, df")
        yield found
    databases.drop(dsn)  # type: ignore[attr-defined]


def ours(text: str) -> tuple[str, str | None]:
    """`tree` with the JSON, `refused` with the codes, or `unknown` when only the database can tell."""
    parsed = parse(Source("generated.df", text))
    errors = [found.code for found in parsed.diagnostics if found.severity is Severity.ERROR]
    if set(errors) & OURS_ALONE:
        return "unknown", None
    try:
        errors += [found.code for found in passes.check(parsed.module) if found.code in OF_OPTIONS]
    except OverflowError:
        return "unknown", None
    if errors:
        return "refused", " ".join(errors)
    (definition,) = parsed.module.definitions
    if lower.refusals(definition):
        return "unknown", None
    return "tree", lower.tree(definition)


def theirs(text: str, connection: psycopg.Connection) -> tuple[str, str | None]:
    """The same of the database. NULL is what a call with a NULL argument gives: no step."""
    try:
        row = connection.execute(f"SELECT df.ensure_durofut({text})".encode()).fetchone()
    except psycopg.Error as error:
        return "refused", str(error)
    assert row is not None
    return ("refused", "NULL") if row[0] is None else ("tree", row[0])


@settings(
    max_examples=15000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(programs)
def test_the_database_builds_the_same_tree_or_refuses_the_same_text(connection: psycopg.Connection, text: str) -> None:
    verdict, detail = ours(text)
    if verdict == "unknown":
        return
    answer, said = theirs(text, connection)
    assert (verdict, detail if verdict == "tree" else None) == (answer, said if answer == "tree" else None), (
        detail,
        said,
    )
