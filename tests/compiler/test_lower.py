"""Lowering: rows and Durofut JSON, byte for byte what the SQL functions write."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from hypothesis import given
from support import ast
from support.programs import NAMES, definitions

from pgweave.compiler import lower
from pgweave.compiler.rows import Graph, node_id
from pgweave.grammar import nodes
from pgweave.grammar.kinds import KINDS, MAX_DEPTH, MAX_NODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.compiler.rows import Row
    from pgweave.grammar.nodes import Definition, Node


def rows(node: Node) -> Graph:
    return lower.rows(ast.definition(node))


def tree(node: Node) -> str:
    return lower.tree(ast.definition(node))


@pytest.mark.parametrize(
    ("node", "node_type", "query"),
    [
        (ast.sql("SELECT 'a\\b'"), "SQL", "SELECT 'a\\b'"),
        (ast.sleep(5), "SLEEP", "5"),
        (ast.schedule("*/5 * * * *"), "WAIT_SCHEDULE", '{"cron_expr":"*/5 * * * *"}'),
        (ast.signal("go"), "SIGNAL", '{"signal_name":"go","timeout_seconds":null}'),
        (ast.signal('g"o', 9), "SIGNAL", '{"signal_name":"g\\"o","timeout_seconds":9}'),
        (ast.break_(), "BREAK", '{"break_value":null}'),
        (ast.break_("žluť\x01\n"), "BREAK", '{"break_value":"žluť\\u0001\\n"}'),
        (
            ast.http("https://x.y", "GET"),
            "HTTP",
            '{"url":"https://x.y","method":"GET","body":null,"headers":null,"timeout_seconds":30}',
        ),
        (
            ast.http("https://x.y", "PUT", "b", '{"a": "b"}'),
            "HTTP",
            '{"url":"https://x.y","method":"PUT","body":"b","headers":{"a": "b"},"timeout_seconds":30}',
        ),
        (
            ast.multipart("https://x.y", '[{"name": "f"}]'),
            "HTTP_MULTIPART",
            '{"url":"https://x.y","method":"POST","parts":[{"name": "f"}],"headers":null,"timeout_seconds":30}',
        ),
        (
            ast.await_instance("$c.instance_id", 300),
            "AWAIT_INSTANCE",
            '{"instance_id":"$c.instance_id","timeout_seconds":300}',
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_leaf_becomes_one_row_with_its_configuration(node: Node, node_type: str, query: str) -> None:
    (row,) = rows(node).rows
    assert (row.id, row.node_type, row.query) == ("00000001", node_type, query)
    assert json.loads(tree(node)) == {"node_type": node_type, "query": query}


def test_the_json_of_the_reference_example_is_equal_byte_for_byte() -> None:
    program = ast.then(ast.sql("SELECT 7 AS n", "k"), ast.sleep(1))
    assert tree(program) == (
        '{"node_type":"THEN","left_node":{"node_type":"SQL","query":"SELECT 7 AS n","result_name":"k"},'
        '"right_node":{"node_type":"SLEEP","query":"1"}}'
    )


def test_a_condition_and_a_third_branch_are_named_by_the_ids_of_their_rows() -> None:
    graph = rows(
        ast.then(
            ast.if_(ast.sql("c"), ast.sql("t"), ast.sql("e")),
            ast.loop(ast.join(ast.sql("1"), ast.sql("2"), ast.sql("3")), ast.sql("while")),
        )
    )
    assert [(row.node_type, row.left_node, row.right_node, row.query) for row in graph.rows] == [
        ("THEN", "00000002", "00000006", None),
        ("IF", "00000003", "00000004", '{"condition_node":"00000005"}'),
        ("SQL", None, None, "t"),
        ("SQL", None, None, "e"),
        ("SQL", None, None, "c"),
        ("LOOP", "00000007", None, '{"condition_node":"0000000b"}'),
        ("JOIN", "00000008", "00000009", '{"extra_nodes":["0000000a"]}'),
        ("SQL", None, None, "1"),
        ("SQL", None, None, "2"),
        ("SQL", None, None, "3"),
        ("SQL", None, None, "while"),
    ]


def test_the_json_of_blocks_has_its_keys_in_the_order_of_the_sql_functions() -> None:
    choice = ast.if_(ast.sql("c"), ast.sql("t"), ast.sql("e"), "x")
    assert list(json.loads(tree(choice))) == ["node_type", "left_node", "right_node", "condition_node", "result_name"]
    join = ast.join(ast.sql("1"), ast.sql("2"), ast.sql("3"))
    assert list(json.loads(tree(join))) == ["node_type", "left_node", "right_node", "extra_nodes"]
    tested = ast.if_rows("r", ast.sql("t"), ast.sql("e"))
    assert json.loads(tree(tested))["query"] == '{"condition_type":"result_has_rows","result_name":"r"}'


def fnv1a(parts: list[str]) -> str:
    """The textbook's loop, written differently from lower's."""
    data = b"".join(part.encode() + b"\xff" for part in parts)
    return f"{reduce(lambda h, byte: ((h ^ byte) * 0x100000001B3) % 2**64, data, 0xCBF29CE484222325):016x}"


def test_a_called_child_becomes_a_start_and_a_wait() -> None:
    child = ast.sql("SELECT '$x' || {v}")
    call = ast.call(child, "it's", "c", timeout_seconds=300, database="d")
    document = tree(child)
    name = "__df_call_child_" + fnv1a([document, "it's", "d"])
    then, start, wait = rows(call).rows
    assert (then.node_type, then.result_name, then.left_node, then.right_node) == ("THEN", "c", "00000002", "00000003")
    assert start.result_name == name
    assert start.query == (
        f"SELECT df.start(convert_from(decode('{document.encode().hex()}', 'hex'), 'UTF8'), 'it''s', 'd') AS instance_id"
    )
    assert wait.query == f'{{"instance_id":"${name}.instance_id","timeout_seconds":300}}'
    assert lower.origin(ast.definition(call)) == (call, call, call)


def test_a_child_without_label_and_options_is_started_with_nulls_and_awaited_for_ever() -> None:
    _, start, wait = rows(ast.call(ast.sleep(1))).rows
    assert start.query is not None
    assert start.query.endswith("'UTF8'), NULL, NULL) AS instance_id")
    assert wait.config()["timeout_seconds"] is None


def test_a_child_in_a_child_is_inside_its_hex() -> None:
    inner = ast.call(ast.sql("SELECT 'inner'"))
    _, start, _ = rows(ast.call(inner)).rows
    assert payload(start.query) == tree(inner)


def payload(query: str | None) -> str:
    """The child that a start query carries."""
    found = re.search(r"decode\('([0-9a-f]+)', 'hex'\)", query or "")
    assert found is not None
    return bytes.fromhex(found[1]).decode()


def test_an_expression_that_only_the_database_knows_is_refused_with_a_caret_on_each() -> None:
    unknown = ast.opaque("(SELECT 1)"), ast.opaque(":graph")
    definition = ast.definition(ast.then(unknown[0], ast.call(unknown[1])))
    refused = lower.refusals(definition)
    assert [(found.code, found.span) for found in refused] == [("PW509", node.span) for node in unknown]
    with pytest.raises(lower.LoweringError, match="PW509"):
        lower.rows(definition)
    with pytest.raises(lower.LoweringError):
        lower.tree(definition)


def chain(depth: int) -> Node:
    node: Node = ast.sql("SELECT 1")
    for _ in range(depth):
        node = nodes.Then(first=node, second=ast.sql("SELECT 1"), span=ast.span())
    return node


def test_the_deepest_graph_that_df_start_takes_is_lowered_and_one_level_more_is_refused() -> None:
    assert len(rows(chain(MAX_DEPTH)).rows) == 2 * MAX_DEPTH + 1
    (refused,) = lower.refusals(ast.definition(chain(MAX_DEPTH + 1)))
    assert refused.code == "PW011"


def test_a_call_at_the_last_level_is_refused_for_the_level_that_it_adds() -> None:
    node: Node = ast.call(ast.sql("SELECT 1"))
    for _ in range(MAX_DEPTH - 1):
        node = ast.loop(node)
    assert lower.refusals(ast.definition(node)) == ()
    assert [found.code for found in lower.refusals(ast.definition(ast.loop(node)))] == ["PW011"]


def test_more_nodes_than_df_start_takes_are_refused() -> None:
    branches = [chain(200) for _ in range(MAX_NODES // 401 + 1)]
    node = branches[0]
    for branch in branches[1:]:
        node = ast.join(node, branch)
    assert [found.code for found in lower.refusals(ast.definition(node))] == ["PW012"]


def test_children_inside_children_are_refused_before_they_fill_the_memory() -> None:
    """Each level doubles the text: thirty levels would be gigabytes."""
    node: Node = ast.sql("SELECT 1")
    for _ in range(30):
        node = ast.call(node)
    assert [found.code for found in lower.refusals(ast.definition(node))] == ["PW611"]


@given(definitions())
def test_ids_are_dense_and_every_row_but_the_root_has_one_parent(definition: Definition) -> None:
    graph = lower.rows(definition)
    assert [row.id for row in graph.rows] == [node_id(position) for position in range(len(graph.rows))]
    assert sorted(child for row in graph.rows for child in children(graph, row.id)) == [
        row.id for row in graph.rows[1:]
    ]


def children(graph: Graph, identifier: str) -> list[str]:
    """Ids of a row's children, in the order of the rows."""
    row = graph.by_id[identifier]
    config = row.config() if row.node_type in ("IF", "LOOP", "JOIN") else {}
    extras = config.get("extra_nodes", [])
    assert isinstance(extras, list)
    return [str(child) for child in (row.left_node, row.right_node, config.get("condition_node"), *extras) if child]


