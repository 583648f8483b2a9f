"""The AST: what a program means, with the way back to its text.

Nodes are frozen and compare by meaning: spans do not take part, so equal programs are equal wherever they stand.
The parser makes these; checks, graph, lowering and printer read them. A name bound with `|=>` is a field of the
node it names (`binding`), as in the rows: naming adds no node.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeAlias

from pgweave.grammar.kinds import CALL_CHILD, KINDS, OPAQUE, Kind
from pgweave.grammar.span import Source, Span


@dataclass(frozen=True, slots=True)
class Text:
    """A string value and where each of its characters is in the source.

    value: the decoded value. span: the whole literal with its quotes. anchors: pairs (offset in value, offset in
    source), ascending; from one anchor to the next both run in step, so only escapes and joins need a new pair.
    A value that was computed (folded) has one anchor at 0 and maps everything to the start of its expression.
    """

    value: str
    span: Span = field(compare=False)
    anchors: tuple[tuple[int, int], ...] = field(compare=False, default=(), repr=False)

    def locate(self, offset: int) -> int:
        """Source offset of character `offset` of the value; its length maps to just behind the last character."""
        if not self.anchors:
            return self.span.start
        value_start, source_start = self.anchors[bisect_right(self.anchors, offset, key=lambda pair: pair[0]) - 1]
        # A computed text may be longer than its expression; its later characters would be located behind it.
        return min(source_start + offset - value_start, self.span.end)

    def anchors_within(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """The anchors whose value offset lies in start..end, end exclusive."""
        first = bisect_left(self.anchors, start, key=lambda pair: pair[0])
        return self.anchors[first : bisect_left(self.anchors, end, key=lambda pair: pair[0])]

    def span_of(self, start: int, end: int) -> Span:
        """Source span of `value[start:end]`, through quotes and escapes."""
        if end <= start:
            return Span(self.locate(start), self.locate(start))
        # `it''s`: the quote is one character of the value and two of the text, so the end of the span is where
        # the next character begins, if that is just one further.
        last, behind = self.locate(end - 1) + 1, self.locate(end)
        # The last character may be written with two, as a quote is; what is further away is another literal.
        return Span(self.locate(start), min(behind if behind == last + 1 else last, self.span.end))


@dataclass(frozen=True, slots=True)
class Binding:
    """The name given with `|=>` or `df.as`.

    span: the name's literal. operator: the `|=>`; None when a call names the step. target: what stands to the left
    of `|=>`, with its parentheses; grouped: whether it has any.
    """

    name: str
    span: Span = field(compare=False)
    operator: Span | None = field(default=None, compare=False, repr=False)
    target: Span | None = field(default=None, compare=False, repr=False)
    grouped: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """What every step has.

    kind: the row that the step becomes. substeps: the fields that hold its sub-steps, in the order of `children`.
    span: the step without parentheses around it, with its `|=> name`. operator: the symbol, when the step was
    written with one (of an If the `!>`). parens: the outermost parentheses around the step, if there are any.
    """

    kind: ClassVar[Kind]
    substeps: ClassVar[tuple[str, ...]] = ()
    span: Span = field(compare=False)
    binding: Binding | None = None
    operator: Span | None = field(default=None, compare=False, repr=False)
    parens: Span | None = field(default=None, compare=False, repr=False)

    @property
    def outer(self) -> Span:
        """The step with its parentheses: what an edit replaces."""
        return self.parens or self.span


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql(_Node):
    """Run one SQL statement. `'SELECT 1'`, `df.sql('SELECT 1')`."""

    kind: ClassVar[Kind] = KINDS["SQL"]
    query: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Then(_Node):
    """Run `first`, then `second`. `a ~> b`."""

    kind: ClassVar[Kind] = KINDS["THEN"]
    substeps: ClassVar[tuple[str, ...]] = ("first", "second")
    first: Node
    second: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class If(_Node):
    """Run one of two branches, by the truth of the condition's result. `c ?> t !> e`."""

    kind: ClassVar[Kind] = KINDS["IF"]
    substeps: ClassVar[tuple[str, ...]] = ("then_branch", "else_branch", "condition")
    condition: Node
    then_branch: Node
    else_branch: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class IfRows(_Node):
    """Run one of two branches: does the named result have rows? `df.if_rows('r', t, e)`."""

    # The same row as an If: its condition is a name instead of a step.
    kind: ClassVar[Kind] = KINDS["IF"]
    substeps: ClassVar[tuple[str, ...]] = ("then_branch", "else_branch")
    result_name: Text
    then_branch: Node
    else_branch: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(_Node):
    """Run two or more branches side by side and wait for all. `a & b`, `df.join3(a, b, c)`."""

    kind: ClassVar[Kind] = KINDS["JOIN"]
    substeps: ClassVar[tuple[str, ...]] = ("branches",)
    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race(_Node):
    """Run two branches side by side; the first to finish wins. `a | b`."""

    kind: ClassVar[Kind] = KINDS["RACE"]
    substeps: ClassVar[tuple[str, ...]] = ("left", "right")
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop(_Node):
    """Repeat the body while the condition, tested after each turn, holds; for ever without one. `@> body`.

    continue_on_failure: a turn whose body fails in a step of SQL or a request is followed by the next one, untested.
    """

    kind: ClassVar[Kind] = KINDS["LOOP"]
    substeps: ClassVar[tuple[str, ...]] = ("body", "condition")
    body: Node
    condition: Node | None = None
    continue_on_failure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Break(_Node):
    """Leave the nearest loop with a value. `df.break('done')`."""

    kind: ClassVar[Kind] = KINDS["BREAK"]
    value: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(_Node):
    """Pause. `df.sleep(60)`; whole seconds, not negative."""

    kind: ClassVar[Kind] = KINDS["SLEEP"]
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSchedule(_Node):
    """Pause until the next time a cron expression names. `df.wait_for_schedule('0 6 * * *')`."""

    kind: ClassVar[Kind] = KINDS["WAIT_SCHEDULE"]
    cron: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(_Node):
    """Wait for a signal from outside. `df.wait_for_signal('approved', 3600)`; the timeout is in seconds."""

    kind: ClassVar[Kind] = KINDS["SIGNAL"]
    signal_name: Text
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(_Node):
    """Make an HTTP request. headers: JSON object as text, in its jsonb rendering, or None."""

    kind: ClassVar[Kind] = KINDS["HTTP"]
    url: Text
    method: str = "POST"
    body: Text | None = None
    headers: Text | None = None
    timeout_seconds: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpMultipart(_Node):
    """Make a multipart HTTP request. parts: JSON array as text; headers: JSON object as text, or None."""

    kind: ClassVar[Kind] = KINDS["HTTP_MULTIPART"]
    url: Text
    parts: Text
    method: str = "POST"
    headers: Text | None = None
    timeout_seconds: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitInstance(_Node):
    """Wait until another instance has ended. `df.await_instance('$c.instance_id', 300)`."""

    kind: ClassVar[Kind] = KINDS["AWAIT_INSTANCE"]
    instance_id: Text
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One key of call_child's options. value: the JSON value as Python reads it."""

    name: str
    value: object
    name_span: Span = field(compare=False)
    value_span: Span = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChild(_Node):
    """Start another instance and wait for its end. `df.call_child(child, 'label', '{"timeout_seconds": 300}')`.

    options: the keys as written, also those a check will refuse; None when the argument is absent or NULL.
    """

    kind: ClassVar[Kind] = CALL_CHILD
    substeps: ClassVar[tuple[str, ...]] = ("child",)
    child: Node
    label: Text | None = None
    options: tuple[Option, ...] | None = None

    def option(self, name: str) -> Option | None:
        """The option called `name`; of equal keys the last, as in jsonb."""
        # reversed: of equal names the last counts.
        return next((option for option in reversed(self.options or ()) if option.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(_Node):
    """An expression only the database can evaluate (a sub-select, a psql variable): kept as its exact text.

    operands: the steps below it whose meaning is known all the same, for checks and pictures.
    """

    kind: ClassVar[Kind] = OPAQUE
    substeps: ClassVar[tuple[str, ...]] = ("operands",)
    text: str
    operands: tuple[Node, ...] = ()


Node: TypeAlias = (
    Sql
    | Then
    | If
    | IfRows
    | Join
    | Race
    | Loop
    | Break
    | Sleep
    | WaitSchedule
    | Signal
    | Http
    | HttpMultipart
    | AwaitInstance
    | CallChild
    | Opaque
)


def children(node: Node) -> tuple[Node, ...]:
    """Sub-steps in the order of the rows: left, right, condition, further branches; a called child last.

    c ?> t !> e    (t, e, c)
    a & b & c      ((a & b), c), as it groups; df.join3(a, b, c) has three
    """
    if not node.substeps:
        return ()
    found: list[Node] = []
    for name in node.substeps:
        part = getattr(node, name)
        if isinstance(part, tuple):
            found += part
        elif part is not None:  # a loop without a condition
            found.append(part)
    return tuple(found)


def with_children(node: Node, below: tuple[Node, ...]) -> Node:
    """The same step over other sub-steps, in the order and number of `children`. ValueError: another number."""
    if len(below) != len(children(node)):
        raise ValueError(f"{type(node).__name__} has {len(children(node))} sub-steps, not {len(below)}")
    rest = iter(below)
    changes: dict[str, Any] = {}
    for name in node.substeps:
        part = getattr(node, name)
        if isinstance(part, tuple):
            changes[name] = tuple(next(rest) for _ in part)
        elif part is not None:
            changes[name] = next(rest)
    return replace(node, **changes) if changes else node


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One workflow of a file: `df.start(expression, label, ..)`, `df.explain(expression)` or a bare expression.

    name: the label if it is known, else made from the file's name and the position in it. computed: which of label,
    database and transaction_mode only the database knows, within SQL; whoever starts the workflow must be told them.
    """

    node: Node
    name: str
    span: Span = field(compare=False)
    label: Text | None = None
    database: Text | None = None
    transaction_mode: str = "caller"
    computed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """One `df.setvar(name, value)` statement."""

    name: str
    value: str | None
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """Everything a file declares, in the order of the text."""

    source: Source = field(compare=False)
    definitions: tuple[Definition, ...] = ()
    variables: tuple[Variable, ...] = ()


def same(one: object, other: object) -> bool:
    """Whether two steps, workflows or modules mean the same: `==` for trees so deep that it would run out of stack."""
    pending = [(one, other)]
    while pending:
        first, second = pending.pop()
        if type(first) is not type(second):
            return False
        if isinstance(first, tuple) and isinstance(second, tuple):
            if len(first) != len(second):
                return False
            pending.extend(zip(first, second, strict=True))
        elif isinstance(first, _Node | Definition | Module):
            # The fields that `==` compares, so places and operators do not count.
            names = [member.name for member in fields(first) if member.compare]
            pending.extend((getattr(first, name), getattr(second, name)) for name in names)
        elif first != second:
            return False
    return True
