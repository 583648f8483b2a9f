"""Checks of instances and how they are started: ids, labels, transactions, and workflows that start themselves."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pgweave.compiler.facts import sqltree
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding, note
from pgweave.grammar.reading.extraction import Form, form_of
from pgweave.grammar.reading.lexer import PUNCT, WORD, lex
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.subject import Shared, Subject
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.reading.lexer import Token

INSTANCE_ID = re.compile("[0-9a-f]{8}")
MAX_NOTES, MAX_NAMES = 20, 6  # members of one cycle that are shown: with a caret, and in one line
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


MAX_LABEL = 1_000  # bytes; max_label_bytes of df.settings, as it is installed


def label_too_long(subject: Subject) -> Iterator[Diagnostic]:
    """PW515. A label that df.start refuses, unless the database has been set to take longer ones."""
    labels = [subject.facts.definition.label]
    labels += [step.node.label for step in subject.facts.of(nodes.CallChild)]  # type: ignore[union-attr]
    for label in labels:
        if label is not None and (size := len(label.value.encode(errors="surrogatepass"))) > MAX_LABEL:
            yield finding("PW515", label.span_of(0, len(label.value)), size=f"{size:,}", limit=f"{MAX_LABEL:,}")


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
    # A placeholder may become an id when the step runs.
    return not re.search(r"[${]", value) and INSTANCE_ID.fullmatch(value.strip()) is None


def caller_transaction(subject: Subject) -> Iterator[Diagnostic]:
    """PW507. Variables of this file, and a start that opens a transaction of its own, which may not see them."""
    definition = subject.facts.definition
    if definition.transaction_mode != "new":
        return
    before = [one for one in subject.module.variables if one.span.start < definition.span.start]
    if before:
        notes = (note("PW507", before[-1].span),)
        start = definition.span.start
        # The caret stands under `df.start`, not under the whole of a long workflow.
        head = subject.written(definition.span).find("(")
        span = Span(start, start + head) if head > 0 else definition.span
        yield finding("PW507", span, notes=notes)


def waited_for_before_commit(subject: Subject) -> Iterator[Diagnostic]:
    """PW507. A script waits for an instance in the very transaction that starts it: nobody sees it before the commit."""
    definition = subject.facts.definition
    if form_of(subject.module.source.name) is not Form.SQL or definition.transaction_mode == "new":
        return
    place = subject.shared.once(_vain_waits).get(definition.span)
    if place is not None:
        start = Span(definition.span.start, definition.span.start + len("df.start"))
        yield finding("PW507", place, "waits", notes=(note("PW507", start, "waits"),))


_BEGINS, _ENDS = frozenset({"begin", "start"}), frozenset({"commit", "end", "rollback", "abort"})


def _vain_waits(shared: Shared) -> dict[Span, Span]:
    """For the span of a workflow in a script where its own transaction waits for it."""
    found: dict[Span, Span] = {}
    # Both run in the order of the text, so each start is looked at once.
    starts = deque(sorted(one.span for one in shared.module.definitions))
    begun: list[Span] = []
    open_ = False
    for statement in statements(lex(shared.module.source.text, psql=True).tokens):
        words = [token.value for token in statement if token.kind == WORD]
        # Without BEGIN psql commits after every statement, and the instance can run before the wait.
        if words and statement[0].kind == WORD and words[0] in (_BEGINS | _ENDS):
            open_, begun = words[0] in _BEGINS, []
        if not open_:
            begun = []
        while starts and starts[0].start < statement[-1].end:
            begun.append(starts.popleft())
        for at, token in enumerate(statement):
            waits = token.value == "wait_for_completion" and at > 1 and statement[at - 2].value == "df"
            if waits and begun:  # said once, of the start that is nearest
                found.setdefault(begun[-1], Span(statement[at - 2].start, token.end))
    return found


def statements(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens of each statement of a script."""
    statement: list[Token] = []
    for token in tokens:
        if token.kind == PUNCT and token.value == ";":
            if statement:
                yield statement
            statement = []
        else:
            statement.append(token)
    if statement:
        yield statement


