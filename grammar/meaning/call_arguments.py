"""The arguments of a df call: which parameter each one is for, and its value in that parameter's type.

Names, order, types and defaults come from CALLS. Everything that is wrong with the arguments is reported here, in
pg_durable's words where it has any.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

from pgweave.grammar.catalogue import phrase
from pgweave.grammar.diagnostics import Edit, note
from pgweave.grammar.kinds import CALLS, Call, Param, Type
from pgweave.grammar.meaning.fold import BIGINT_RANGE, INTEGER_RANGE, FoldError, to_integer, to_jsonb
from pgweave.grammar.meaning.fold import cast as cast_value
from pgweave.grammar.meaning.static_values import (
    BooleanValue,
    BrokenValue,
    JsonValue,
    NullValue,
    NumberValue,
    OpaqueValue,
    PartialIf,
    StepValue,
    TextValue,
    Value,
    describe,
)
from pgweave.grammar.meaning.steps import as_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.meaning.finding_report import Report
    from pgweave.grammar.meaning.jsonb import Json
    from pgweave.grammar.nodes import Node, Text
    from pgweave.grammar.reading.lexer import Token
    from pgweave.grammar.span import Span

_CHILD_OPTIONS = frozenset({"timeout_seconds", "database", "on_failure", "on_timeout", "on_cancel"})
_EXPECTED = {
    Type.TEXT: "want-text",
    Type.INTEGER: "want-integer",
    Type.BIGINT: "want-integer",
    Type.JSONB: "want-json",
    Type.BOOLEAN: "want-boolean",
}


# Texts that a call looks into; what it would say of a step's JSON is that it is none of them.
_READ_AS_TEXT = frozenset(
    {("as", "name"), ("wait_for_schedule", "cron_expr"), ("http", "method"), ("http_multipart", "method")}
)


def bind(
    call: Call, arguments: Sequence[tuple[Token | None, Value]], where: Span, report: Report
) -> dict[str, Value] | None:
    """Match arguments with parameters. where: of the call. None after reporting what does not match."""
    bound: dict[str, Value] = {}
    # A broken argument has been reported, and a comma may be what it lacks: do not count the others then.
    countable = not any(isinstance(value, BrokenValue) for _, value in arguments)
    good = True
    for position, (name, value) in enumerate(arguments):
        if name is not None:
            # In this order: `good and _bind_named(..)` would stop reporting at the first wrong name.
            good = _bind_named(call, name, value, bound, report) and good
        # df.http(method => 'GET', 'https://x'): PostgreSQL refuses a positional argument behind a named one.
        elif any(earlier is not None for earlier, _ in arguments[:position]):
            report.add("PW018", value.outer)
            good = False
        elif position >= len(call.params):
            if countable:
                _report_surplus(call, value, len(arguments), report)
            return None  # with too many, it cannot be told which belong where
        else:
            bound[call.params[position].name] = value
    missing = [param.name for param in call.params if param.required and param.name not in bound]
    if missing and good and countable:
        names = phrase("and").join(f"`{name}`" for name in missing)
        report.add("PW015", where, call=f"df.{call.name}", missing=names, signature=call.signature())
    return bound if good and not missing else None


def _bind_named(call: Call, name: Token, value: Value, bound: dict[str, Value], report: Report) -> bool:
    """Put `name => value` into `bound`. False after reporting that the call has no such parameter, or has it already."""
    parameters = [param.name for param in call.params]
    if name.value in bound:
        first = note("PW017", bound[name.value].outer)
        report.add("PW017", name.span, name=name.value, notes=(first,))
        return False
    if name.value in parameters:
        bound[name.value] = value
        return True
    close = get_close_matches(name.value, parameters, 1, 0.5)
    near = close[0] if close else ""
    # df.call_child('..', timeout_seconds => 5): the option exists, but belongs into `options`.
    is_option = call.name == "call_child" and name.value in _CHILD_OPTIONS
    variant = "option" if is_option else "near" if near else ""
    edits = (Edit(name.span, near),) if variant == "near" else ()
    signature = call.signature()
    report.add(
        "PW014",
        name.span,
        variant,
        call=f"df.{call.name}",
        name=name.value,
        near=near,
        signature=signature,
        edits=edits,
    )
    return False


def _report_surplus(call: Call, value: Value, given: int, report: Report) -> None:
    """More arguments than parameters; value: the first that is too much."""
    number = len(call.params)
    count = phrase({0: "no-argument", 1: "one-argument"}.get(number, "arguments"), count=number)
    # df.join('a', 'b', 'c') has a function of its own.
    meant = CALLS["join3"] if call.name == "join" and given == 3 else call
    report.add("PW016", value.outer, call=f"df.{call.name}", count=count, signature=meant.signature())


class Failure(Enum):
    """Why an argument, and with it the call, has no value."""

    REPORTED = auto()  # it is wrong, and that has been reported
    OPAQUE = auto()  # only the database knows it


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a call, each in its parameter's type.

    values: converted or defaulted, one for every parameter. bound: as they are written, without those left out.
    span: of the call. The methods say for mypy what `convert` has made sure of.
    """

    call: Call
    values: dict[str, object]
    bound: dict[str, Value]
    span: Span

    def step(self, name: str) -> Node:
        """An argument that is a step."""
        return cast("Node", self.values[name])

    def optional_step(self, name: str) -> Node | None:
        """The same, of a parameter that may be NULL."""
        return cast("Node | None", self.values[name])

    def text(self, name: str) -> Text:
        """An argument that is a text."""
        return cast("Text", self.values[name])

    def optional_text(self, name: str) -> Text | None:
        """The same, of a parameter that may be NULL."""
        return cast("Text | None", self.values[name])

    def integer(self, name: str) -> int:
        """An argument that is a whole number."""
        return cast("int", self.values[name])

    def optional_integer(self, name: str) -> int | None:
        """The same, of a parameter that may be NULL."""
        return cast("int | None", self.values[name])

    def boolean(self, name: str) -> bool:
        """An argument that is true or false."""
        return cast("bool", self.values[name])

    def json(self, name: str) -> Json | None:
        """An argument that is jsonb, or NULL."""
        return cast("Json | None", self.values[name])

    def place(self, name: str) -> Span:
        """Where an argument is written; the whole call if it is left out."""
        return self.bound[name].outer if name in self.bound else self.span


