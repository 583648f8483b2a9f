"""Checks of called children and awaited instances. Wording of refused options: the reference's."""

from __future__ import annotations

import re
from difflib import get_close_matches
from math import inf
from typing import TYPE_CHECKING

from pgweave.compiler.checks.results import path_behind, with_path
from pgweave.compiler.checks.starts import INSTANCE_ID
from pgweave.compiler.facts.reads import Slot
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, Fix, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import CallChild, Option
    from pgweave.grammar.span import Source

SUPPORTED = ("timeout_seconds", "database", "on_failure", "on_timeout", "on_cancel")
"""In the order in which the SQL function lists and checks them."""

REFERENCE = SUPPORTED[:3]
"""Those that pg_durable's proposal knows too; of on_failure only the default."""

CHOICES = {"on_failure": ("raise", "return"), "on_timeout": ("raise", "return"), "on_cancel": ("leave", "cancel")}
"""What those options may be; the first of each is the default."""

MAX_TIMEOUT = 2_147_483_647  # seconds; PostgreSQL's integer


def await_without_timeout(subject: Subject) -> Iterator[Diagnostic]:
    """PW601. A wait for an instance that nothing ever cuts short.

    Not where an option was plainly meant as the timeout: that one has a finding of its own.
    """
    for step in subject.facts.of(nodes.AwaitInstance, nodes.CallChild):
        match step.node:
            case nodes.AwaitInstance(timeout_seconds=None):
                advice = "Give the wait a limit in seconds: df.await_instance(..., 3600)."
            case nodes.CallChild() if not any(_means_timeout(option) for option in step.node.options or ()):
                advice = """Add one to the options of the call: '{"timeout_seconds": 3600}'."""
            case _:
                continue
        yield finding("PW601", subject.call_name(step.node), help=advice)


def unknown_option(subject: Subject) -> Iterator[Diagnostic]:
    """PW602. A key of call_child's options that nobody reads, here or on pg_durable."""
    known = REFERENCE if subject.portable else SUPPORTED
    for node in _calls(subject):
        for option in node.options or ():
            if option.name in known:
                continue
            near = _meant(option.name)
            fix = _renamed(subject.module.source, option, near) if near else None
            advice = f"Did you mean `{near}`?" if near else f"Remove it; there are {', '.join(known)}."
            if option.name in SUPPORTED:
                advice, fix = "Remove it; pg_durable does not know it.", None
            yield finding(
                "PW602", option.name_span, option=option.name, supported=", ".join(known), help=advice, fix=fix
            )


def bad_option_value(subject: Subject) -> Iterator[Diagnostic]:
    """PW603. An option of call_child with a value of the wrong type or range; of equal keys the last counts."""
    for node in _calls(subject):
        for name in SUPPORTED:
            option = node.option(name)
            problem = option and (_problem(option) or _only_here(subject, option))
            if option and problem:
                title, label, advice = problem
                yield finding("PW603", option.value_span, title=title, label=label, help=advice)


def _only_here(subject: Subject, option: Option) -> tuple[str, str, str] | None:
    """A value that pg_durable's proposal refuses."""
    if not subject.portable or option.name != "on_failure" or option.value == "raise":
        return None
    title = "df.call_child only supports on_failure = 'raise' in this release"
    return title, "refused on pg_durable", "Leave the option out there."


def unlabelled_child(subject: Subject) -> Iterator[Diagnostic]:
    """PW604. A child without a label is one id among others in every list."""
    for node in _calls(subject):
        if node.label is None or not node.label.value.strip():
            yield finding("PW604", subject.call_name(node))


def awaits_itself(subject: Subject) -> Iterator[Diagnostic]:
    """PW606. A wait for the instance that waits."""
    for step in subject.facts.of(nodes.AwaitInstance):
        text = step.node.instance_id  # type: ignore[union-attr]
        if text.value.strip() == "{sys_instance_id}":
            yield finding("PW606", text.span_of(0, len(text.value)))


def child_result_path(subject: Subject) -> Iterator[Diagnostic]:
    """PW607. `$c.result.rows`, `$c.rows` or another column of the child's: all of it is JSON under `result`."""
    for read, results in subject.facts.readings:
        if not results or not all(isinstance(one.step.node, nodes.CallChild | nodes.AwaitInstance) for one in results):
            continue
        reference, placeholder = read.reference, read.reference.placeholder
        if placeholder is None or placeholder.column is None or reference.text is None:
            continue
        name, end, span = reference.name, placeholder.span.end, reference.span
        path = path_behind(reference)
        if path is not None and placeholder.column == "result":
            keys = [part for part in re.split(r"[.\[\]]+", path) if part]
            better = f"(${name}.result)::jsonb #> '{{{','.join(keys)}}}'"
            label, end = f"`{path}` is no part of the name, and stays in the SQL", end + len(path)
            span = with_path(reference, path)
        elif any(placeholder.column not in (one.names or ()) for one in results) and not placeholder.nullable:
            wanted = "rows" if placeholder.column == "rows" else f"rows,0,{placeholder.column}"
            better = f"(${name}.result)::jsonb #> '{{{wanted}}}'"
            label = f"the envelope of an instance has {', '.join(results[0].names or ())}"
        else:
            continue
        fix = None
        if reference.slot is Slot.SQL:
            fix = subject.rewrite("Look under result", reference.text, placeholder.span.start, end, f"({better})")
        yield finding("PW607", span, label=label, help=f"Write `{better}`.", fix=fix)


def timeout_too_short(subject: Subject) -> Iterator[Diagnostic]:
    """PW608. A child that waits longer, at its very best, than its parent waits for it."""
    for step in subject.facts.of(nodes.CallChild):
        node = step.node
        assert isinstance(node, nodes.CallChild)
        option, child = node.option("timeout_seconds"), subject.facts.waiting(step.children[0])
        if option is None or not isinstance(option.value, int) or _problem(option) or child is None:
            continue
        if not option.value < child.best < inf:  # one that waits for ever is meant to be left
            continue
        yield finding("PW608", option.value_span, child=int(child.best), limit=option.value)


def child_database(subject: Subject) -> Iterator[Diagnostic]:
    """PW609. On pg_durable the step that starts a child runs in the parent's database, where df may not be."""
    database = subject.facts.definition.database
    if not subject.portable or database is None:
        return
    for node in _calls(subject):
        yield finding("PW609", subject.call_name(node), database=database.value)


def literal_instance_id(subject: Subject) -> Iterator[Diagnostic]:
    """PW610. An id that was copied into the file."""
    for step in subject.facts.of(nodes.AwaitInstance):
        text = step.node.instance_id  # type: ignore[union-attr]
        if INSTANCE_ID.fullmatch(text.value.strip()):
            yield finding("PW610", text.span_of(0, len(text.value)), value=text.value.strip())


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


def _calls(subject: Subject) -> Iterator[CallChild]:
    for step in subject.facts.of(nodes.CallChild):
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