def child_cycle(subject: Subject) -> Iterator[Diagnostic]:
    """PW605. A step starts a workflow under the label of this one, or of one that starts this one, with no wait before.

    With a wait before the start it is a way to start again, at a limited rate. A cycle is reported once, at its first member.
    """
    here = subject.facts.definition
    # Found once for the whole project and kept: each workflow asks for itself.
    path = subject.shared.once(_cycles).get(here.name) if here.label is not None else None
    if path is None or path[0][1] not in here.span:
        return
    (_, span), *others = path
    names = [*(name for name, _ in others), here.name]
    notes = tuple(note("PW605", place, name=name) for name, place in others[:MAX_NOTES])
    if not others:
        yield finding("PW605", span, "itself", name=here.name)
    elif len(names) > MAX_NAMES:
        said = {"names": f"`{names[0]}`", "count": len(names) - 2, "name": here.name}
        yield finding("PW605", span, "long", notes=notes, values=said)
    else:
        yield finding("PW605", span, names=" -> ".join(f"`{name}`" for name in names), notes=notes)


Place = TypeVar("Place")
Edges: TypeAlias = "dict[str, list[tuple[str, Place]]]"
"""For a label each label that it starts, and where."""


def _cycles(shared: Shared) -> Edges[Span]:
    """For the first member of each cycle: every member with the place where it starts the next one."""
    return cycles(_started(shared))


def cycles(started: Edges[Place]) -> Edges[Place]:
    """For the first member of each cycle: every member with the place where it starts the next one."""
    edges = _without_ends(started)
    found: Edges[Place] = {}
    members: set[str] = set()
    for start in edges:
        path = _cycle(start, edges) if start not in members else None
        if path is not None:
            found[start] = path
            # A cycle is reported at its first member only.
            members.update(name for name, _ in path)
    return found


def _without_ends(edges: Edges[Place]) -> Edges[Place]:
    """Leave out, again and again, whoever starts nobody that is left: they are on no cycle."""
    started_by: dict[str, list[str]] = {}
    left = {name: len(starts) for name, starts in edges.items()}
    for name, starts in edges.items():
        for label, _ in starts:
            started_by.setdefault(label, []).append(name)
    ends = [label for label in started_by if label not in edges]
    while ends:
        for name in started_by.get(ends.pop(), ()):
            # left: how many of those that a workflow starts may be on a cycle. At 0 it is on none itself, and
            # those who start it are looked at again.
            left[name] -= 1
            if left[name] == 0:
                ends.append(name)
    return {
        name: [(label, span) for label, span in starts if left.get(label)]
        for name, starts in edges.items()
        if left[name]
    }


def _started(shared: Shared) -> Edges[Span]:
    return started(shared.facts)


def started(many: Iterable[Facts]) -> Edges[Span]:
    """For each labelled workflow the labels that it starts before it has waited, and where."""
    found: Edges[Span] = {}
    for facts in many:
        if facts.definition.label is not None and (starts := list(_starts(facts))):
            found.setdefault(facts.definition.name, []).extend(starts)
    return found


def _starts(facts: Facts) -> Iterator[tuple[str, Span]]:
    for step in facts.of(nodes.Sql):
        node = step.node
        assert isinstance(node, nodes.Sql)
        statement = facts.statement(step) if "df.start" in node.query.value else None
        # A workflow that sleeps an hour and then starts itself is how a schedule is written.
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


def _cycle(start: str, edges: Edges[Place]) -> list[tuple[str, Place]] | None:
    """The shortest way from a label back to itself: each member with the place where it starts the next one."""
    came: dict[str, tuple[str, Place]] = {}  # for each label who starts it, and where
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for label, span in edges.get(name, ()):
            if label in came:
                continue
            came[label] = (name, span)
            # Breadth first, so the first way back is a shortest.
            if label == start:
                return _way_back(start, came)
            queue.append(label)
    return None


def _way_back(start: str, came: dict[str, tuple[str, Place]]) -> list[tuple[str, Place]]:
    # Backwards: came says for each label who starts it.
    way = [came[start]]
    while way[-1][0] != start:
        way.append(came[way[-1][0]])
    return way[::-1]
