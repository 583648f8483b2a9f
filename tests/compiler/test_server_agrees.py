"""Any text means the same to pgweave and to the installed df functions: the same JSON tree, or both refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from support.pace import examples
from support.programs import definitions
from support.texts import programs

from pgweave.compiler import lower, passes
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.writing.printer import print_node
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Definition

# Where PostgreSQL builds something that nobody meant, without a word, and we refuse: text glued onto the JSON of a step,
# and a NULL step as the condition of a loop, which then never ends. Findings above PW2xx but for the options of a child
# are advice about programs that both can read.
OURS_ALONE = frozenset({"PW106", "PW021"})
OF_OPTIONS = frozenset({"PW602", "PW603"})
QUOTED = frozenset({"PW020", "PW023", "PW602", "PW603"})  # what is said in the reference's own words


@pytest.fixture(scope="module")
def connection(databases: object) -> Iterator[psycopg.Connection]:
    """One session for all examples: each is one statement and leaves nothing behind."""
    dsn = databases.create()  # type: ignore[attr-defined]
    with psycopg.connect(dsn, autocommit=True) as found:
        found.execute("SET search_path = public, df")
        yield found
    databases.drop(dsn)  # type: ignore[attr-defined]


def ours(text: str) -> tuple[str, str]:
    """`tree` with the JSON, `refused` with our words, or `unknown` when only the database can tell.

    The words are empty where they are not the reference's own, or where there are several findings: which of them
    PostgreSQL meets first is its own affair.
    """
    parsed = parse(Source("generated.df", text))
    errors = [found for found in parsed.diagnostics if found.severity is Severity.ERROR]
    if any(found.code in OURS_ALONE for found in errors):
        return "unknown", ""
    errors += [found for found in passes.check(parsed.module) if found.code in OF_OPTIONS]
    if errors:
        alone = len(errors) == 1 and (errors[0].code in OF_OPTIONS or "call_child" not in text.lower())
        words = errors[0].title if alone and errors[0].code in QUOTED else ""
        return "refused", "" if words.startswith("Invalid Durofut JSON: expected") else words
    (definition,) = parsed.module.definitions
    if lower.refusals(definition):
        return "unknown", ""
    return "tree", lower.tree(definition)


def theirs(text: str, connection: psycopg.Connection) -> tuple[str, str]:
    """The same of the database. NULL is what a call with a NULL argument gives: no step.

    No words where PostgreSQL itself refuses the expression, before any function of df has been asked.
    """
    try:
        row = connection.execute(f"SELECT df.ensure_durofut({text})".encode()).fetchone()
    except psycopg.Error as error:
        asked = isinstance(error, psycopg.errors.InvalidParameterValue)
        return "refused", (error.diag.message_primary or "") if asked else ""
    assert row is not None
    return ("refused", "") if row[0] is None else ("tree", row[0])


@settings(
    max_examples=examples(1000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(programs)
def test_the_database_builds_the_same_tree_or_refuses_the_same_text(connection: psycopg.Connection, text: str) -> None:
    verdict, said = ours(text)
    if verdict == "unknown":
        return
    answer, answered = theirs(text, connection)
    assert answer == verdict, (said, answered)
    if said and answered:
        assert said == answered


@pytest.mark.parametrize(
    ("call", "accepted"),
    [
        ("df.break({})", True), ("df.break(value => {})", True), ("df.sql({})", True), ("df.wait_for_signal({})", True),
        ("df.http('https://example.com', 'POST', {})", True), ("df.call_child('SELECT 1', {})", True),
        ("df.if_rows({}, 'SELECT 1', 'SELECT 2')", True), ("df.await_instance({})", True),
        ("df.http({})", True), ("df.http('https://example.com', {})", False), ("df.wait_for_schedule({})", False),
        ("df.as('SELECT 1', {})", False), ("df.sleep({})", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", ["df.sleep(5)", "'a' ~> 'b'", "'a' |=> 'n'", "'a' ?> 'b'", "@> 'a'"])
def test_a_step_in_the_place_of_a_text_is_accepted_by_both_or_by_neither(
    connection: psycopg.Connection, call: str, step: str, accepted: bool
) -> None:
    text = call.format(step)
    found = {one.code for one in parse(Source("generated.df", text)).diagnostics}
    answer, _ = theirs(text, connection)
    assert (found == {"PW033"}, answer) == ((True, "tree") if accepted else (False, "refused"))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(definition=definitions())
@pytest.mark.parametrize("call", ["df.break({})", "df.sql({})"])
def test_a_step_given_to_break_or_sql_is_its_json_as_a_literal(
    connection: psycopg.Connection, call: str, definition: Definition
) -> None:
    """What the server makes of the step is what the compiler makes of its JSON in quotes."""
    step = f"df.ensure_durofut({print_node(definition.node)})"  # in quotes alone it is a value, no step
    answer = theirs(call.format(step), connection)
    assert answer == ours(call.format(quote(lower.tree(definition))))
