"""Programs out of the database: the workflow that an instance runs, from its rows alone.

In: the rows of one instance. Out: a Workflow with a text of its own, as `pgweave fmt` would write it, whose compilation
gives the same rows again. Comments and spellings are gone; what a step does is not. Nothing here asks a database.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from pgweave.compiler import lower
from pgweave.compiler.rows import Graph
from pgweave.grammar import nodes, parser
from pgweave.grammar.kinds import CHILD_OPTIONS
from pgweave.grammar.meaning.durofut import BadStep, ensure
from pgweave.grammar.nodes import CallChild, Definition, Option, Text
from pgweave.grammar.span import Source, Span
from pgweave.grammar.writing.formatter import format_source
from pgweave.grammar.writing.printer import print_definition
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.compiler.rows import Row
    from pgweave.grammar.nodes import Node
    from pgweave.runtime.client import Instance, NodeState
    from pgweave.workflow import W, WorkflowSource

Json: TypeAlias = dict[str, Any]

_NOWHERE = Span(0, 0)
_START = re.compile(
    r"SELECT df\.start\(convert_from\(decode\('([0-9a-f]*)', 'hex'\), 'UTF8'\), "
    r"(NULL|'(?:[^']|'')*'), (NULL|'(?:[^']|'')*')\) AS instance_id"
)
"""What `lower` makes of the first half of a called child."""


def tree(rows: Sequence[Row]) -> Json:
    """Durofut JSON of the rows of one instance, as Python values."""
    graph = Graph(rows=tuple(rows))
    return _future(graph, graph.root)


def runs(workflow: WorkflowSource, states: Sequence[NodeState]) -> bool:
    """Whether these rows are what the workflow compiles to."""
    return not workflow.computed and bool(json.loads(lower.tree(workflow.definition)) == tree([s.row for s in states]))


def program(instance: Instance, states: Sequence[NodeState], kind: type[W]) -> W:
    """The workflow that an instance runs, as an object of class `kind`. states: its nodes in pre-order."""
    json_tree = tree([state.row for state in states])
    definition = Definition(
        node=_node(json_tree),
        name="",
        span=_NOWHERE,
        label=_maybe(instance.label),
        database=_maybe(instance.database),
    )
    name = f"instance {instance.id}"
    try:
        text = print_definition(definition)
    except ValueError:  # a join of four with a called child in it: there is no text for it but its JSON
        text = f"SELECT df.start({quote(json.dumps(json_tree))});"
    source = Source(name, format_source(Source(name, text)).text)
    module = parser.parse(source).module
    assert len(module.definitions) == 1, text
    read = replace(module.definitions[0], name=instance.label or "workflow")
    return kind(read, replace(module, definitions=(read,)))


def _future(graph: Graph, row: Row) -> Json:
    found: Json = {"node_type": row.node_type}
    config = row.config() if row.node_type in {"IF", "JOIN", "LOOP"} else {}
    for key, child in (("left_node", row.left_node), ("right_node", row.right_node)):
        if child is not None:
            found[key] = _future(graph, graph.by_id[child])
    if (condition := config.get("condition_node")) is not None:
        found["condition_node"] = _future(graph, graph.by_id[str(condition)])
    if extras := config.get("extra_nodes"):
        assert isinstance(extras, list)
        found["extra_nodes"] = [_future(graph, graph.by_id[extra]) for extra in extras]
    # The text of an IF, LOOP or JOIN names other rows by their ids, which the tree has as children.
    if row.query is not None and not {"condition_node", "extra_nodes"} & config.keys():
        found["query"] = row.query
    if row.result_name is not None:
        found["result_name"] = row.result_name
    return found


def _node(future: Json) -> Node:
    """The AST of a Durofut tree. A called child is told from its expansion; what else there is, `ensure` knows."""
    text = json.dumps(future)
    return _with_calls(ensure(Text(text, Span(0, len(text))), Span(0, len(text))), future)


def _with_calls(node: Node, future: Json) -> Node:
    """Put a call wherever its expansion stands; node and future are the same tree."""
    called = _call(node, future)
    if called is not None:
        return called
    parts = [future.get(key) for key in ("left_node", "right_node", "condition_node")]
    futures = [part for part in (*parts, *(future.get("extra_nodes") or ())) if part is not None]
    # nodes.children has the order of `parts`: left, right, condition, further branches.
    below = [_with_calls(child, part) for child, part in zip(nodes.children(node), futures, strict=True)]
    return nodes.with_children(node, tuple(below))


def _call(node: Node, future: Json) -> CallChild | None:
    """The call_child whose expansion this is, if it compiles to just that."""
    if not (isinstance(node, nodes.Then) and isinstance(node.first, nodes.Sql)):
        return None
    start = _START.fullmatch(node.first.query.value)
    if start is None or not isinstance(node.second, nodes.AwaitInstance):
        return None
    wait = json.loads(future["right_node"]["query"])
    try:
        child = _node(json.loads(bytes.fromhex(start[1])))
    except (ValueError, BadStep):
        return None
    call = CallChild(
        child=child,
        label=_maybe(_literal(start[2])),
        options=_options(wait, _literal(start[3])),
        binding=node.binding,
        span=node.span,
    )
    compiled = json.loads(lower.tree(Definition(node=call, name="", span=_NOWHERE)))
    # Compiled again and compared: rows that only look like those of a call (another label, a changed option)
    # stay what they are.
    return call if compiled == future else None


def _options(wait: Json, database: str | None) -> tuple[Option, ...] | None:
    given = {**wait, "database": database}
    found = tuple(
        Option(name, given[name], _NOWHERE, _NOWHERE) for name in CHILD_OPTIONS if given.get(name) is not None
    )
    return found or None


def _literal(text: str) -> str | None:
    return None if text == "NULL" else text[1:-1].replace("''", "'")


def _maybe(value: str | None) -> Text | None:
    return None if value is None else Text(value, _NOWHERE)