@given(definitions())
def test_rows_are_in_preorder(definition: Definition) -> None:
    graph = lower.rows(definition)
    order, pending = [], ["00000001"]
    while pending:
        order.append(pending.pop())
        pending += reversed(children(graph, order[-1]))
    assert order == [row.id for row in graph.rows]


@given(definitions())
def test_every_row_has_the_shape_that_its_kind_allows(definition: Definition) -> None:
    for row in lower.rows(definition).rows:
        kind = KINDS[row.node_type]
        assert (row.left_node is not None, row.right_node is not None) == (kind.left, kind.right)
        assert kind.query is None or kind.query == (row.query is not None)


@given(definitions())
def test_the_same_program_gives_the_same_bytes_and_the_tree_tells_what_the_rows_tell(definition: Definition) -> None:
    assert lower.tree(definition) == lower.tree(definition)
    graph = lower.rows(definition)
    assert rebuilt(graph, graph.root.id) == json.loads(lower.tree(definition))
    assert len(lower.origin(definition)) == len(graph.rows)


def rebuilt(graph: Graph, identifier: str) -> dict[str, object]:
    """Durofut JSON made from rows, as df.explain would."""
    row = graph.by_id[identifier]
    config = row.config() if row.node_type in ("IF", "LOOP", "JOIN") else {}
    node: dict[str, object] = {"node_type": row.node_type}
    if row.left_node:
        node["left_node"] = rebuilt(graph, row.left_node)
    if row.right_node:
        node["right_node"] = rebuilt(graph, row.right_node)
    if "condition_node" in config:
        node["condition_node"] = rebuilt(graph, str(config["condition_node"]))
    if "extra_nodes" in config:
        extras = config["extra_nodes"]
        assert isinstance(extras, list)
        node["extra_nodes"] = [rebuilt(graph, extra) for extra in extras]
    if row.query is not None and not {"condition_node", "extra_nodes"} & set(config):
        node["query"] = row.query
    if row.result_name is not None:
        node["result_name"] = row.result_name
    return node


