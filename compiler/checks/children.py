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
from pgweave.grammar.diagnostics import Edit, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.compiler.facts.outcomes import Result
    from pgweave.compiler.facts.reads import Reference
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

_ENVELOPES = (nodes.CallChild, nodes.AwaitInstance)
MAX_TIMEOUT = 2_147_483_647  # seconds; PostgreSQL's integer


def await_without_timeout(subject: Subject) -> Iterator[Diagnostic]:
    """PW601. A wait for an instance that nothing ever cuts short.

    Not where an option was plainly meant as the timeout: that one has a finding of its own.
    """
    for step in subject.facts.of(nodes.AwaitInstance, nodes.CallChild):
        match step.node:
            case nodes.AwaitInstance(timeout_seconds=None):
                yield finding("PW601", subject.call_name(step.node))
            case nodes.CallChild() if not any(_means_timeout(option) for option in step.node.options or ()):
                yield finding("PW601", subject.call_name(step.node), "child")
            case _:
                pass


def unknown_option(subject: Subject) -> Iterator[Diagnostic]:
    """PW602. A key of call_child's options that nobody reads, here or on pg_durable."""
    known = REFERENCE if subject.portable else SUPPORTED
    for node in _calls(subject):
        for option in node.options or ():
            if option.name in known:
                continue
            only_here = option.name in SUPPORTED
            near = None if only_here else _meant(option.name)
            variant = "only-here" if only_here else "near" if near else ""
            said = {"option": option.name, "supported": ", ".join(known), "near": near}
            edits = _renamed(subject.module.source, option, near) if near else ()
            yield finding("PW602", option.name_span, variant, edits=edits, values=said)


def bad_option_value(subject: Subject) -> Iterator[Diagnostic]:
    """PW603. An option of call_child with a value of the wrong type or range; of equal keys the last counts."""
    for node in _calls(subject):
        for name in SUPPORTED:
            option = node.option(name)
            problem = _problem(option) if option else None
            if option and problem is None:
                problem = _only_here(subject, option)
            if option and problem is not None:
                default, other = CHOICES.get(name, ("", ""))
                said = {"type": _json_type(option.value), "limit": MAX_TIMEOUT, "default": default, "other": other}
                yield finding("PW603", option.value_span, problem, option=name, values=said)


def _only_here(subject: Subject, option: Option) -> str | None:
    """Variant of PW603 for a value that pg_durable's proposal refuses."""
    refused = subject.portable and option.name == "on_failure" and option.value != "raise"
    return "only-here" if refused else None


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
        if results and all(isinstance(one.step.node, _ENVELOPES) for one in results):
            yield from _wrong_path(subject, read.reference, results)


def _wrong_path(subject: Subject, reference: Reference, results: Sequence[Result]) -> Iterator[Diagnostic]:
    """One placeholder that reads past the envelope `{instance_id, status, result}`, with the JSON path that works."""
    placeholder = reference.placeholder
    if placeholder is None or placeholder.column is None or reference.text is None:
        return
    end, span, variant = placeholder.span.end, reference.span, ""
    path = path_behind(reference)
    if path is not None and placeholder.column == "result":
        # `$c.result.rows[0].id`: the parts behind `.result` become the path of one #> operator.
        keys = ",".join(part for part in re.split(r"[.\[\]]+", path) if part)
        variant, end, span = "path", end + len(path), with_path(reference, path)
    elif any(placeholder.column not in (one.names or ()) for one in results) and not placeholder.nullable:
        # The result of a child that ends with SQL is a row set, {"rows": [{..}]}, so a column is in its first
        # row.
        keys = "rows" if placeholder.column == "rows" else f"rows,0,{placeholder.column}"
    else:
        return
    better = f"(${reference.name}.result)::jsonb #> '{{{keys}}}'"
    sql = reference.slot is Slot.SQL
    edits = subject.rewrite(reference.text, placeholder.span.start, end, f"({better})") if sql else ()
    known = ", ".join(results[0].names or ())
    yield finding("PW607", span, variant, names=known, path=path, better=better, edits=edits)


def timeout_too_short(subject: Subject) -> Iterator[Diagnostic]:
    """PW608. A child that waits longer, at its very best, than its parent waits for it."""
    for step in subject.facts.of(nodes.CallChild):
        node = step.node
        assert isinstance(node, nodes.CallChild)
        option, child = node.option("timeout_seconds"), subject.facts.waiting(step.children[0])
        if option is None or not isinstance(option.value, int) or _problem(option) is not None or child is None:
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


def _renamed(source: Source, option: Option, name: str) -> tuple[Edit, ...]:
    """Write `name` in the quotes that stand there; no edit where the key is put together some other way."""
    written = option.name_span.of(source.text)
    quote = written[:1]
    # The key may be written with escapes, or come out of format().
    if written not in (option.name, f"{quote}{option.name}{quote}"):
        return ()
    return (Edit(option.name_span, written.replace(option.name, name)),)


def _problem(option: Option) -> str | None:
    """Variant of PW603 for an option's value ("" is one too); None: nothing is wrong with it."""
    value = option.value
    match option.name:
        # type() and not isinstance: true is an int to Python and a boolean in JSON.
        case "timeout_seconds" if type(value) is not int:
            return "fraction" if isinstance(value, float) else "not-an-integer"
        case "timeout_seconds" if isinstance(value, int) and not 1 <= value <= MAX_TIMEOUT:
            return "out-of-range"
        case "database" | "on_failure" | "on_timeout" | "on_cancel" if not isinstance(value, str):
            return ""
        case "on_failure" | "on_timeout" | "on_cancel" if value not in CHOICES[option.name]:
            return "choice"
        case _:
            return None


def _json_type(value: object) -> str:
    """Type of a JSON value, in the words of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
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
    # `time` is a beginning of timeout_seconds, and too far from it for get_close_matches.
    starts = [option for option in SUPPORTED if folded and option.startswith(folded)]
    near = starts or get_close_matches(folded, SUPPORTED, n=1)
    return near[0] if near else None


def _means_timeout(option: Option) -> bool:
    return option.name == "timeout_seconds" or _meant(option.name) == "timeout_seconds"
