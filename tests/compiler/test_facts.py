"""Static facts: what a step may result in, whether it ends, how long it waits, what runs before and after it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from support import ast
from support.programs import definitions

from pgweave.compiler import lower
from pgweave.compiler.facts.definition_facts import Facts
from pgweave.compiler.facts.outcomes import Form
from pgweave.compiler.facts.waits import Waiting
from pgweave.grammar import nodes
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.compiler.facts.flow import Step
    from pgweave.grammar.nodes import Definition, Node


def facts(text: str) -> Facts:
    (definition,) = parse(Source("facts.df", text)).module.definitions
    return Facts(definition)


def find(known: Facts, sql: str) -> Step:
    """The step of this SQL."""
    return next(step for step in known.root.walk() if isinstance(step.node, nodes.Sql) and step.node.query.value == sql)


def waiting(node: Node) -> Waiting | None:
    known = Facts(ast.definition(node))
    return known.waiting(known.root)


NAP, DAY = ast.sleep(10), ast.sleep(86_400)
WAITS: list[tuple[Node, Waiting | None]] = [
    (ast.sql("SELECT 1"), Waiting(0, 0)),
    (ast.then(NAP, DAY), Waiting(86_410, 86_410)),
    (ast.if_(NAP, DAY, ast.sql("SELECT 1")), Waiting(10, 86_410)),
    (ast.if_rows("x", DAY, NAP), Waiting(10, 86_400)),
    (ast.join(NAP, DAY), Waiting(86_400, 86_400)),
    (ast.race(NAP, DAY), Waiting(10, 10)),
    (ast.signal("go"), Waiting(0, inf)),
    (ast.signal("go", 60), Waiting(0, 60)),
    (ast.schedule("0 3 * * *"), Waiting(0, inf)),
    (ast.race(ast.signal("go"), NAP), Waiting(0, 10)),
    (ast.call(NAP, "c"), Waiting(10, 10)),
    (ast.call(ast.signal("go"), "c", timeout_seconds=5), Waiting(0, 5)),
    (ast.call(ast.loop(NAP), "c", timeout_seconds=5), Waiting(5, 5)),
    (ast.loop(NAP), None),
    (ast.then(ast.loop(NAP), DAY), None),
    (ast.loop(NAP, ast.sql("SELECT more()")), Waiting(10, inf)),
    (ast.loop(ast.sql("SELECT 1"), ast.sql("SELECT more()")), Waiting(0, 0)),
    (ast.loop(ast.then(NAP, ast.break_())), Waiting(10, 10)),
    (ast.loop(ast.then(NAP, ast.if_(ast.sql("SELECT done()"), ast.break_(), DAY))), Waiting(10, inf)),
    (ast.race(ast.loop(NAP), DAY), Waiting(86_400, 86_400)),
    (ast.join(ast.loop(NAP), DAY), None),
    (ast.loop(ast.join(ast.break_(), DAY)), Waiting(86_400, 86_400)),
    (ast.loop(ast.race(ast.then(NAP, ast.break_()), DAY)), Waiting(10, inf)),
]


@pytest.mark.parametrize(("node", "expected"), WAITS, ids=lambda value: type(value).__name__)
def test_the_best_and_the_worst_waiting_time_follow_the_ways_through_a_program(
    node: Node, expected: Waiting | None
) -> None:
    assert waiting(node) == expected


@pytest.mark.parametrize("node", [node for node, _ in WAITS])
def test_a_step_has_a_waiting_time_exactly_when_it_ends(node: Node) -> None:
    known = Facts(ast.definition(node))
    assert known.ends(known.root) is (known.waiting(known.root) is not None)


@given(definitions())
def test_every_step_that_ends_waits_no_shorter_at_worst_than_at_best(definition: Definition) -> None:
    known = Facts(definition)
    for step in known.root.walk():
        waits = known.waiting(step)
        assert known.ends(step) is (waits is not None)
        assert waits is None or 0 <= waits.best <= waits.worst


@given(definitions())
def test_nodes_are_counted_as_rows_and_children_with_them(definition: Definition) -> None:
    known = Facts(definition)
    children = [step.node.child for step in known.of(nodes.CallChild) if isinstance(step.node, nodes.CallChild)]
    everything = [definition, *map(ast.definition, children)]
    assert known.node_count == sum(len(lower.rows(one).rows) for one in everything)


def test_depth_counts_levels_below_the_root() -> None:
    assert Facts(ast.definition(ast.sleep(1))).depth == 0
    assert Facts(ast.definition(ast.then(ast.sleep(1), ast.sleep(1), ast.sleep(1)))).depth == 2
    assert Facts(ast.definition(ast.call(ast.sleep(1)))).depth == 1


def test_results_follow_the_ways_through_a_program() -> None:
    known = facts(
        "('SELECT ok()' ?> 'SELECT 1 AS a' !> (df.wait_for_signal('go') | 'SELECT 2 AS b, ''x''::text AS c'))"
    )
    found = [(result.form, result.names) for result in known.results(known.root)]
    assert found == [
        (Form.ROWS, ("a",)),
        (Form.OBJECT, ("signal_name", "timed_out", "data")),
        (Form.ROWS, ("b", "c")),
    ]
    *_, last = known.results(known.root)
    assert [column.type for column in last.columns or ()] == ["int4", "text"]


@pytest.mark.parametrize(
    ("text", "form", "names"),
    [
        ("'SELECT 1' & 'SELECT 2'", Form.ARRAY, None),
        ("df.http('https://example.com/', 'GET')", Form.OBJECT, ("status", "body", "encoding", "headers", "ok", "duration_ms")),
        ("df.await_instance('{other}', 5)", Form.OBJECT, ("instance_id", "status", "result")),
        ("df.call_child('SELECT 1', 'c')", Form.OBJECT, ("instance_id", "status", "result")),
        ("df.call_child('SELECT 1', 'c', '{\"on_failure\": \"return\"}')", Form.OBJECT, ("instance_id", "status", "result", "error")),
        ("df.sleep(1)", Form.OBJECT, ("slept", "seconds")),
        ("df.wait_for_schedule('0 3 * * *')", Form.OBJECT, ("scheduled",)),
        ("@> df.break('x')", Form.UNKNOWN, None),
        ("(SELECT step FROM steps)", Form.UNKNOWN, None),
        ("'SELECT * FROM t'", Form.ROWS, None),
        ("'SELECT 1; SELECT 2'", Form.ROWS, None),
        ("'DELETE FROM t'", Form.ROWS, ()),
    ],
)  # fmt: skip
def test_every_kind_of_step_has_the_result_the_runtime_gives_it(
    text: str, form: Form, names: tuple[str, ...] | None
) -> None:
    known = facts(text)
    assert [(result.form, result.names) for result in known.results(known.root)] == [(form, names)]


def test_what_never_ends_results_in_nothing() -> None:
    known = facts("@> df.sleep(1)")
    assert known.results(known.root) == ()


def test_rows_that_are_handed_on_keep_their_columns() -> None:
    known = facts("('SELECT id, total FROM t' |=> 'x') ~> 'SELECT *, 1 AS n FROM $x.*'")
    assert [result.names for result in known.results(known.root)] == [("id", "total", "n")]


def test_columns_of_rows_that_differ_by_path_are_not_known() -> None:
    known = facts("('SELECT ok()' ?> ('SELECT 1 AS a' |=> 'x') !> ('SELECT 2 AS b' |=> 'x')) ~> 'SELECT * FROM $x.*'")
    assert [result.names for result in known.results(known.root)] == [None]


def test_names_before_a_step_are_those_of_all_paths_and_of_some() -> None:
    known = facts(
        "('SELECT 1' |=> 'always') ~> ('SELECT ok()' ?> ('SELECT 2' |=> 'sometimes') !> 'SELECT 3') ~> 'SELECT here()'"
    )
    assert known.names_before(find(known, "SELECT here()")) == (
        frozenset({"always"}),
        frozenset({"always", "sometimes"}),
    )
    assert known.names_before(find(known, "SELECT 1")) == (frozenset(), frozenset())


def test_what_stands_behind_and_before_a_step() -> None:
    known = facts(
        "('SELECT a()' ~> ('SELECT c()' ?> 'SELECT yes()' !> 'SELECT no()') ~> df.call_child('SELECT in_child()', 'c'))"
        " & 'SELECT beside()'"
    )
    followed = {
        sql for sql in ("a", "c", "yes", "no", "in_child", "beside") if known.followed(find(known, f"SELECT {sql}()"))
    }
    assert followed == {"a", "c", "yes", "no"}
    assert known.preceded(find(known, "SELECT a()")) is None
    assert known.preceded(find(known, "SELECT c()")) is find(known, "SELECT a()")
    assert known.preceded(find(known, "SELECT no()")) is find(known, "SELECT c()")
    assert known.preceded(find(known, "SELECT in_child()")) is None
    assert known.preceded(find(known, "SELECT beside()")) is None


def test_everything_in_a_loop_is_followed_by_the_next_turn() -> None:
    known = facts("@> ('SELECT a()' ~> 'SELECT b()')")
    assert known.followed(find(known, "SELECT b()"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@> 'SELECT a()'", False),
        ("@> ('SELECT a()' ~> df.sleep(0))", False),
        ("@> ('SELECT a()' ~> ('SELECT ok()' ?> df.sleep(1) !> 'SELECT b()'))", True),
        ("@> df.wait_for_signal('go')", True),
        ("@> df.call_child('SELECT 1', 'c')", True),
        ("@> df.http('https://example.com/', 'GET')", False),
    ],
)
def test_a_loop_pauses_when_anything_in_it_waits(text: str, expected: bool) -> None:
    known = facts(text)
    assert known.pauses(known.root) is expected


@given(definitions())
def test_facts_of_any_program_can_be_asked_for(definition: Definition) -> None:
    known = Facts(definition)
    for step in known.root.walk():
        known.results(step)
        known.followed(step)
        known.preceded(step)
        known.statement(step)
        always, some = known.names_before(step)
        assert always <= some
    assert len(known.readings) == len(known.flow.reads)
