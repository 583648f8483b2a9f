"""Checks of called children and awaited instances. Wording of refused options: the reference's."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, Fix, finding
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.flow import Flow
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import CallChild, Module, Option
    from pgweave.grammar.span import Source

SUPPORTED = ("timeout_seconds", "database", "on_failure", "on_timeout", "on_cancel")
"""In the order in which the SQL function lists and checks them; the first three are the reference's."""

CHOICES = {"on_failure": ("raise", "return"), "on_timeout": ("raise", "return"), "on_cancel": ("leave", "cancel")}
"""What those options may be; the first of each is the default."""

MAX_TIMEOUT = 2_147_483_647  # seconds; PostgreSQL's integer


def await_without_timeout(module: Module, flow: Flow) -> Iterator[Diagnostic]:
    """PW601. A wait for an instance that nothing ever cuts short.

    Not where an option was plainly meant as the timeout: that one has a finding of its own.
    """
    for step in flow.root.walk():
        match step.node:
            case nodes.AwaitInstance(timeout_seconds=None):
                advice = "Give the wait a limit in seconds: df.await_instance(..., 3600)."
            case nodes.CallChild() if not any(_means_timeout(option) for option in step.node.options or ()):
                advice = """Add one to the options of the call: '{"timeout_seconds": 3600}'."""
            case _:
                continue
        yield finding("PW601", _call_name(module.source, step.node.span), help=advice)


def unknown_option(module: Module, flow: Flow) -> Iterator[Diagnostic]:
    """PW602. A key of call_child's options that nobody reads."""
    for node in _calls(flow):
        for option in node.options or ():
            if option.name in SUPPORTED:
                continue
            near = _meant(option.name)
            fix = _renamed(module.source, option, near) if near else None
            advice = f"Did you mean `{near}`?" if near else f"Remove it; there are {', '.join(SUPPORTED)}."
            yield finding(
                "PW602", option.name_span, option=option.name, supported=", ".join(SUPPORTED), help=advice, fix=fix
            )


def bad_option_value(module: Module, flow: Flow) -> Iterator[Diagnostic]:
    """PW603. An option of call_child with a value of the wrong type or range; of equal keys the last counts."""
    for node in _calls(flow):
        for name in SUPPORTED:
            option = node.option(name)
            problem = option and _problem(option)
            if option and problem:
                title, label, advice = problem
                yield finding("PW603", option.value_span, title=title, label=label, help=advice)


def _renamed(source: Source, option: Option, name: str) -> Fix | None:
    """Write `name` in the quotes that stand there; no mend where the key is put together some other way."""
    written = option.name_span.of(source.text)
    quote = written[:1]
    if written not in (option.name, f"{quote}{option.name}{quote}"):
        return None
    return Fix(f"Write {name}", (Edit(option.name_span, written.replace(option.name, name)),))


def _problem(option: Option) -> tuple[str, str, str] | None:
    """Title, label and help for an option's value; None: nothing is wrong with it."""
    value, said = option.value, _json_type(option.value)
    match option.name:
        case "timeout_seconds" if type(value) is not int:
            advice = "Write whole seconds without quotes: 300. Leave the option out to wait for ever."
            return "df.call_child timeout_seconds must be an integer", f"this is {said}", advice
        case "timeout_seconds" if isinstance(value, int) and not 1 <= value <= MAX_TIMEOUT:
            advice = "Choose a number in that range, or leave the option out to wait for ever."
            return f"df.call_child timeout_seconds must be between 1 and {MAX_TIMEOUT}", "out of range", advice
        case "database" | "on_failure" | "on_timeout" | "on_cancel" if not isinstance(value, str):
            return f"df.call_child {option.name} must be a string", f"this is {said}", "Write it in double quotes."
        case "on_failure" | "on_timeout" | "on_cancel" if value not in CHOICES[option.name]:
            default, other = CHOICES[option.name]
            advice = f'Write "{other}", or leave the option out: "{default}" is the default.'
            return f"df.call_child {option.name} must be '{default}' or '{other}'", "neither of them", advice
        case _:
            return None


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number with a fraction" if isinstance(value, float) else "a number"
        case list() | tuple():
            return "an array"
        case _:
            return "an object"


def _calls(flow: Flow) -> Iterator[CallChild]:
    for step in flow.root.walk():
        if isinstance(step.node, nodes.CallChild):
            yield step.node


def _meant(name: str) -> str | None:
    """The option that `name` nearly is; `timeout` is a beginning of one."""
    folded = name.lower().replace("-", "_")
    starts = [option for option in SUPPORTED if folded and option.startswith(folded)]
    near = starts or get_close_matches(folded, SUPPORTED, n=1)
    return near[0] if near else None


def _means_timeout(option: Option) -> bool:
    return option.name == "timeout_seconds" or _meant(option.name) == "timeout_seconds"


def _call_name(source: Source, span: Span) -> Span:
    """The name of a call: `df.call_child`, so that the caret does not run over the whole child."""
    written = span.of(source.text)
    opening = written.find("(")
    return Span(span.start, span.start + opening) if written[:2].lower() == "df" and opening > 0 else span
