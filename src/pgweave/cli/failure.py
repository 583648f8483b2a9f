"""A failed workflow in words: which step, what the server said, and a caret in the program's text.

One of the two paths that lead back to the text: the failing row's position in pre-order names its AST node, and the
server's position inside the step's SQL becomes a place inside the literal, through quotes and escapes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pgweave.compiler import lower
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Diagnostic, Rule, Severity
from pgweave.grammar.nodes import Definition
from pgweave.grammar.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Span
    from pgweave.runtime.client import Client, Instance, NodeState
    from pgweave.workflow import Workflow


def explain_failure(client: Client, workflow: Workflow, instance: Instance) -> str:
    """Say why an instance of `workflow` did not complete."""
    if instance.status == "cancelled":
        return f"Instance {instance.id} was cancelled: {(instance.error or {}).get('message', '')}"
    family = {member.id: member for member in client.family(instance.id)}
    failed = [node for node in client.nodes(*family) if node.run_status == "failed"]
    # A parent fails because its child did: the cause is the step that failed first.
    failed.sort(key=lambda node: node.finished_at.timestamp() if node.finished_at else 0.0)
    message = str((instance.error or {}).get("message", "it failed"))
    if not failed:
        return f"Instance {instance.id} failed: {message}"
    origin = _origin(client, workflow, instance, family, failed[0])
    if origin is None:
        return f"Instance {failed[0].instance_id} failed: {message}"
    return render(_diagnostic(failed[0], origin), workflow.module.source, colour=sys.stderr.isatty())


def _origin(
    client: Client, workflow: Workflow, root: Instance, family: Mapping[str, Instance], node: NodeState
) -> Node | None:
    """The AST node behind a row: of the program itself, or of a child that it calls."""
    if workflow.computed:
        return None  # the rows came from the database's own evaluation; nothing says where in the text
    definition = _definition(client, workflow, root, family, node.instance_id)
    return lower.origin(definition)[node.ordinal] if definition is not None else None


def _definition(
    client: Client, workflow: Workflow, root: Instance, family: Mapping[str, Instance], instance_id: str
) -> Definition | None:
    if instance_id == root.id:
        return workflow.definition
    instance = family[instance_id]
    parent = _definition(client, workflow, root, family, instance.parent_instance_id or root.id)
    if parent is None:
        return None
    starters = {node.id: node.ordinal for node in client.nodes(instance.parent_instance_id or root.id)}
    call = lower.origin(parent)[starters[instance.parent_node_id or ""]]
    if not isinstance(call, nodes.CallChild):
        return None  # started by a step's own df.start: its text is data here
    return Definition(node=call.child, name=instance.label or "child", span=call.child.span)


def _diagnostic(node: NodeState, origin: Node) -> Diagnostic:
    error = node.run_error or {"message": node.error or "it failed"}
    code = str(error.get("sqlstate", "failed"))
    rule = Rule(code, "step-failed", Severity.ERROR, "", "", "")
    hint = str(error.get("hint") or f"See what ran: pgweave show {node.instance_id}")
    said = str(error["message"]).removeprefix("SQL execution failed: error returned from database: ")
    return Diagnostic(rule, _place(origin, error), said, str(error.get("detail") or ""), hint)


def _place(origin: Node, error: Mapping[str, object]) -> Span:
    position = error.get("position")
    if isinstance(origin, nodes.Sql) and isinstance(position, int):
        start = min(position - 1, len(origin.query.value))
        return origin.query.span_of(start, start + _word_length(origin.query.value[start:]))
    return origin.span


def _word_length(text: str) -> int:
    """How far the word or number at the caret reaches; at least one character."""
    length = next((i for i, character in enumerate(text) if not (character.isalnum() or character in "_$.")), len(text))
    return max(1, length)
