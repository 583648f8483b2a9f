"""Checks of placeholders by the place they are in: quotes, parameters, tags, URLs and bodies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pgweave.compiler.facts import reads, sqltree
from pgweave.compiler.facts.reads import Slot
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.reading.lexer import PARAM, lex
from pgweave.grammar.template import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Read, Step
    from pgweave.compiler.facts.reads import Reference
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic, Edit

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
# Comments may stand before the first word.
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


_REGEX_OPERATORS = frozenset({"~", "~*", "!~", "!~*"})
_PATH_OPERATORS = frozenset({"@?", "@@"})
_ANCHORED = re.compile(r"[A-Za-z0-9)\].*+?]\Z")


def dollar_of_a_pattern(subject: Subject) -> Iterator[Diagnostic]:
    """PW222. `$min` in a jsonpath, `a$b` in a regular expression: a dollar sign that belongs to the pattern, and the name of a result.

    In a regular expression only right behind what can be matched: `^$name` can mean nothing but the result.
    """
    patterns: dict[Step, dict[int, str]] = {}
    for read in subject.facts.flow.reads:
        reference, placeholder, step = read.reference, read.reference.placeholder, read.step
        if placeholder is None or reference.text is None or reference.slot is not Slot.SQL or read.undefined:
            continue
        if placeholder.context not in (Context.STRING, Context.DOLLAR):
            continue
        if step not in patterns:
            patterns[step] = _patterns(subject.facts.statement(step))
        # The string that the placeholder is in: the last one that begins before it.
        start = max((at for at in patterns[step] if at < placeholder.span.start), default=-1)
        kind = patterns[step].get(start, "")
        if not kind or (kind == "regex" and not _ANCHORED.search(reference.text.value[: placeholder.span.start])):
            continue
        written = subject.written(reference.span)
        edits = _escaped(subject, reference, start)
        yield finding("PW222", reference.span, kind, name=reference.name, written=written, edits=edits)


def _patterns(statement: Statement | None) -> dict[int, str]:
    """Where each string of a statement begins: `regex`, `jsonpath`, or nothing for any other."""
    if statement is None or statement.tree is None:
        return {}
    found: dict[int, str] = {}
    for name, message in sqltree.walk(statement.tree):
        if name == "A_Const" and message.WhichOneof("val") == "sval":
            # setdefault: the walk meets a pattern's constant both as an operand and by itself.
            found.setdefault(statement.offset(message.location), "")
        for node, kind in _pattern_operands(name, message):
            if sqltree.string(node) is not None:
                found[statement.offset(sqltree.location(node))] = kind
    return found


def _pattern_operands(name: str, message: Any) -> Iterator[tuple[Any, str]]:  # noqa: ANN401 - protobuf
    if name == "A_Expr":
        symbol = sqltree.operator(message)
        if symbol in _REGEX_OPERATORS:
            yield message.rexpr, "regex"
        elif symbol in _PATH_OPERATORS:
            yield message.rexpr, "jsonpath"
    elif name == "FuncCall" and len(message.args) > 1:
        function = sqltree.called(message)
        if function.startswith("regexp_"):
            yield message.args[1], "regex"
        elif function.startswith("jsonb_path_"):
            yield message.args[1], "jsonpath"
    elif name == "TypeCast" and message.type_name.names and message.type_name.names[-1].string.sval == "jsonpath":
        yield message.arg, "jsonpath"


def _escaped(subject: Subject, reference: Reference, start: int) -> tuple[Edit, ...]:
    """Write the string as E'..' with a backslash before the dollar sign; nothing where it has backslashes already."""
    text, placeholder = reference.text, reference.placeholder
    assert text is not None
    assert placeholder is not None
    between = text.value[start : placeholder.span.start]
    # E'..' gives backslashes a meaning; with one in the text already the pattern would change.
    if placeholder.context is not Context.STRING or not between.startswith("'") or "\\" in between:
        return ()
    prefix = subject.in_text(text, start, start, "E")
    escape = subject.in_text(text, placeholder.span.start, placeholder.span.start, "\\")
    return (prefix, escape) if prefix is not None and escape is not None else ()


def name_hits_syntax(subject: Subject) -> Iterator[Diagnostic]:
    """PW215. The `?` of `$x?'key'` is read as part of the name; on pg_durable a quote tag that is a name is replaced."""
    for read in subject.facts.flow.reads:
        placeholder = read.reference.placeholder
        if placeholder is None or placeholder.context is not Context.CODE or not placeholder.nullable:
            continue
        # `$x?'key'` meant jsonb's operator `?`; the scanner takes the question mark for the name's.
        if _OPERAND.match(read.reference.after()):
            span = read.reference.span
            written = subject.written(span)
            yield finding("PW215", span, written=written, spaced=written.removesuffix("?") + " ?")
    if subject.portable:
        yield from _tags(subject)


def _tags(subject: Subject) -> Iterator[Diagnostic]:
    names = subject.facts.bindings
    # $total$ .. $total$: the extension replaces the name in the tag of a dollar quote.
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
    # A URL or body that is one placeholder is taken as it is on both sides.
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
