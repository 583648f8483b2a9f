"""Text -> the same program in canonical layout. Comments stay, embedded SQL stays, the tree stays; or nothing changes.

    tokens -> terminals with their comments (lexemes.py) -> a document (documents.py) -> lines (layout.py) -> proof

One step per line with its operator before it, four spaces per level, a call on one line if it fits and else one
argument per line, parentheses wherever operators of different kinds meet. Where a file has other things in it than
workflows, only the workflows are touched. Before a text is given out it is read again: tree, tokens and comments must be
those of the old text, else LayoutBug says that this module is at fault. What does not parse is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import finding
from pgweave.grammar.kinds import MAX_TEXT
from pgweave.grammar.nodes import Module, Opaque, Text, children, same
from pgweave.grammar.parser import parse, parse_as
from pgweave.grammar.reading.extraction import Form, calls, form_of, lex_text
from pgweave.grammar.reading.lexer import PUNCT, Lexed, lex
from pgweave.grammar.reading.markdown import PROGRAM_LANGUAGES, SQL_LANGUAGES, blocks
from pgweave.grammar.span import Source, Span
from pgweave.grammar.writing.documents import document
from pgweave.grammar.writing.layout import render
from pgweave.grammar.writing.lexemes import read_statements, without_own_comments
from pgweave.grammar.writing.printer import opaque_span, print_definition, print_variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Definition, Node

WIDTH = 88


class LayoutBug(AssertionError):
    """The formatter would have changed the meaning of a program: a bug of pgweave. what: that it would have changed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the formatter would have changed {what} of this program; that is a bug of pgweave")


@dataclass(frozen=True, slots=True)
class Formatted:
    """What formatting gives. text: the new text, or the old one where `diagnostics` say why it cannot be read."""

    text: str
    diagnostics: tuple[Diagnostic, ...] = ()


def format_source(source: Source) -> Formatted:
    """Lay out a program. LayoutBug when the result would not mean the same."""
    parsed = parse(source)
    if not parsed.ok:
        return Formatted(source.text, parsed.diagnostics)
    if form_of(source.name) is Form.PROGRAM:
        text = _program(source.text, parsed.module)
        _prove(source.text, text)
    else:
        text = _embedded(source, parsed.module)
    if len(text) > MAX_TEXT:
        return Formatted(source.text, (finding("PW010", Span(0, 0), size=f"{len(text):,}", limit=f"{MAX_TEXT:,}"),))
    # The formatter proves its result every time: a wrong layout would change what people run.
    again = parse(Source(source.name, text))
    if not (again.ok and same(again.module, parsed.module)):
        raise LayoutBug("the tree")
    return Formatted(text)


def print_module(module: Module) -> str:
    """Write everything a file declares, laid out as `pgweave fmt` lays it out. A comment is no part of a module."""
    written = [(each.span.start, print_definition(each)) for each in module.definitions]
    written += [(each.span.start, print_variable(each, module.source)) for each in module.variables]
    statements = "\n".join(text for _, text in sorted(written, key=lambda pair: pair[0]))
    return format_source(Source(module.source.name, statements)).text


def _prove(before: str, after: str) -> None:
    """Compare what the tree does not know: tokens and comments."""
    old, new = lex(before), lex(after)
    if _words(old) != _words(new):
        raise LayoutBug("the tokens")
    if _remarks(before, old) != _remarks(after, new):
        raise LayoutBug("the comments")


def _words(lexed: Lexed) -> list[tuple[str, str]]:
    """The tokens as far as they must stay: without parentheses, with `=>` for `:=`, without semicolons that end nothing."""
    words = [(token.kind, "=>" if token.value == ":=" else token.value) for token in lexed.tokens]
    # `:=` is punctuation to the lexer and `=>` an operator; both name an argument.
    kept = [word if word[1] != "=>" else (PUNCT, "=>") for word in words if word not in ((PUNCT, "("), (PUNCT, ")"))]
    end = (PUNCT, ";")
    return [word for before, word in pairwise([end, *kept]) if word != end or before != end]


def _remarks(text: str, lexed: Lexed) -> list[str]:
    return [span.of(text).rstrip() for span in lexed.comments]