def convert(call: Call, bound: dict[str, Value], span: Span, report: Report) -> Arguments | Failure:
    """Give every parameter its value. All that is wrong is reported, not just the first; wrong outweighs unknown."""
    values = {param.name: _convert(call, param, bound.get(param.name), report) for param in call.params}
    # In this order, so that df.http(url_of(x), timeout_seconds => 'soon') is an error and not merely unknown.
    for failure in (Failure.REPORTED, Failure.OPAQUE):
        if any(value is failure for value in values.values()):
            return failure
    return Arguments(call, values, bound, span)


def _convert(call: Call, param: Param, value: Value | None, report: Report) -> object:
    """One argument in its parameter's type, or its default; or a Failure."""
    match value:
        case None:
            return param.default
        case BrokenValue():
            return Failure.REPORTED
        # A STRICT function returns NULL as soon as one argument is: a step that is not there, without an error
        # message.
        case NullValue() if param.default is None and not call.strict:
            return None
        case NullValue():
            report.add("PW021", value.outer, what=_named(call, param))
            return Failure.REPORTED
        case _ if param.type is Type.STEP:
            node = as_step(value, report, "of-child" if call.name == "call_child" else "")
            return Failure.REPORTED if node is None else node
        # One whose type is known and wrong, df.sleep(now()), falls through to the type error below.
        case OpaqueValue(type=""):
            return Failure.OPAQUE
        case StepValue() | PartialIf() if param.type is Type.TEXT and (call.name, param.name) not in _READ_AS_TEXT:
            report.add("PW033", value.outer, parameter=param.name, call=f"df.{call.name}")
            return Failure.OPAQUE  # PostgreSQL passes the JSON of the step, which the compiler writes
        case _:
            result = _typed(call, param, value, report)
            if result is not None:
                return result
            _report_type(call, param, value, report)
            return Failure.REPORTED


def _typed(call: Call, param: Param, value: Value, report: Report) -> object:
    """A known value in the parameter's type; None if it is of another type. A Failure if it was reported."""
    match param.type:
        case Type.TEXT:
            return value.text if isinstance(value, TextValue) else None
        case Type.JSONB:
            return _jsonb(call, param, value, report)
        case Type.BOOLEAN:
            return _boolean(value)
        case _:
            return _integer(value, bits=32 if param.type is Type.INTEGER else 64)


def _boolean(value: Value) -> bool | None:
    if isinstance(value, BooleanValue):
        return value.value
    if isinstance(value, TextValue) and value.unknown:
        try:
            known = cast_value(value, "boolean", value.span)
        except FoldError:
            return None
        return known.value if isinstance(known, BooleanValue) else None
    return None


def _integer(value: Value, *, bits: int) -> int | None:
    if isinstance(value, NumberValue) and isinstance(value.number, int):
        # df.sleep takes bigint, timeouts take integer: 5::bigint for a timeout finds no function in PostgreSQL,
        # as there is no implicit cast to a smaller type.
        return value.number if value.bits <= bits else None
    if isinstance(value, TextValue) and value.unknown:  # df.sleep('60'): PostgreSQL reads a bare literal as a number
        return to_integer(value.text.value, INTEGER_RANGE if bits == 32 else BIGINT_RANGE)
    return None


def _jsonb(call: Call, param: Param, value: Value, report: Report) -> Json | Failure | None:
    if isinstance(value, JsonValue):
        return value.json
    # '{}'::text is no jsonb: text has no implicit cast to it, only the bare literal has.
    if not isinstance(value, TextValue) or not value.unknown:
        return None
    try:
        known = to_jsonb(value, value.span)
    except FoldError as error:
        report.add("PW022", error.span, what=_named(call, param), values=error.fields)
        return Failure.REPORTED
    return known.json if known else None


def _report_type(call: Call, param: Param, value: Value, report: Report) -> None:
    """Report an argument of another type than its parameter's."""
    what, expected = _named(call, param), phrase(_EXPECTED[param.type])
    if param.type is Type.INTEGER and isinstance(value, NumberValue) and isinstance(value.number, int):
        expected = phrase("want-int4")  # it is a whole number, but too large
    name = _compared(call, report.written(value.span))
    if name:
        report.add("PW020", value.outer, "comparison", what=what, expected=expected, name=name)
    else:
        report.add("PW019", value.outer, what=what, expected=expected, actual=describe(value))


def _named(call: Call, param: Param) -> str:
    """An argument as findings name it: `seconds` of df.sleep."""
    return phrase("the-argument", name=param.name, call=call.name)


def _compared(call: Call, written: str) -> str:
    """The parameter that a comparison has on its left, as in df.http(url = 'https://x'); else empty."""
    # `url => 'x'` never gets here, since `=>` is not `=` to the lexer; `url = 'x'` is a comparison with a
    # boolean result.
    name, equals, _ = written.partition("=")
    known = any(param.name == name.strip().lower() for param in call.params)
    return name.strip() if equals and known else ""