@given(definitions())
def test_renaming_every_binding_renames_the_rows_and_changes_nothing_else(definition: Definition) -> None:
    before, after = lower.rows(definition), lower.rows(renamed(definition))
    assert [told(row, new_names) for row in before.rows] == [told(row, str) for row in after.rows]


def new_names(text: str) -> str:
    return re.sub("|".join(NAMES), lambda found: found[0] + "_2", text)


V = TypeVar("V")


def renamed(value: V) -> V:
    """The same program with every binding and every reading of it renamed: all texts of the AST, one by one."""
    changed: Any = value
    if isinstance(value, str):
        changed = new_names(value)
    elif isinstance(value, tuple):
        changed = tuple(map(renamed, value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: renamed(getattr(value, field.name)) for field in dataclasses.fields(value)}
        changed = dataclasses.replace(value, **fields)
    return cast("V", changed)


def told(row: Row, rename: Callable[[str], str]) -> tuple[str, str, str, str | None, str | None]:
    """What a row says, with the children it carries readable and their internal names, which are hashes, hidden."""
    query = row.query or ""
    while found := re.search(r"decode\('([0-9a-f]+)', 'hex'\)", query):
        query = query[: found.start()] + bytes.fromhex(found[1]).decode() + query[found.end() :]
    hidden = [re.sub("__df_call_child_[0-9a-f]{16}", "CHILD", text) for text in (query, row.result_name or "")]
    return (row.node_type, rename(hidden[0]), rename(hidden[1]), row.left_node, row.right_node)