def _program(text: str, module: Module) -> str:
    """A whole text: its statements, one after the other, with at most one empty line between them."""
    newline = "\r\n" if "\r\n" in text else "\n"
    statements, remaining = read_statements(text, _frozen(module))
    lines: list[str] = []
    for statement in statements:
        remarks, code = without_own_comments(statement)
        for remark in remarks:
            _add(lines, remark.text, blank=remark.blank)
        _add(lines, render(document(code), width=WIDTH, newline=newline), blank=code[0].blank_above)
    for remark in remaining:
        _add(lines, remark.text, blank=remark.blank)
    return newline.join([*lines, ""]) if lines else ""


def _embedded(source: Source, module: Module) -> str:
    """A text with other things around its workflows: each is laid out where it stands."""
    text, out, place = source.text, [], 0
    forms = _forms(source)
    for definition in sorted(module.definitions, key=lambda definition: definition.span):
        form = forms.get(definition.span.start)
        # df.start within df.start's own SQL: the outer one has been laid out with all that is in it.
        if definition.span.start >= place and form is not None:
            out.append(text[place : definition.span.start])
            out.append(_in_place(source, definition, form))
            place = definition.span.end
    return "".join([*out, text[place:]])


def _forms(source: Source) -> dict[int, Form]:
    """Where workflows begin that are code, and in what form they stand. In any other string they are data, and stay as they are."""
    whole = Text(source.text, Span(0, len(source.text)), ((0, 0),))
    if form_of(source.name) is Form.SQL:
        return dict.fromkeys(_code(whole), Form.SQL)
    forms: dict[int, Form] = {}
    for block in blocks(source.text):
        if block.language in PROGRAM_LANGUAGES:
            forms |= dict.fromkeys((token.start for token in lex_text(block.text).tokens), Form.PROGRAM)
        elif block.language in SQL_LANGUAGES:
            forms |= dict.fromkeys(_code(block.text), Form.SQL)
    return forms


def _code(text: Text) -> Iterator[int]:
    return (found.tokens[0].start for found in calls(lex_text(text, psql=True), text) if found.certain)


def _in_place(source: Source, definition: Definition, form: Form) -> str:
    """One workflow, indented like the line it begins on; as it is where its text is not just that, as inside of quotes."""
    text = definition.span.of(source.text)
    alone = parse_as(Source(source.name, text), form)
    # Taken out of its quotes the text may read otherwise: in '.. df.start(''a'') ..' every quote is doubled.
    if not alone.ok or not same(tuple(each.node for each in alone.module.definitions), (definition.node,)):
        return text
    if lex(text).diagnostics:  # psql's own commands stand between its lines
        return text
    # Dollar quotes that end the body around it, or quotes that would have to be doubled, must not be added: no requoting.
    ((statement,), _) = read_statements(text, _frozen(alone.module), requote=False)
    start = definition.span.start
    line = source.text[source.text.rfind("\n", 0, start) + 1 : start]
    marks = " \t>" if form_of(source.name) is Form.MARKDOWN else " \t"  # a quoted fence has a mark on every line
    # The indentation of the line, not the column of the call: SELECT df.start( has its arguments four columns
    # in, not twenty.
    margin = line[: len(line) - len(line.lstrip(marks))]
    newline = "\r\n" if "\r\n" in source.text else "\n"
    laid_out = render(document(statement), width=WIDTH, newline=newline, margin=margin, column=len(line))
    _prove(text, laid_out.replace(newline + margin, newline) if ">" in margin else laid_out)
    return laid_out


def _add(lines: list[str], text: str, *, blank: bool) -> None:
    if blank and lines:
        lines.append("")
    lines.append(text)


def _frozen(module: Module) -> dict[int, int]:
    """Start -> end of what stays as it is written: expressions whose meaning only the database knows."""
    text, spans = module.source.text, []
    pending: list[Node] = [definition.node for definition in module.definitions]
    while pending:
        node = pending.pop()
        if isinstance(node, Opaque):
            spans.append(opaque_span(text, node))
        else:
            pending.extend(children(node))
    spans.extend(variable.span for variable in module.variables if variable.value is None)
    return {span.start: span.end for span in sorted(spans)}
