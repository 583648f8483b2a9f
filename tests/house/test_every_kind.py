"""A kind of node is known everywhere or nowhere: what mypy cannot see when somebody adds a row to KINDS."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import product
from typing import Any, get_args

import psycopg
import pytest
from support import ast
from support.shape import step

from pgweave.buildcode import step_code
from pgweave.compiler import graph, lower
from pgweave.compiler.pictures import mermaid, outline, picture
from pgweave.grammar import nodes
from pgweave.grammar.kinds import CALLS, KINDS, Kind, Wait
from pgweave.grammar.writing.printer import print_node
from pgweave.grammar.writing.quoting import quote
from pgweave.runtime.migrate import migrations
from pgweave.runtime.worker.activities import wait_row
from pgweave.runtime.worker.advance import Todo, advance

STEP = step("'SELECT 1'")
# A leaf is tried as the canvas offers it at first.
PROGRAMS: tuple[nodes.Node, ...] = (
    ast.then(STEP, STEP),
    ast.if_(STEP, STEP, STEP),
    ast.if_rows("name", STEP, STEP),
    ast.join(STEP, STEP),
    ast.race(STEP, STEP),
    ast.loop(STEP),
    *(step(kind.offer.example) for kind in KINDS.values() if kind.offer is not None),
    ast.call(STEP),
    ast.opaque("(SELECT saved FROM steps)"),
)
LOWERED = {
    lower.rows(ast.definition(node)).root.node_type: lower.rows(ast.definition(node))
    for node in PROGRAMS
    if not isinstance(node, nodes.Opaque | nodes.CallChild | nodes.IfRows)
}
WAITS = [kind for kind in KINDS.values() if kind.waits_for in {Wait.TIMER, Wait.SIGNAL, Wait.INSTANCE}]


def test_every_class_of_the_ast_is_tried_here() -> None:
    assert {type(node) for node in PROGRAMS} == set(get_args(nodes.Node))


def test_every_kind_is_lowered_from_some_class_of_the_ast() -> None:
    assert LOWERED.keys() == KINDS.keys()


def test_every_call_that_the_table_of_kinds_names_exists() -> None:
    written = {kind.call for kind in KINDS.values()}
    assert written <= {f"df.{name}" for name in CALLS} | {call.operator for call in CALLS.values()}


@pytest.mark.parametrize("node", PROGRAMS, ids=lambda node: type(node).__name__)
def test_every_class_of_the_ast_can_be_drawn(node: nodes.Node) -> None:
    definition = ast.definition(node)
    drawn = graph.build(definition)
    assert all((picture.dot(drawn), mermaid.mermaid(drawn), outline.ascii(definition), graph.to_json(drawn)))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_state_machine_knows_every_kind(kind: Kind) -> None:
    """A leaf is reached; a node that holds others is looked into; a break ends what it is in."""
    plan = advance(LOWERED[kind.name], {})
    if kind.waits_for is Wait.NOTHING:
        assert plan.outcome is not None
    else:
        assert {todo.row.node_type for todo in plan.todo} == {kind.name if kind.is_leaf else "SQL"}


def test_the_database_lists_the_kinds_in_the_same_order(database: str) -> None:
    """The order is that of the messages that list the valid types, here and there."""
    with psycopg.connect(database) as connection:
        row = connection.execute("select df.node_types()").fetchone()
    assert row == (list(KINDS),)


def test_the_database_admits_these_kinds_and_no_other(database: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select pg_get_constraintdef(oid) from pg_constraint where conname = 'nodes_node_type_chk'"
        ).fetchone()
    assert row is not None
    assert set(re.findall(r"'([A-Z_]+)'", row[0])) == KINDS.keys()


def test_the_database_admits_these_shapes_and_no_other(database: str) -> None:
    """Children and text of a row: what KINDS says about each kind is what nodes_structure_chk says."""
    admitted = set()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create temp table probe (like df.nodes including constraints including defaults)")
        for kind, left, right, query in product(KINDS, (None, "00000002"), (None, "00000003"), (None, "text")):
            with suppress(psycopg.errors.CheckViolation):
                connection.execute(
                    "insert into probe (id, instance_id, ordinal, node_type, left_node, right_node, query)"
                    " values ('00000001', '00000000', 0, %s, %s, %s, %s)",
                    (kind, left, right, query),
                )
                admitted.add((kind, left is not None, right is not None, query is not None))
    assert admitted == {
        (kind.name, kind.left, kind.right, query)
        for kind in KINDS.values()
        for query in ((False, True) if kind.query is None else (kind.query,))
    }


def test_no_kind_is_older_than_its_migration() -> None:
    assert {kind.since for kind in KINDS.values()} <= {migration.number for migration in migrations()}


def test_every_leaf_is_offered_on_the_canvas() -> None:
    assert {kind.name for kind in KINDS.values() if kind.is_leaf} == {
        kind.name for kind in KINDS.values() if kind.offer
    }


@pytest.mark.parametrize("node", PROGRAMS, ids=lambda node: type(node).__name__)
def test_every_class_of_the_ast_is_printed_and_read_again(node: nodes.Node) -> None:
    assert step(print_node(node)) == node


@pytest.mark.parametrize("node", PROGRAMS, ids=lambda node: type(node).__name__)
def test_the_python_of_every_class_of_the_ast_builds_it_again(node: nodes.Node) -> None:
    made: dict[str, Any] = {}
    exec(step_code(node), made)
    assert made["step"].node == node


@pytest.mark.parametrize("kind", LOWERED)
def test_the_json_of_every_kind_is_read_again(kind: str) -> None:
    (node,) = (one for one in PROGRAMS if one.kind.name == kind and not isinstance(one, nodes.IfRows | nodes.CallChild))
    text = lower.tree(ast.definition(node))
    assert step(quote(text)) == node


@pytest.mark.parametrize("kind", WAITS, ids=lambda kind: kind.name)
def test_the_worker_can_write_down_every_wait(kind: Kind) -> None:
    row = wait_row(Todo(LOWERED[kind.name].root, (), {}), {}, datetime.now(UTC))
    assert row.keys() & {"seconds", "due_at", "signal_name", "awaited_id"}
