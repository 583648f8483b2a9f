"""Checks of instances and how they are started: ids, labels, transactions, and workflows that start themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.compiler import sqltree
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Note, finding
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts import Facts
    from pgweave.compiler.flow import Step
    from pgweave.compiler.subject import Shared, Subject
    from pgweave.grammar.diagnostics import Diagnostic

INSTANCE_ID = re.compile("[0-9a-f]{8}")
_TAKES_ID = frozenset(
    f"df.{name}"
    for name in (
        "status", "result", "cancel", "signal", "wait_for_completion", "instance_info", "instance_nodes",
        "instance_executions", "await_instance",
    )
)  # fmt: skip


def label_as_id(subject: Subject) -> Iterator[Diagnostic]:
    """PW505. A text that is no id where an id is wanted: 8 hexadecimal digits. A label gives NULL, or an error."""
    for step in subject.facts.of(nodes.AwaitInstance):
        text = step.node.instance_id  # type: ignore[union-attr]
        if _is_no_id(text.value):
            span = text.span_of(0, len(text.value))
            yield finding("PW505", span, value=text.value, call="df.await_instance")
    for step in subject.facts.of(nodes.Sql):
        yield from _labels_in_sql(subject, step)


def _labels_in_sql(subject: Subject, step: Step) -> Iterator[Diagnostic]:
    node = step.node
    assert isinstance(node, nodes.Sql)
    statement = subject.facts.statement(step) if "df." in node.query.value else None
    if statement is None or statement.tree is None:
        return
    for name, call in sqltree.walk(statement.tree):
        if name != "FuncCall" or sqltree.called(call) not in _TAKES_ID or not call.args:
            continue
        value = sqltree.string(call.args[0])
        if value is not None and _is_no_id(value):
            start = statement.offset(sqltree.location(call.args[0]))
            yield finding(
                "PW505", node.query.span_of(start, start + len(value) + 2), value=value, call=sqltree.called(call)
            )


def _is_no_id(value: str) -> bool:
    """Certainly no id: nothing in it is filled in, and it is not 8 digits."""
    return not re.search(r"[${]", value) and INSTANCE_ID.fullmatch(value.strip()) is None


def caller_transaction(subject: Subject) -> Iterator[Diagnostic]:
    """PW507. Variables of this file, and a start that opens a transaction of its own, which may not see them."""
    definition = subject.facts.definition
    if definition.transaction_mode != "new":
        return
    before = [one for one in subject.module.variables if one.span.start < definition.span.start]
    if before:
        note = Note(before[-1].span, "set in the caller's transaction")
        start = definition.span.start
        head = subject.written(definition.span).find("(")
        yield finding("PW507", Span(start, start + head) if head > 0 else definition.span, notes=(note,))


def child_cycle(subject: Subject) -> Iterator[Diagnostic]:
    """PW605. A step starts a workflow under the label of this one, or of one that starts this one, with no wait before.

    With a wait before the start it is a way to begin anew, and paced.
    """
    here = subject.facts.definition
    edges = subject.shared.once(_started)
    path = _cycle(here.name, edges) if here.label and edges else None
    if path is None:
        return
    first, *others = path
    names = [*(name for name, _ in others), here.name]
    label = (
        f"starts `{first[0]}` again"
        if not others
        else "starts " + ", which starts ".join(f"`{name}`" for name in names)
    )
    notes = tuple(Note(span, f"`{name}` starts the next here") for name, span in others)
    advice = "Wait before it starts again (df.sleep, df.wait_for_schedule), or make it a loop: @> (..)."
    yield finding("PW605", first[1], label=label, help=advice, notes=notes)


def _started(shared: Shared) -> dict[str, list[tuple[str, Span]]]:
    """For each labelled workflow of a text the labels that it starts before it has waited, and where."""
    found: dict[str, list[tuple[str, Span]]] = {}
    for facts in shared.facts:
        if facts.definition.label is not None and (starts := list(_starts(facts))):
            found.setdefault(facts.definition.name, []).extend(starts)
    return found


def _starts(facts: Facts) -> Iterator[tuple[str, Span]]:
    for step in facts.of(nodes.Sql):
        node = step.node
        assert isinstance(node, nodes.Sql)
        statement = facts.statement(step) if "df.start" in node.query.value else None
        if statement is None or statement.tree is None or _waits_before(facts, step):
            continue
        for name, call in sqltree.walk(statement.tree):
            if name == "FuncCall" and sqltree.called(call) == "df.start":
                label = _label(call)
                if label is not None:
                    yield label, node.query.span_of(0, len(node.query.value))


def _label(call: object) -> str | None:
    arguments = list(call.args)  # type: ignore[attr-defined]
    for argument in arguments:
        if argument.WhichOneof("node") == "named_arg_expr" and argument.named_arg_expr.name == "label":
            return sqltree.string(argument.named_arg_expr.arg)
    if len(arguments) > 1 and arguments[1].WhichOneof("node") != "named_arg_expr":
        return sqltree.string(arguments[1])
    return None


def _waits_before(facts: Facts, step: Step) -> bool:
    before = facts.preceded(step)
    while before is not None:
        if facts.pauses(before):
            return True
        before = facts.preceded(before)
    return False


def _cycle(start: str, edges: dict[str, list[tuple[str, Span]]]) -> list[tuple[str, Span]] | None:
    """The way from a label back to itself: each member with the place where it starts the next one."""
    queue = [[(start, span, label)] for label, span in edges.get(start, ())]
    seen: set[str] = set()
    while queue:
        path = queue.pop(0)
        label = path[-1][2]
        if label == start:
            return [(name, span) for name, span, _ in path]
        if label not in seen:
            seen.add(label)
            queue += [[*path, (label, span, further)] for further, span in edges.get(label, ())]
    return None
