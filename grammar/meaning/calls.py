"""The df calls: which argument is which, and the node they make.

Names, order, types and defaults come from CALLS; the checks and their wording are pg_durable's. Opaque arguments make
the whole call opaque, unless they stand in the place of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Diagnostic, Edit, Fix, Note, finding
from pgweave.grammar.kinds import CALLS, Call, Param, Type
from pgweave.grammar.meaning import cron_rules
from pgweave.grammar.meaning.durofut import NAME, BadStep, bad_name, ensure
from pgweave.grammar.meaning.fold import BIGINT_RANGE, INTEGER_RANGE, FoldError, to_integer, to_jsonb
from pgweave.grammar.meaning.jsonb import Json, render_jsonb, to_python
from pgweave.grammar.meaning.static_values import (
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
    steps_in,
)
from pgweave.grammar.nodes import Binding, Node, Option, Text
from pgweave.grammar.reading.extraction import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.reading.lexer import Token
    from pgweave.grammar.span import Source, Span


@dataclass(slots=True)
class Report:
    """Where findings are collected while one program is read. within: the stretch of the file, if not all of it."""

    source: Source
    diagnostics: list[Diagnostic]
    within: Text | None = None

    def written(self, span: Span) -> str:
        """What stands there, as the lexer read it."""
        return span.of(self.source.text) if self.within is None else excerpt(self.within, span)

    def add(
        self, code: str, span: Span, *, notes: tuple[Note, ...] = (), fix: Fix | None = None, **fields: object
    ) -> None:
        """Add one finding."""
        self.diagnostics.append(finding(code, span, notes=notes, fix=fix, **fields))

    def bad_value(self, title: str, span: Span, help: str, label: str = "") -> None:  # noqa: A002
        """Add a finding in the reference's own words."""
        self.add("PW020", span, title=title, label=label, help=help)


class _Reported(Exception):
    """An argument was wrong and has been reported; the call it belongs to is broken."""


class _NotKnown(Exception):
    """An argument is known only to the database; the call it belongs to is opaque."""


def as_step(value: Value, report: Report, strict: str = "") -> Node | None:
    """What a value means in the place of a step; None after reporting that it means none.

    strict: how df.start and df.call_child begin what they say about a text that is no step.
    """
    match value:
        case StepValue():
            node = value.node
            return node if value.parens is None else replace(node, parens=value.parens)
        case TextValue():
            try:
                node = ensure(value.text, value.span, strict=bool(strict))
            except BadStep as bad:
                _report_bad_step(bad, report, strict)
                return None
            return node if value.parens is None else replace(node, parens=value.parens)
        case OpaqueValue(type=""):
            return nodes.Opaque(
                text=report.written(value.span), operands=value.operands, span=value.span, parens=value.parens
            )
        case PartialIf():
            dangling(value, report)
        case NullValue():
            report.add("PW021", value.outer, what="This step")
        case BrokenValue():
            pass
        case _:
            report.add(
                "PW019", value.outer, what="A step", expected="a text of SQL or a df call", actual=describe(value)
            )
    return None


_CHILD_OPTIONS = frozenset({"timeout_seconds", "database", "on_failure", "on_timeout", "on_cancel"})
_CORRECT_JSON = "Correct the JSON, or write the step with a df call."
_HALF_BUILT = "Write both branches: `condition ?> step !> other step`, in parentheses where one holds an operator."


def dangling(partial: PartialIf, report: Report, advice: str = _HALF_BUILT, fix: Fix | None = None) -> None:
    """Report an if that is only half built: no `!>` comes, or something stands between it and the `?>`."""
    notes = []
    if partial.taken is not None:
        symbol = report.written(partial.taken)
        notes.append(Note(partial.taken, f"`{symbol}` takes the half-built if as its left side"))
    report.add("PW104", partial.operator, notes=tuple(notes), fix=fix, help=advice)


def _report_bad_step(bad: BadStep, report: Report, strict: str) -> None:
    if bad.code == "PW020":
        report.bad_value(bad.title, bad.span, bad.help or _CORRECT_JSON)
    elif bad.code == "PW023":
        report.add("PW023", bad.span, title=strict + bad.title)
    elif bad.code == "PW104":
        report.add("PW104", bad.span, help=_HALF_BUILT)
    else:
        report.add(bad.code, bad.span)


