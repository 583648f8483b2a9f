"""Edits of whole workflows: write one more into a text, take one out, give one another label."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing.edits import EditError, Edits, apply
from pgweave.grammar.editing.places import root_place
from pgweave.grammar.nodes import Definition, Text, same
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.extraction import Form, form_of
from pgweave.grammar.reading.lexer import lex
from pgweave.grammar.span import Source, Span
from pgweave.grammar.writing.formatter import format_source
from pgweave.grammar.writing.printer import print_definition
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pgweave.grammar.nodes import Module, Node
    from pgweave.grammar.reading.lexer import Token


def add(module: Module, node: Node) -> Edits:
    """Write one more workflow at the end of the text: this step, with a label that no other has."""
    source = module.source
    name = _free_name(module)
    definition = Definition(node=node, name=name, span=Span(0, 0), label=Text(name, Span(0, 0)))
    statement = format_source(Source("new.df", print_definition(definition) + "\n")).text
    if form_of(source.name) is Form.MARKDOWN:
        statement = f"```sql\n{statement}```\n"
    end = len(source.text)
    # A file whose last line has no end must not have the new statement on that line.
    before = "" if not source.text or source.text.endswith("\n") else "\n"
    if module.definitions or form_of(source.name) is Form.MARKDOWN:
        before += "\n" if source.text else ""
    return _first_of(module, [[Edit(Span(end, end), before + statement)]], (*module.definitions, definition))


def _free_name(module: Module) -> str:
    """A label made of the file's name."""
    stem = re.sub(r"[^\w]+", "-", PurePath(module.source.name).stem).strip("-") or "workflow"
    taken = {definition.name for definition in module.definitions}
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def remove(module: Module, index: int) -> Edits:
    """Take a workflow out: its statement with the line it stands on, or its part of a list."""
    text = module.source.text
    left = (*module.definitions[:index], *module.definitions[index + 1 :])
    return _first_of(module, ([Edit(span, "")] for span in _removals(module, index, text)), left)


def _removals(module: Module, index: int, text: str) -> Iterator[Span]:
    """What could go with a workflow, the most first."""
    span = module.definitions[index].span
    if form_of(module.source.name) is not Form.PROGRAM:  # prose, and SQL of others: as little as will do
        # `SELECT df.start(..);` alone in its statement: then SELECT and the semicolon go too.
        ahead = _SELECT.search(text, 0, span.start)
        if ahead and _END.match(text, span.end):
            yield from _to_the_end(text, Span(ahead.start(), span.end))
        yield span
        return
    tokens = lex(text).tokens
    before = [token for token in tokens if token.end <= span.start]
    behind = [token for token in tokens if token.start >= span.end]
    statement = _statement(span, before, behind)
    # SELECT df.start(..), df.start(..): the other one stays, so only a part of the statement can go.
    if all(other.span not in statement for at, other in enumerate(module.definitions) if at != index):
        yield from _to_the_end(text, statement)
    if before and before[-1].value == ",":
        yield Span(before[-1].start, span.end)
    if behind and behind[0].value == ",":
        yield Span(span.start, behind[0].end)
    yield span


def _statement(span: Span, before: list[Token], behind: list[Token]) -> Span:
    """The statement around a span, without its semicolon. before, behind: all tokens on either side."""
    first = next((at + 1 for at in range(len(before) - 1, -1, -1) if before[at].value == ";"), 0)
    last = next((at for at, token in enumerate(behind) if token.value == ";"), len(behind))
    return Span(before[first].start if first < len(before) else span.start, behind[last - 1].end if last else span.end)


_SELECT = re.compile(r"\bselect\s*\Z", re.IGNORECASE)
_END = re.compile(r"\s*(?:;|\Z|```)")
_REST = re.compile(r"\s*;(?:[ \t]*\n)?|[ \t]*(?:\n|\Z)|")


def _to_the_end(text: str, statement: Span) -> Iterator[Span]:
    """A statement with its semicolon, and with its line end if nothing else stands on its last line."""
    rest = _REST.match(text, statement.end)
    assert rest is not None
    yield Span(statement.start, rest.end())
    yield statement


def set_label(module: Module, index: int, label: str | None) -> Edits:
    """Give a workflow another label, or take it away; an expression that stands alone becomes a df.start."""
    text, definition = module.source.text, module.definitions[index]
    if definition.label is not None and label == definition.label.value:
        return ()
    literal = quote(label, dollars=form_of(module.source.name) is Form.PROGRAM) if label is not None else "NULL"
    outer, span = root_place(module, index).outer, definition.span
    if definition.label is not None:
        choices = [[Edit(definition.label.span, literal)]]
        if label is None:
            # Taking the argument away is better than NULL, but only if it is the last: else those behind it
            # would move up. Both are tried.
            choices.insert(
                0, [Edit(Span(_argument_before(text, definition.label.span.start), definition.label.span.end), "")]
            )
    else:
        end = Span(outer.end, outer.end)
        choices = [
            # By position, by name (where database => .. stands between), and around an expression that stands
            # alone.
            [Edit(end, f", {literal}")],
            [Edit(end, f", label => {literal}")],
            [Edit(Span(span.start, span.start), "SELECT df.start("), Edit(Span(span.end, span.end), f", {literal})")],
        ]
    new = replace(definition, label=None if label is None else Text(label, span))
    return _first_of(module, choices, (*module.definitions[:index], new, *module.definitions[index + 1 :]))


def _argument_before(text: str, start: int) -> int:
    """Where what stands before an argument ends: before its comma, and before its name if it has one."""
    tokens = [token for token in lex(text[:start]).tokens if token.end <= start]
    at = next(at for at in range(len(tokens) - 1, -1, -1) if tokens[at].value == ",")
    return tokens[at - 1].end


def _first_of(module: Module, choices: Iterable[list[Edit]], expected: Sequence[Definition]) -> Edits:
    """The first of these edits that gives these workflows. The names of those without a label come from the file's."""
    before = parse(module.source)
    for edits in choices:
        parsed = parse(Source(module.source.name, apply(module.source.text, edits)))
        found = parsed.module.definitions
        if len(found) == len(expected) and parsed.ok >= before.ok:
            named = [replace(new, name=old.name) for new, old in zip(expected, found, strict=True)]
            if all(same(one, other) for one, other in zip(named, found, strict=True)):
                return tuple(edits)
    raise EditError("This workflow cannot be changed where it stands: change it in the text.")
