"""The database and the compiler agree: the same program is the same JSON, the same rows and the same picture in both.

tests/compiler/test_script.py compares the rows of every way to start, tests/compiler/test_server_agrees.py what is
refused. Here: random programs as text through the SQL operators, and df.explain beside `compile --emit ascii`, on
every supported PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from support.pace import examples
from support.programs import definitions

from pgweave.compiler import lower
from pgweave.compiler.pictures import outline
from pgweave.grammar.writing.printer import print_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import TemplateDatabases

    from pgweave.grammar.nodes import Definition


@pytest.fixture(scope="module")
def session(any_databases: TemplateDatabases) -> Iterator[psycopg.Connection[Any]]:
    """Default settings: the operators are found in `public`."""
    dsn = any_databases.create()
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection
    any_databases.drop(dsn)


def one(session: psycopg.Connection[Any], query: bytes, *arguments: object) -> Any:  # noqa: ANN401 - of any type
    row = session.execute(query, arguments or None).fetchone()
    assert row is not None
    return row[0]


FEW = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@FEW
@given(definition=definitions())
def test_a_program_typed_into_psql_is_the_json_that_the_compiler_writes(
    session: psycopg.Connection[Any], definition: Definition
) -> None:
    text = print_node(definition.node)
    assert one(session, f"select df.ensure_durofut({text})".encode()) == lower.tree(definition)


@FEW
@given(definition=definitions())
def test_explain_draws_what_the_compiler_draws(session: psycopg.Connection[Any], definition: Definition) -> None:
    drawn = outline.ascii(definition)
    assert one(session, b"select df.explain(%s)", print_node(definition.node)) == drawn
    assert one(session, b"select df.explain(%s)", lower.tree(definition)) == drawn


@FEW
@given(definition=definitions(max_leaves=6))
def test_a_live_instance_is_drawn_like_its_program(session: psycopg.Connection[Any], definition: Definition) -> None:
    """Nobody works it off: every line of a step ends in the mark of what is pending."""
    with session.transaction(force_rollback=True):
        started = one(session, b"select df.start(%s)", lower.tree(definition))
        live = one(session, b"select df.explain(%s)", started)
        assert live.startswith(f"Instance: {started}\nStatus:   ○ Pending\n\n")
        tree = live.split("\n\n", maxsplit=1)[1]
        unmarked = [line.replace(" ○", "").rstrip() for line in tree.split("\n")]
        assert unmarked == [line.rstrip() for line in outline.ascii(definition).split("\n")]
        assert " ○" in tree
