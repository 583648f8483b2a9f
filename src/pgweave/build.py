"""Workflows from Python, one to one with the language.

    from pgweave.build import sql, sleep, workflow

    order = sql("INSERT INTO orders DEFAULT VALUES RETURNING id").named("order")
    nightly = workflow(order >> sleep(5) >> "SELECT ship($order.id)", label="nightly")
    nightly.text       # the same in the language; code(nightly) gives the Python back

| Python | the language |
|---|---|
| `a >> b`, `a & b`, `a | b` | `a ~> b`, `a & b`, `a | b` |
| `a.named("x")` | `a |=> 'x'` |
| `if_(c, a, b)`, `loop(a)`, `loop(a, c)` | `c ?> a !> b`, `@> a`, `df.loop(a, c)` |

A text beside a step is a step of SQL. Python has precedences where the language has none: `>>` binds tighter than `&`,
and `&` tighter than `|`. So `a & b >> c` is `a & (b ~> c)` here: put parentheses where operators mix. `and`, `or` and
`not` cannot mean steps, and are refused.

A value that the language refuses is refused here with the same finding, as ProgramError.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pgweave import buildcode
from pgweave.api import Workflow
from pgweave.grammar import nodes, parser
from pgweave.grammar.leaves import OF_CALL
from pgweave.grammar.nodes import Binding, Definition, Module, Text, Variable, same
from pgweave.grammar.span import Source, Span
from pgweave.grammar.writing.formatter import print_module
from pgweave.grammar.writing.printer import is_primary, print_node
from pgweave.grammar.writing.quoting import quote
from pgweave.observe.picture_bundles import of_workflow
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import ProgramError
from pgweave.workflow import load_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgweave.grammar.nodes import Node

__all__ = [
    "Step", "await_instance", "break_", "call_child", "code", "expression", "http", "http_multipart", "if_", "if_rows",
    "join", "loop", "race", "sleep", "sql", "wait_for_schedule", "wait_for_signal", "workflow",
]  # fmt: skip

_NOWHERE = Span(0, 0)
_NO_TRUTH = (
    "A step has no truth value before it has run. Write `a >> b`, `a & b`, `a | b` for `and`, `or`; "
    "if_(condition, step, other) to decide at run time."
)


class Step:
    """A step with everything below it: a value that is put together and never changed."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def named(self, name: str) -> Step:
        """Name the result: later steps read it as `$name`."""
        # The parser says what a name may be, in the words that people know from the language.
        read = _read(f"'SELECT' |=> {_written(name)}")
        assert read.binding is not None
        return Step(replace(self.node, binding=Binding(read.binding.name, _NOWHERE)))

    def __rshift__(self, other: AnyStep) -> Step:
        """`a >> b`: first a, then b."""
        return _two(nodes.Then, "first", self, "second", other)

    def __rrshift__(self, other: AnyStep) -> Step:
        return _two(nodes.Then, "first", other, "second", self)

    def __and__(self, other: AnyStep) -> Step:
        """`a & b`: both at the same time."""
        return join(self, other)

    def __rand__(self, other: AnyStep) -> Step:
        return join(other, self)

    def __or__(self, other: AnyStep) -> Step:
        """`a | b`: the first to finish wins."""
        return _two(nodes.Race, "left", self, "right", other)

    def __ror__(self, other: AnyStep) -> Step:
        return _two(nodes.Race, "left", other, "right", self)

    # `a and b` would evaluate `bool(a)` and give b: a would be missing from the workflow, without a word.
    def __bool__(self) -> bool:
        raise TypeError(_NO_TRUTH)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and same(self.node, other.node)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        """The step in the language, on one line."""
        return print_node(self.node)

    def __repr__(self) -> str:
        return f"<Step {self}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return of_workflow(workflow(self))


AnyStep: TypeAlias = Step | str
"""A step, or the SQL of one."""