def bind(
    call: Call, arguments: Sequence[tuple[Token | None, Value]], where: Span, report: Report
) -> dict[str, Value] | None:
    """Match arguments with parameters. where: of the call. None after reporting what does not match."""
    bound: dict[str, Value] = {}
    # A broken argument has been reported, and a comma may be what it lacks: do not count the others then.
    countable = not any(isinstance(value, BrokenValue) for _, value in arguments)
    good, named_seen = True, False
    by_name = {param.name: param for param in call.params}
    for position, (name, value) in enumerate(arguments):
        if name is None:
            if named_seen:
                report.add("PW018", value.outer)
                good = False
            elif position >= len(call.params):
                if countable:
                    count = _count(len(call.params))
                    like = CALLS["join3"] if call.name == "join" and len(arguments) == 3 else call
                    report.add("PW016", value.outer, call=f"df.{call.name}", count=count, signature=like.signature())
                return None
            else:
                bound[call.params[position].name] = value
            continue
        named_seen = True
        if name.value not in by_name:
            close = get_close_matches(name.value, by_name, 1, 0.5)
            fix = Fix(f"Write {close[0]}", (Edit(name.span, close[0]),)) if close else None
            known = f"Did you mean `{close[0]}`?" if close else f"Write it as {call.signature()}."
            if call.name == "call_child" and name.value in _CHILD_OPTIONS:
                known = f"""It is an option: options => '{{"{name.value}": ..}}'."""
                fix = None
            report.add("PW014", name.span, call=f"df.{call.name}", name=name.value, help=known, fix=fix)
            good = False
        elif name.value in bound:
            first = Note(bound[name.value].outer, "given here before")
            report.add("PW017", name.span, name=name.value, notes=(first,))
            good = False
        else:
            bound[name.value] = value
    missing = [param.name for param in call.params if param.required and param.name not in bound]
    if missing and good and countable:
        names = " and ".join(f"`{name}`" for name in missing)
        report.add("PW015", where, call=f"df.{call.name}", missing=names, signature=call.signature())
        good = False
    return bound if good and not missing else None


def _count(number: int) -> str:
    return "no argument" if number == 0 else "one argument" if number == 1 else f"{number} arguments"


def build(call: Call, bound: dict[str, Value], span: Span, report: Report) -> Value:
    """The step that this call makes of its arguments."""
    maker = _Maker(call, bound, span, report)
    try:
        node = maker.make()
    except _Reported:
        return BrokenValue(span=span)
    except _NotKnown:
        return OpaqueValue(span=span, operands=steps_in(list(bound.values())))
    return StepValue(span=span, node=node)


def bind_name(node: Node, name: Text, span: Span, operator: Span | None, target: Span, report: Report) -> Node | None:
    """`node |=> name`. A later name takes the place of an earlier one, as in the rows."""
    if NAME.fullmatch(name.value) is None:
        report.bad_value(bad_name(name.value), name.span, "Use letters, digits and underscores; begin with no digit.")
        return None
    grouped = node.parens is not None
    binding = Binding(name.value, name.span, operator, target, grouped)
    return replace(node, binding=binding, span=span, parens=None)


