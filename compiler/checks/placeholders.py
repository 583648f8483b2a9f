"""Checks of placeholders by the place they are in: quotes, parameters, tags, URLs and bodies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.compiler.facts import reads
from pgweave.compiler.facts.reads import Slot
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.reading.lexer import PARAM, lex
from pgweave.grammar.template import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Read
    from pgweave.compiler.facts.reads import Reference
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic

# Where a placeholder stands within quotes -> the variant of PW205.
_QUOTES = {
    Context.STRING: "",
    Context.ESCAPE_STRING: "",
    Context.UNICODE_STRING: "",
    Context.IDENTIFIER: "identifier",
    Context.DOLLAR: "dollar-quotes",
}


def placeholder_in_literal(subject: Subject) -> Iterator[Diagnostic]:
    """PW205. On pg_durable a value is written with its quotes, wherever it stands; here it is written as text inside.

    Only names that some step binds: any other dollar in quotes means itself, there as here. Not numbers and booleans,
    which are written bare.
    """
    if not subject.portable:
        return
    for read in subject.facts.flow.reads:
        reference = read.reference
        if reference.slot is not Slot.SQL or reference.placeholder is None or read.undefined:
            continue
        quotes = _QUOTES.get(reference.placeholder.context)
        if quotes is not None and not _fits(subject.facts, read, _BARE):
            written = subject.written(reference.span)
            yield finding("PW205", reference.span, quotes, written=written)


_PARAMETER = re.compile(r"\$[0-9]")
_ROUTINE = re.compile(
    r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*(?:create|prepare|explain\s*\([^)]*generic_plan)\b", re.IGNORECASE | re.DOTALL
)


def positional_parameter(subject: Subject) -> Iterator[Diagnostic]:
    """PW214. `$1` in a step: nobody binds parameters.

    It has a meaning in the body of a routine, in PREPARE and in EXPLAIN (GENERIC_PLAN). Which of them a statement is, its
    tree says; without one, its first words do.
    """
    for step in subject.facts.of(nodes.Sql):
        if not isinstance(step.node, nodes.Sql) or not _PARAMETER.search(step.node.query.value):
            continue
        text = step.node.query
        if _has_parameters(text.value, subject.facts.statement(step)):
            continue
        for token in lex(text.value).tokens:
            if token.kind == PARAM:
                written = text.value[token.start : token.end]
                yield finding("PW214", text.span_of(token.start, token.end), written=written)


def _has_parameters(text: str, statement: Statement | None) -> bool:
    """Whether `$1` means something in a statement."""
    if statement is None or statement.tree is None or statement.count != 1:
        return _ROUTINE.match(text) is not None
    if statement.kind == "explain_stmt":
        return any(option.def_elem.defname == "generic_plan" for option in statement.body.options)
    return statement.kind in ("create_function_stmt", "prepare_stmt")


_OPERAND = re.compile(r"[&|]?\s*(?:'|\$[A-Za-z_]|array\s*\[)", re.IGNORECASE)


def name_hits_syntax(subject: Subject) -> Iterator[Diagnostic]:
    """PW215. The `?` of `$x?'key'` is read as part of the name; on pg_durable a quote tag that is a name is replaced."""
    for read in subject.facts.flow.reads:
        placeholder = read.reference.placeholder
        if placeholder is None or placeholder.context is not Context.CODE or not placeholder.nullable:
            continue
        if _OPERAND.match(read.reference.after()):
            span = read.reference.span
            written = subject.written(span)
            yield finding("PW215", span, written=written, spaced=written.removesuffix("?") + " ?")
    if subject.portable:
        yield from _tags(subject)


def _tags(subject: Subject) -> Iterator[Diagnostic]:
    names = subject.facts.bindings
    pattern = re.compile(r"\$(" + "|".join(map(re.escape, names)) + r")\$") if names else None
    for step in subject.facts.of(nodes.Sql) if pattern else ():
        if isinstance(step.node, nodes.Sql) and pattern is not None:
            text = step.node.query
            for found in pattern.finditer(text.value):
                span = text.span_of(found.start(), found.end())
                yield finding("PW215", span, "tag", tag=found.group(), name=found[1])


def json_splice(subject: Subject) -> Iterator[Diagnostic]:
    """PW407. On pg_durable values are put into a body or URL as they are; here they are escaped for their place."""
    if not subject.portable:
        return
    for read in subject.facts.flow.reads:
        if not read.undefined and _spliced(read.reference) and not _fits(subject.facts, read, _HARMLESS):
            yield _splice(subject, read.reference)
    declared = subject.declared
    for step in subject.facts.of(nodes.Http, nodes.HttpMultipart):
        for reference in reads.variables(step.node):
            if reference.name in declared and reference.slot is Slot.BODY and _looks_like_json(reference):
                yield _splice(subject, reference)


_BARE = frozenset({"bool", "int2", "int4", "int8", "integer", "bigint", "float4", "float8"})
_HARMLESS = _BARE | {"numeric", "date", "uuid"}


def _fits(facts: Facts, read: Read, types: frozenset[str]) -> bool:
    """Whether a value is certainly of one of these types, or has been encoded by a function."""
    placeholder = read.reference.placeholder
    results = facts.bound(read)
    if placeholder is None or placeholder.star or not results:
        return False
    for result in results:
        columns = result.columns or ()
        chosen = (
            columns[:1] if placeholder.column is None else [one for one in columns if one.name == placeholder.column]
        )
        if not chosen or not (chosen[0].type in types or chosen[0].encoded):
            return False
    return True


def _spliced(reference: Reference) -> bool:
    if reference.text is None or reference.placeholder is None:
        return False
    whole = len(reference.placeholder.span) == len(reference.text.value.strip())
    if reference.slot is Slot.URL:
        return not whole
    return reference.slot is Slot.BODY and not whole and _looks_like_json(reference)


def _looks_like_json(reference: Reference) -> bool:
    return reference.text is not None and reference.text.value.lstrip()[:1] in ("{", "[")


def _splice(subject: Subject, reference: Reference) -> Diagnostic:
    written = subject.written(reference.span)
    variable = reference.name_span != reference.span and written[:1] == "{"
    variant = "url" if reference.slot is Slot.URL else "braces" if variable else ""
    return finding("PW407", reference.span, variant, written=written)