def workflow(
    step: AnyStep,
    label: str | None = None,
    *,
    database: str | None = None,
    transaction_mode: str = "caller",
    variables: Mapping[str, str] | None = None,
    name: str = "workflow",
) -> Workflow:
    """Make a workflow of a step. Its text is laid out as `pgweave fmt` would.

    label: of its instances. database, transaction_mode: as for df.start. variables: what `{name}` in its steps stands
    for when a start says nothing else. name: what findings call the text, and an unlabelled workflow.
    """
    root = _step(step).node
    known = Definition(
        node=root,
        name=name,
        span=Span(1, 1),  # behind the variables
        label=_maybe(label),
        database=_maybe(database),
        transaction_mode=transaction_mode,
    )
    declared = tuple(Variable(variable, value, _NOWHERE) for variable, value in (variables or {}).items())
    try:
        text = print_module(Module(source=Source(name, ""), definitions=(known,), variables=declared))
    except ValueError as problem:
        raise PgweaveError(
            f"The language cannot say this: {problem}.", "Write a join of more than three as (a & b) & (c & d)."
        ) from problem
    # Read back from its text, so that what is built is what a file with that text would be.
    (made,) = load_source(Source(name, text), Workflow)
    assert same(made.definition.node, root), "the text does not say what was built"
    return made


# Steps


def sql(query: str) -> Step:
    """Run one SQL statement. `df.sql('SELECT 1')`, or the bare text."""
    return _call("sql", query)


def sleep(seconds: int) -> Step:
    """Pause for so many whole seconds. `df.sleep(60)`."""
    return _call("sleep", seconds)


def wait_for_schedule(cron: str) -> Step:
    """Pause until the next time of a cron expression. `df.wait_for_schedule('0 6 * * *')`."""
    return _call("wait_for_schedule", cron)


def wait_for_signal(name: str, timeout_seconds: int | None = None) -> Step:
    """Wait for a signal from outside; the result has `timed_out` and `data`. `df.wait_for_signal('go', 3600)`."""
    return _call("wait_for_signal", name, timeout_seconds=timeout_seconds)


def http(
    url: str,
    method: str = "POST",
    body: str | None = None,
    headers: Mapping[str, str] | str | None = None,
    timeout_seconds: int = 30,
) -> Step:
    """Make an HTTP request. headers: names and values, or JSON. `df.http('https://example.com/hook', 'POST', '{"id": $id}')`."""
    return _call("http", url, method, body=body, headers=_json(headers), timeout_seconds=timeout_seconds)


def http_multipart(
    url: str,
    parts: Sequence[Mapping[str, Any]] | str,
    method: str = "POST",
    headers: Mapping[str, str] | str | None = None,
    timeout_seconds: int = 30,
) -> Step:
    """Make a multipart HTTP request. parts: objects with `name`, `filename`, `content_type`, `data_b64`, or JSON."""
    given = {"parts": _json(parts), "headers": _json(headers), "timeout_seconds": timeout_seconds}
    return _call("http_multipart", url, method, **given)


def await_instance(instance_id: str, timeout_seconds: int | None = None) -> Step:
    """Wait until another instance has ended. `df.await_instance('$child.instance_id', 300)`."""
    return _call("await_instance", instance_id, timeout_seconds=timeout_seconds)


def break_(value: str | None = None) -> Step:
    """Leave the nearest loop, which comes to `value`. `df.break('done')`."""
    return _call("break", value=value)


def expression(text: str) -> Step:
    """A step that only the database can evaluate, as it is written: `(SELECT query FROM steps WHERE id = 1)`."""
    return Step(_read(text if is_primary(text) else f"({text})"))


if not TYPE_CHECKING:  # a type checker must not take every name for a function

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - of any leaf
        """The function of a leaf that has none of its own above: `nap(5)` gives `df.nap(5)`."""
        # `break_`: a keyword of Python.
        if name.removesuffix("_") not in OF_CALL:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return partial(_call, name.removesuffix("_"))


# Blocks


def if_(condition: AnyStep, then_branch: AnyStep, else_branch: AnyStep) -> Step:
    """Run one of two branches, by the first column of the condition's first row. `c ?> t !> e`."""
    yes, no = _step(then_branch).node, _step(else_branch).node
    return Step(nodes.If(condition=_step(condition).node, then_branch=yes, else_branch=no, span=_NOWHERE))


def if_rows(result_name: str, then_branch: AnyStep, else_branch: AnyStep) -> Step:
    """Run one of two branches: has the named result rows? `df.if_rows('jobs', t, e)`."""
    made = cast("nodes.IfRows", _read(f"df.if_rows({_written(result_name)}, 'SELECT', 'SELECT')"))
    return Step(replace(made, then_branch=_step(then_branch).node, else_branch=_step(else_branch).node))


