"""Checks of variables: `{name}` is raw text, set before the start, and known by nobody but the role that set it."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pgweave.compiler.facts import reads
from pgweave.compiler.facts.reads import Slot
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.result_names import NAME, RESULT, VARIABLE
from pgweave.grammar.template import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.reads import Reference
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Text

ALWAYS_SET = frozenset({"sys_instance_id", "sys_label"})


def undeclared_variable(subject: Subject) -> Iterator[Diagnostic]:
    """PW212. A `{name}` that the file does not declare, or one that its place in the SQL turns into something else.

    In a quoted text braces may mean themselves (an array, JSON, GraphQL), so there an unknown name is left alone unless
    it is nearly one that is declared.
    """
    declared = subject.declared
    for step in subject.facts.root.walk():
        for reference in reads.variables(step.node):
            if reference.name in ALWAYS_SET:
                continue
            if reference.name not in declared:
                found = _undeclared(subject, reference, list(declared))
            else:
                found = _misplaced(subject, reference, declared[reference.name])
            if found is not None:
                yield found


def _undeclared(subject: Subject, reference: Reference, declared: list[str]) -> Diagnostic | None:
    name = reference.name
    near = get_close_matches(name, declared, n=1)
    placeholder = reference.placeholder
    # In SQL code `{x}` is a syntax error unless it is a variable; within quotes it may be JSON or a template.
    certain = placeholder is not None and placeholder.context is Context.CODE
    if not near and not certain and reference.slot not in (Slot.URL, Slot.INSTANCE, Slot.DATABASE):
        return None
    if not near:
        return finding("PW212", reference.span, name=name)
    edits = subject.replace(reference.name_span, f"{{{name}}}", f"{{{near[0]}}}")
    return finding("PW212", reference.span, "near", name=name, near=near[0], edits=edits)


_ARRAY_TYPE = re.compile(r"'\s*::\s*(?:[\w.\" ]+\[\]|jsonb?\b)|'\s*\)?\s*=\s*any\b", re.IGNORECASE)


def _misplaced(subject: Subject, reference: Reference, value: str | None) -> Diagnostic | None:
    """A declared variable where its text does harm: braces of an array, or a quote that ends the string around it."""
    placeholder, text = reference.placeholder, reference.text
    if placeholder is None or text is None or placeholder.context is not Context.STRING:
        return None
    name, span = reference.name, placeholder.span
    # '{a}'::text[]: an array with the element a, which is also how a variable is written.
    if text.value[span.start - 1 : span.start] == "'" and _ARRAY_TYPE.match(text.value, span.end):
        return finding("PW212", reference.span, "array", name=name)
    # Raw text: 'it's' ends after `it`.
    if value is not None and "'" in value:
        return finding("PW212", reference.span, "quote", name=name)
    return None


def variable_as_result(subject: Subject) -> Iterator[Diagnostic]:
    """PW213. `$x` where x is a variable: `$` reads results of steps, and no step binds it."""
    variables = subject.declared
    for read in subject.facts.flow.reads:
        name, placeholder = read.reference.name, read.reference.placeholder
        if not read.undefined or name not in variables or placeholder is None:
            continue
        plain = placeholder.column is None and not placeholder.star and not placeholder.nullable
        edits = subject.replace(read.reference.span, f"${name}", f"{{{name}}}") if plain else ()
        yield finding("PW213", read.reference.span, name=name, edits=edits)


_REFERENCE = re.compile(rf"{RESULT}(?:\.{NAME})?|{VARIABLE}")


def constant_only_slot(subject: Subject) -> Iterator[Diagnostic]:
    """PW508. `$x` or `{x}` where nothing is filled in: a signal's name, a schedule, the name that df.if_rows tests."""
    for step in subject.facts.of(nodes.Signal, nodes.WaitSchedule, nodes.IfRows):
        variant, text = _constant(step.node)
        found = _REFERENCE.search(text.value)
        if found is None:
            continue
        if isinstance(step.node, nodes.IfRows) and found.group().startswith("$"):
            variant = "if-rows-result"
        span, name = text.span_of(found.start(), found.end()), found.group()[1:].split(".")[0]
        yield finding("PW508", span, variant, written=found.group(), name=name)


def _constant(node: object) -> tuple[str, Text]:
    """Variant of PW508, and the text in which nothing is filled in."""
    match node:
        case nodes.Signal():
            return "signal", node.signal_name
        case nodes.WaitSchedule():
            return "", node.cron
        case nodes.IfRows():
            return "if-rows", node.result_name
        case _:
            raise AssertionError(node)
