"""The graph: what runs after what, who reads whom, and the ids that a running instance maps onto."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import networkx as nx
from hypothesis import given
from support import ast
from support.programs import definitions

from pgweave.compiler import graph, lower

if TYPE_CHECKING:
    from pgweave.compiler.graph import Graph
    from pgweave.grammar.nodes import Definition, Node


def build(node: Node) -> Graph:
    return graph.build(ast.definition(node))


def edges(drawn: Graph, *, data: bool = False) -> set[tuple[str, str, str]]:
    """(from, to, role); of data edges the name in place of the role."""
    wanted = [(a, b, about) for a, b, about in drawn.edges(data=True) if (about["role"] == "data") == data]
    return {(a, b, about["name"] if data else about["role"]) for a, b, about in wanted}


def test_a_graph_is_a_digraph_of_networkx() -> None:
    assert isinstance(build(ast.sql("SELECT 1")), nx.DiGraph)


def test_a_sequence_is_a_chain_from_start_to_end() -> None:
    assert edges(build(ast.then(ast.sql("a"), ast.sql("b"), ast.sql("c")))) == {
        ("start", "n3", "then"),
        ("n3", "n4", "then"),
        ("n4", "n5", "then"),
        ("n5", "end", "then"),
    }


def test_a_choice_runs_its_condition_then_one_arm() -> None:
    assert edges(build(ast.if_(ast.sql("c"), ast.sql("t"), ast.sql("e")))) == {
        ("start", "n4", "then"),
        ("n4", "n1", "condition"),
        ("n1", "n2", "yes"),
        ("n1", "n3", "no"),
        ("n2", "end", "then"),
        ("n3", "end", "then"),
    }


def test_branches_fork_and_meet() -> None:
    assert edges(build(ast.join(ast.sql("a"), ast.sql("b"), ast.sql("c")))) == {
        ("start", "n1", "then"),
        *(("n1", f"n{branch + 1}", f"branch {branch}") for branch in (1, 2, 3)),
        *((f"n{branch + 1}", "n1_merge", "then") for branch in (1, 2, 3)),
        ("n1_merge", "end", "then"),
    }


def test_an_endless_loop_goes_back_and_is_left_by_its_breaks_only() -> None:
    assert edges(build(ast.loop(ast.if_(ast.sql("c"), ast.break_(), ast.sql("e"))))) == {
        ("start", "n1", "then"),
        ("n1", "n5", "body"),
        ("n5", "n2", "condition"),
        ("n2", "n3", "yes"),
        ("n2", "n4", "no"),
        ("n4", "n1", "again"),
        ("n3", "end", "then"),
    }


def test_a_while_loop_tests_after_its_body() -> None:
    assert edges(build(ast.loop(ast.sql("body"), ast.sql("while")))) == {
        ("start", "n1", "then"),
        ("n1", "n2", "body"),
        ("n2", "n3", "then"),
        ("n3", "n1_test", "condition"),
        ("n1_test", "n1", "again"),
        ("n1_test", "end", "no"),
    }


def test_a_called_child_is_a_graph_inside_between_its_start_and_the_wait() -> None:
    drawn = build(ast.call(ast.sql("a"), "ship", timeout_seconds=60))
    assert edges(drawn) == {
        ("start", "n1_start", "then"),
        ("n1_start", "n1_wait", "then"),
        ("n1_start", "n1c_start", "child"),
        ("n1c_start", "n1c1", "then"),
        ("n1c1", "n1c_end", "then"),
        ("n1c_end", "n1_wait", "child"),
        ("n1_wait", "end", "then"),
    }
    assert drawn.graph["blocks"]["n1c"]["title"] == "child: ship"
    assert {node for node, about in drawn.nodes(data=True) if about["block"] == "n1c"} == {
        "n1c_start",
        "n1c1",
        "n1c_end",
    }
    wait = drawn.nodes["n1_wait"]
    assert (wait["kind"], wait["timeout_seconds"], wait["position"]) == ("AWAIT_INSTANCE", 60, 2)


def test_the_name_inside_a_call_is_nobodys_business() -> None:
    assert "__df_call_child" not in graph.to_json(build(ast.call(ast.sql("a"), "ship", "c")))


def test_a_break_in_a_child_does_not_leave_the_parents_loop() -> None:
    drawn = build(ast.loop(ast.call(ast.break_())))
    assert drawn.out_degree("n2c1") == 0


def test_steps_after_an_endless_loop_are_marked_as_never_reached() -> None:
    drawn = build(ast.then(ast.loop(ast.sql("a")), ast.sql("b")))
    assert [node for node, reachable in drawn.nodes(data="reachable") if not reachable] == ["n4", "end"]


def test_data_flows_from_the_step_that_binds_to_each_that_reads() -> None:
    drawn = build(
        ast.then(
            ast.sql("a", "x"),
            ast.join(ast.sql("$x"), ast.sql("$x -- $y")),
            ast.if_rows("x", ast.sql("t"), ast.sql("$z")),
        )
    )
    assert edges(drawn, data=True) == {("n3", "n5", "x"), ("n3", "n6", "x"), ("n3", "n7", "x")}


def test_steps_may_follow_each_other_and_share_data() -> None:
    drawn = build(ast.then(ast.sql("a", "x"), ast.sql("$x")))
    assert {about["role"] for about in drawn["n2"]["n3"].values()} == {"then", "data"}


def test_blocks_bind_where_their_result_comes_to_be() -> None:
    for block, binder in (
        (ast.then(ast.sql("a"), ast.sql("b"), name="x"), "n4"),
        (ast.join(ast.sql("a"), ast.sql("b"), name="x"), "n2_merge"),
        (ast.call(ast.sql("a"), None, "x"), "n2_wait"),
        (ast.loop(ast.sql("a"), ast.sql("b"), name="x"), "n2"),
    ):
        drawn = build(ast.then(block, ast.sql("$x")))
        assert {(source, name) for source, _, name in edges(drawn, data=True)} == {(binder, "x")}
        assert drawn.nodes[binder]["names"] == ("x",)


def test_the_tree_has_every_step_and_the_roles_of_its_edges() -> None:
    tree = graph.structure(
        ast.definition(ast.then(ast.if_(ast.sql("c"), ast.sql("t"), ast.sql("e")), ast.loop(ast.call(ast.sql("a")))))
    )
    assert nx.is_arborescence(tree)
    assert [(a, b, about["role"]) for a, b, about in tree.edges(data=True)] == [
        ("n1", "n2", "then"),
        ("n1", "n6", "then"),
        ("n2", "n3", "yes"),
        ("n2", "n4", "no"),
        ("n2", "n5", "condition"),
        ("n6", "n7", "body"),
        ("n7", "n7c1", "child"),
    ]


def test_an_unknown_expression_is_a_node_with_its_known_operands_below() -> None:
    drawn = build(ast.then(ast.opaque("f(..)", ast.sql("a")), ast.sql("b")))
    assert drawn.nodes["n2"]["kind"] == "OPAQUE"
    assert nx.has_path(drawn, "n2", "n3")
    assert nx.has_path(drawn, "n3", "n4")


def test_the_json_of_a_graph_can_be_read_back() -> None:
    data = json.loads(graph.to_json(build(ast.then(ast.sql("a", "x"), ast.sql("$x")))))
    assert {edge["role"] for edge in data["edges"]} == {"then", "data"}
    assert all(len(node["span"]) == 2 for node in data["nodes"])


@given(definitions())
def test_positions_are_those_of_the_rows(definition: Definition) -> None:
    """A running instance colours the picture by row position: a slip here paints the wrong box."""
    drawn = graph.build(definition)
    rows = lower.rows(definition).rows
    own = {about["position"]: about for _, about in drawn.nodes(data=True) if not about["instance"]}
    own.pop(None)
    assert {position: about["kind"] for position, about in own.items()} == {
        position: row.node_type for position, row in enumerate(rows) if row.node_type != "THEN"
    }
    origin = lower.origin(definition)
    assert all(about["span"] == origin[position].span for position, about in own.items())


@given(definitions())
def test_every_step_of_any_program_is_in_the_graph_and_in_one_frame(definition: Definition) -> None:
    drawn = graph.build(definition)
    blocks = drawn.graph["blocks"]
    assert all(about["parent"] is None or about["parent"] in blocks for about in blocks.values())
    assert all(about["block"] in {None, *blocks} for _, about in drawn.nodes(data=True))
    assert graph.to_json(drawn) == graph.to_json(graph.build(definition))