def loop(body: AnyStep, condition: AnyStep | None = None, *, continue_on_failure: bool = False) -> Step:
    """Repeat: for ever, until break_, or as long as the condition, tested after each turn, holds. `df.loop(a, c)`.

    continue_on_failure: a turn whose body fails in a step of SQL or a request is followed by the next one, untested.
    """
    test, inner = None if condition is None else _step(condition).node, _step(body).node
    return Step(nodes.Loop(body=inner, condition=test, continue_on_failure=continue_on_failure, span=_NOWHERE))


def join(*branches: AnyStep) -> Step:
    """Run branches side by side and wait for all. `a & b`, `df.join3(a, b, c)`."""
    if len(branches) < 2:
        raise PgweaveError("A join needs two branches.", "Write join(a, b), or a & b.")
    return Step(nodes.Join(branches=tuple(_step(branch).node for branch in branches), span=_NOWHERE))


def race(left: AnyStep, right: AnyStep) -> Step:
    """Run two branches side by side; the first to finish wins. `a | b`."""
    return _two(nodes.Race, "left", left, "right", right)


def call_child(
    child: AnyStep, label: str | None = None, options: Mapping[str, object] | str | None = None, **named: object
) -> Step:
    """Start a workflow of its own and wait for its end. `df.call_child(a, 'label', '{"timeout_seconds": 300}')`.

    named: timeout_seconds, database, on_failure, on_timeout, on_cancel; or all of them as `options`, a dictionary or JSON.
    """
    given = {name: value for name, value in named.items() if value is not None}
    if given and options is not None:
        raise TypeError("call_child takes options=.., or each by its name, not both")
    # A step of SQL in the child's place, so that the parser checks label and options.
    made = cast("nodes.CallChild", _call("call_child", "SELECT", label=label, options=_json(given or options)).node)
    return Step(replace(made, child=_step(child).node))


def code(flow: Workflow | Step) -> str:
    """The Python that builds a workflow or a step with these functions.

    PgweaveError when a part of it is a variable or a column of the SQL around it, which Python does not have.
    """
    _refuse_surroundings(flow.node if isinstance(flow, Step) else flow.definition.node)
    if isinstance(flow, Step):
        return buildcode.step_code(flow.node)
    return buildcode.workflow_code(flow, reserved=frozenset(__all__))


# How


def _refuse_surroundings(root: Node) -> None:
    pending = [root]
    while pending:
        node = pending.pop()
        pending += nodes.children(node)
        if isinstance(node, nodes.Opaque):
            try:
                expression(node.text)
            except ProgramError as error:
                raise PgweaveError(
                    f"`{node.text}` stands for a step in the SQL around it, and means nothing in Python.",
                    "Write that step in its place, then ask again.",
                ) from error


def _step(value: AnyStep) -> Step:
    if isinstance(value, Step):
        return value
    if isinstance(value, str):
        return sql(value)
    raise TypeError(f"A step is a Step, or a text of SQL, and not {type(value).__name__}: {value!r}")


def _two(kind: Any, first: str, one: AnyStep, second: str, other: AnyStep) -> Step:  # noqa: ANN401 - Then or Race
    return Step(kind(**{first: _step(one).node, second: _step(other).node, "span": _NOWHERE}))


def _call(name: str, /, *arguments: object, **named: object) -> Step:
    """A call, read from its text: so that the parser checks its arguments."""
    written = [
        *map(_written, arguments),
        *(f"{key} => {_written(value)}" for key, value in named.items() if value is not None),
    ]
    return Step(_read(f"df.{name}({', '.join(written)})"))


def _read(text: str) -> Node:
    source = Source("build", text)
    parsed = parser.parse(source)
    if not parsed.ok or len(parsed.module.definitions) != 1:
        raise ProgramError(parsed.diagnostics, source)
    return parsed.module.definitions[0].node


def _written(value: object) -> str:
    """A value of Python as an argument of the language."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case int() | float() | Decimal():
            return str(value)
        case _:
            return quote(str(value))


def _maybe(value: str | None) -> Text | None:
    return None if value is None else Text(value, _NOWHERE)


def _json(value: object) -> str | None:
    """JSON of a value; a text is JSON already."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
