"""The df calls: the node that each of them makes of its arguments.

Opaque arguments make the whole call opaque, unless they are in the place of a step. What a call refuses, and in which
words, is pg_durable's; the first thing that is wrong is reported, as there.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar import leaves, nodes
from pgweave.grammar.kinds import Type
from pgweave.grammar.meaning import cron_rules
from pgweave.grammar.meaning.call_arguments import Arguments, Failure, convert
from pgweave.grammar.meaning.jsonb import render_jsonb, to_python
from pgweave.grammar.meaning.static_values import BrokenValue, OpaqueValue, StepValue, Value, steps_in
from pgweave.grammar.meaning.steps import bind_name
from pgweave.grammar.nodes import Node, Option, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.grammar.kinds import Call, Member
    from pgweave.grammar.meaning.finding_report import Report
    from pgweave.grammar.span import Span

_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
_MULTIPART_METHODS = ("POST", "PUT", "PATCH")


def build(call: Call, bound: dict[str, Value], span: Span, report: Report) -> Value:
    """The step that this call makes of its arguments."""
    arguments = convert(call, bound, span, report)
    if arguments is Failure.REPORTED:
        return BrokenValue(span=span)
    if arguments is Failure.OPAQUE:
        # A step in the place of a text is data: it does not run, so nothing is known to be below this one.
        given = [bound[param.name] for param in call.params if param.name in bound and param.type is Type.STEP]
        hidden = [value for value in bound.values() if isinstance(value, OpaqueValue) and value not in given]
        return OpaqueValue(span=span, operands=steps_in([*given, *hidden]))
    problem = _problem(arguments)
    if problem is not None:
        report.add("PW020", problem.place, problem.variant, values=problem.fields)
        return BrokenValue(span=span)
    node = _node(arguments, report)
    return BrokenValue(span=span) if node is None else StepValue(span=span, node=node)


class _Problem(NamedTuple):
    """Why a call refuses arguments that are of the right types. variant: of PW020, with the values of `fields`."""

    variant: str
    place: Span
    fields: Mapping[str, object] = MappingProxyType({})


def _problem(given: Arguments) -> _Problem | None:
    """What the call refuses first. In pg_durable a timeout is looked at after the other arguments, and parts last."""
    # `or` skips None only: a named tuple with fields is never false.
    return _argument_problem(given) or _timeout_problem(given) or _parts_problem(given)


def _argument_problem(given: Arguments) -> _Problem | None:
    match given.call.name:
        case "wait_for_schedule":
            return _schedule_problem(given.text("cron_expr"))
        # '' is a text that no df.signal can send. NULL never comes here: see _convert.
        case "wait_for_signal" if not given.text("name").value:
            return _Problem("signal-name", given.place("name"))
        case "await_instance" if not given.text("instance_id").value:
            return _Problem("instance-id", given.place("instance_id"))
        case "call_child":
            return _options_problem(given)
        case "http" | "http_multipart":
            return _url_problem(given) or _method_problem(given)
        case _:
            return _duration_problem(given)


def _duration_problem(given: Arguments) -> _Problem | None:
    """A leaf that is nothing but a number of seconds, as df.sleep is."""
    kind = leaves.OF_CALL.get(given.call.name)
    # OF_CALL has all calls that make a leaf. join and loop are none, http has its own case.
    if kind is None or not kind.is_pause:
        return None
    (member,) = kind.values
    if given.integer(member.param) >= 0:
        return None
    return _Problem("pause", given.place(member.param), {"verb": kind.verb.capitalize()})


def _schedule_problem(expression: Text) -> _Problem | None:
    bad = cron_rules.problem(expression.value)
    if bad is None:
        return None
    said = {"expression": expression.value, "detail": bad.detail, "advice": bad.advice}
    return _Problem("cron", expression.span_of(bad.start, bad.end), said)


def _options_problem(given: Arguments) -> _Problem | None:
    options = given.json("options")
    if options is None or options.is_object:
        return None
    return _Problem("options", given.place("options"))


def _url_problem(given: Arguments) -> _Problem | None:
    """A URL that begins with a placeholder, or contains a variable, is checked when it is filled in."""
    url = given.text("url").value
    scheme = url.split("://", 1)[0]
    # `$host/path` and `https://x/{id}` are complete only at run time, when runtime/http/request.py asks the
    # same again.
    if "{" in url or url.startswith("$") or scheme.lower() in ("http", "https"):
        return None
    # df.http('POST', 'https://x') is the usual reason: there the scheme is `POST`.
    return _Problem("url-scheme", given.place("url"), {"scheme": scheme})


def _method_problem(given: Arguments) -> _Problem | None:
    method = _method(given)
    multipart = given.call.name == "http_multipart"
    allowed = _MULTIPART_METHODS if multipart else _METHODS
    if method.upper() in allowed:
        return None
    said = {"method": method, "others": ", ".join(allowed[:-1]), "last": allowed[-1]}
    return _Problem("multipart-method" if multipart else "method", given.place("method"), said)


def _method(given: Arguments) -> str:
    """As it is written. The default is no Text, for it stands nowhere in the program."""
    method = given.values["method"]
    return method.value if isinstance(method, Text) else str(method)


def _timeout_problem(given: Arguments) -> _Problem | None:
    """Of every call that has one."""
    if "timeout_seconds" not in given.values:
        return None
    seconds = given.optional_integer("timeout_seconds")
    if seconds is None or seconds > 0:
        return None
    return _Problem("timeout", given.place("timeout_seconds"))


def _parts_problem(given: Arguments) -> _Problem | None:
    if given.call.name != "http_multipart":
        return None
    parts = given.json("parts")
    if parts is None:
        variant = "no-parts"
    # An empty array passes this test, and is refused by the next one in words of its own.
    elif parts.items is None or not all(item.is_object for item in parts.items):
        variant = "parts-no-array"
    elif not parts.items:
        variant = "parts-empty"
    else:
        return None
    return _Problem(variant, given.place("parts"))


def _node(given: Arguments, report: Report) -> Node | None:
    """The node of a call whose arguments are right; None after reporting that the name of df.as is no name."""
    span = given.span
    match given.call.name:
        case "seq":
            return nodes.Then(first=given.step("a"), second=given.step("b"), span=span)
        case "as":
            # bind_name is also that of |=>. `operator` is taken away again: the step is written as a call now,
            # and written.py would look for a row of operators where there is none.
            node = given.step("fut")
            named = bind_name(node, given.text("name"), span, None, node.outer, report)
            return None if named is None else replace(named, operator=None)
        case "loop":
            body, condition = given.step("body"), given.optional_step("condition")
            goes_on = given.boolean("continue_on_failure")
            return nodes.Loop(body=body, condition=condition, continue_on_failure=goes_on, span=span)
        case "if":
            condition, branches = given.step("condition"), _branches(given)
            return nodes.If(condition=condition, then_branch=branches[0], else_branch=branches[1], span=span)
        case "if_rows":
            name, branches = given.text("result_name"), _branches(given)
            return nodes.IfRows(result_name=name, then_branch=branches[0], else_branch=branches[1], span=span)
        case "join" | "join3":
            return nodes.Join(branches=tuple(given.step(param.name) for param in given.call.params), span=span)
        case "race":
            return nodes.Race(left=given.step("a"), right=given.step("b"), span=span)
        case "call_child":
            child, label = given.step("fut"), given.optional_text("label")
            return nodes.CallChild(child=child, label=label, options=_options(given), span=span)
        # Every other call makes one leaf, whose fields and parameters are listed in kinds.py: a new leaf needs
        # no case here.
        case leaf:
            kind = leaves.OF_CALL[leaf]
            return leaves.make(kind, {member.field: _field(given, member) for member in kind.values}, span)


def _field(given: Arguments, member: Member) -> object:
    """An argument as the class of the leaf has it."""
    value = given.values[member.param]
    if member.word:
        return str(value.value if isinstance(value, Text) else value).upper()
    if member.type is Type.JSONB:
        json = given.json(member.param)
        return None if json is None else render_jsonb(json)
    return value


def _branches(given: Arguments) -> tuple[Node, Node]:
    return given.step("then_branch"), given.step("else_branch")


def _options(given: Arguments) -> tuple[Option, ...] | None:
    """The members of call_child's options with their places, repetitions and all."""
    options = given.json("options")
    if options is None:
        return None
    return tuple(
        Option(member.name.value, to_python(member.value), member.name.span, member.value.span)
        # No dict: of two equal names the last counts, and edits.set_option has to remove the first.
        for member in options.members or ()
    )