class _Maker:
    """Converts the arguments of one call and makes its node."""

    def __init__(self, call: Call, bound: dict[str, Value], span: Span, report: Report) -> None:
        self.call = call
        self.bound = bound
        self.span = span
        self.report = report
        self.params = {param.name: param for param in call.params}
        self.values = self._convert_all()

    def _convert_all(self) -> dict[str, object]:
        """Every argument converted or defaulted; all problems are reported before any is raised."""
        converted: dict[str, object] = {}
        problem: type[Exception] | None = None
        for param in self.call.params:
            try:
                converted[param.name] = self._convert(param)
            except _Reported:
                problem = _Reported
            except _NotKnown:
                problem = problem or _NotKnown
        self.problem = problem
        return converted

    def _convert(self, param: Param) -> object:
        value = self.bound.get(param.name)
        if value is None:
            return param.default
        if isinstance(value, BrokenValue):
            raise _Reported
        if isinstance(value, NullValue):
            if param.default is None and not self.call.strict:
                return None
            self.report.add("PW021", value.outer, what=f"`{param.name}` of df.{self.call.name}")
            raise _Reported
        if param.type is Type.STEP:
            strict = "Invalid child durable function: " if self.call.name == "call_child" else ""
            node = as_step(value, self.report, strict)
            if node is None:
                raise _Reported
            return node
        if isinstance(value, OpaqueValue) and not value.type:
            raise _NotKnown
        result = {
            Type.TEXT: self._text, Type.INTEGER: self._integer, Type.BIGINT: self._integer, Type.JSONB: self._jsonb
        }[param.type](param, value)  # fmt: skip
        if result is None and (name := self._compared(value)):
            title = f"`{param.name}` of df.{self.call.name} must be {_expected(param.type, value)}"
            advice = f"An argument is named with =>: {name} => .."
            self.report.bad_value(title, value.outer, advice, "this is a comparison")
            raise _Reported
        if result is None:
            self.report.add(
                "PW019",
                value.outer,
                what=f"`{param.name}` of df.{self.call.name}",
                expected=_expected(param.type, value),
                actual=describe(value),
            )
            raise _Reported
        return result

    def _compared(self, value: Value) -> str:
        """The parameter that a comparison has on its left, in df.http(url = 'https://x'); else empty."""
        name, equals, _ = self.report.written(value.span).partition("=")
        return name.strip() if equals and name.strip().lower() in self.params else ""

    def _text(self, param: Param, value: Value) -> Text | None:
        return value.text if isinstance(value, TextValue) else None

    def _integer(self, param: Param, value: Value) -> int | None:
        allowed = INTEGER_RANGE if param.type is Type.INTEGER else BIGINT_RANGE
        if isinstance(value, NumberValue) and isinstance(value.number, int):
            return value.number if value.bits <= (32 if param.type is Type.INTEGER else 64) else None
        if isinstance(value, TextValue) and value.unknown:
            return to_integer(value.text.value, allowed)
        return None

    def _jsonb(self, param: Param, value: Value) -> Json | None:
        if isinstance(value, JsonValue):
            return value.json
        if not isinstance(value, TextValue) or not value.unknown:
            return None
        try:
            known = to_jsonb(value, value.span)
        except FoldError as error:
            self.report.add(
                "PW022",
                error.span,
                what=f"`{param.name}` of df.{self.call.name}",
                detail=error.detail.removeprefix("not JSON: "),
            )
            raise _Reported from None
        return known.json if known else None

    # The getters below say for mypy what _convert has made sure of.

    def _step(self, name: str) -> Node:
        return self.values[name]  # type: ignore[return-value]

    def _t(self, name: str) -> Text:
        return self.values[name]  # type: ignore[return-value]

    def _maybe(self, name: str) -> Text | None:
        return self.values[name]  # type: ignore[return-value]

    def _timeout(self) -> int | None:
        seconds = self.values["timeout_seconds"]
        assert seconds is None or isinstance(seconds, int)
        if seconds is not None and seconds <= 0:
            place = self.bound["timeout_seconds"].outer
            self.report.bad_value("Timeout must be positive", place, "Write a number of seconds, at least 1.")
            raise _Reported
        return seconds

    def _refuse(self, title: str, name: str, advice: str) -> None:
        place = self.bound[name].outer if name in self.bound else self.span
        self.report.bad_value(title, place, advice)
        raise _Reported

    def make(self) -> Node:
        """The node; _Reported or _NotKnown if there is none."""
        if self.problem is not None:
            raise self.problem
        span = self.span
        match self.call.name:
            case "sql":
                return nodes.Sql(query=self._t("query"), span=span)
            case "seq":
                return nodes.Then(first=self._step("a"), second=self._step("b"), span=span)
            case "as":
                node, name = self._step("fut"), self._t("name")
                named = bind_name(node, name, span, None, node.outer, self.report)
                if named is None:
                    raise _Reported
                return replace(named, operator=None)
            case "sleep":
                seconds = self.values["seconds"]
                assert isinstance(seconds, int)
                if seconds < 0:
                    self._refuse(
                        "Sleep duration must be non-negative", "seconds", "Write a number of seconds, 0 or more."
                    )
                return nodes.Sleep(seconds=seconds, span=span)
            case "wait_for_schedule":
                return self._schedule()
            case "loop":
                condition = self.values["condition"]
                return nodes.Loop(body=self._step("body"), condition=condition, span=span)  # type: ignore[arg-type]
            case "break":
                return nodes.Break(value=self._maybe("value"), span=span)
            case "if":
                return nodes.If(
                    condition=self._step("condition"),
                    then_branch=self._step("then_branch"),
                    else_branch=self._step("else_branch"),
                    span=span,
                )
            case "if_rows":
                return nodes.IfRows(
                    result_name=self._t("result_name"),
                    then_branch=self._step("then_branch"),
                    else_branch=self._step("else_branch"),
                    span=span,
                )
            case "join" | "join3":
                return nodes.Join(branches=tuple(self._step(param.name) for param in self.call.params), span=span)
            case "race":
                return nodes.Race(left=self._step("a"), right=self._step("b"), span=span)
            case "wait_for_signal":
                if not self._t("name").value:
                    self._refuse("Signal name cannot be empty", "name", "Name the signal that df.signal will send.")
                return nodes.Signal(signal_name=self._t("name"), timeout_seconds=self._timeout(), span=span)
            case "await_instance":
                if not self._t("instance_id").value:
                    self._refuse("Instance ID cannot be empty", "instance_id", "Write an id, or `$name.instance_id`.")
                return nodes.AwaitInstance(
                    instance_id=self._t("instance_id"), timeout_seconds=self._timeout(), span=span
                )
            case "call_child":
                return nodes.CallChild(
                    child=self._step("fut"), label=self._maybe("label"), options=self._options(), span=span
                )
            case "http" | "http_multipart":
                return self._http()
            case _:
                raise AssertionError(self.call.name)

    def _schedule(self) -> Node:
        expression = self._t("cron_expr")
        bad = cron_rules.problem(expression.value)
        if bad is not None:
            title = f"Invalid cron expression '{expression.value}': {bad.detail}"
            self.report.bad_value(title, expression.span_of(bad.start, bad.end), bad.help)
            raise _Reported
        return nodes.WaitSchedule(cron=expression, span=self.span)

    def _options(self) -> tuple[Option, ...] | None:
        json = self.values["options"]
        if json is None:
            return None
        assert isinstance(json, Json)
        if json.members is None:
            advice = """Write an object: '{"timeout_seconds": 300}'."""
            self._refuse("df.call_child options must be a JSON object", "options", advice)
        return tuple(
            Option(member.name.value, to_python(member.value), member.name.span, member.value.span)
            for member in json.members or ()
        )

    def _http(self) -> Node:
        multipart = self.call.name == "http_multipart"
        url = self._t("url")
        scheme = url.value.split("://", 1)[0]
        if "{" not in url.value and not url.value.startswith("$") and scheme.lower() not in ("http", "https"):
            title = f"Blocked: unsupported URL scheme '{scheme}'. Only http and https are allowed."
            self._refuse(
                title, "url", "Begin the URL with https://; the URL is the first argument, the method the second."
            )
        given = self.values["method"]
        method = given.value if isinstance(given, Text) else str(given)
        allowed = ("POST", "PUT", "PATCH") if multipart else ("GET", "POST", "PUT", "DELETE", "PATCH")
        if method.upper() not in allowed:
            words = ", ".join(allowed[:-1]) + ", or " + allowed[-1]
            kind = "Invalid HTTP method for multipart" if multipart else "Invalid HTTP method"
            self._refuse(f"{kind}: {method}. Must be {words}", "method", "Write one of these methods.")
        timeout = self._timeout()
        assert timeout is not None
        headers = self.values["headers"]
        header_text = render_jsonb(headers) if isinstance(headers, Json) else None
        if not multipart:
            return nodes.Http(
                url=url,
                method=method.upper(),
                body=self._maybe("body"),
                headers=header_text,
                timeout_seconds=timeout,
                span=self.span,
            )
        return nodes.HttpMultipart(
            url=url,
            method=method.upper(),
            parts=self._parts(),
            headers=header_text,
            timeout_seconds=timeout,
            span=self.span,
        )

    def _parts(self) -> Text:
        parts = self.values["parts"]
        example = """Write an array of objects: '[{"name": "file", "data_b64": "$blob"}]'."""
        if not isinstance(parts, Json):
            self._refuse("parts is required and cannot be NULL", "parts", example)
        assert isinstance(parts, Json)
        if parts.items is None or not all(item.is_object for item in parts.items):
            self._refuse("parts must be a JSON array of part objects", "parts", example)
        if not parts.items:
            self._refuse("parts must contain at least one part", "parts", example)
        return render_jsonb(parts)


def _expected(kind: Type, value: Value) -> str:
    """What should have been there, in words that tell it from what is there."""
    if kind is Type.INTEGER and isinstance(value, NumberValue) and isinstance(value.number, int):
        return "a whole number of type integer"
    return _EXPECTED[kind]


_EXPECTED = {
    Type.TEXT: "a text in quotes",
    Type.INTEGER: "a whole number",
    Type.BIGINT: "a whole number",
    Type.JSONB: "JSON, in quotes or as jsonb",
}
