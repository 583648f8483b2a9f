"""Text -> AST. `parse` takes any text at all and gives a Module and what is wrong with the text; it never raises.

The file's suffix tells how to read it: as a program, as SQL with workflows in it, or as Markdown with either in fences.

    reading/lexer.py    tokens
    reading/terminals.py   terminals of df.lark
    df.lark             concrete tree (LALR: no recursion, so depth costs no stack)
    meaning/elaborate.py   nodes

An argument with a syntax error is replaced by BROKEN and the statement is parsed again, so one run finds the mistakes of
several statements and arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from lark import Transformer, UnexpectedToken

from pgweave.grammar.diagnostics import Diagnostic, Severity, note
from pgweave.grammar.kinds import MAX_TEXT
from pgweave.grammar.meaning.elaborate import Elaborator
from pgweave.grammar.meaning.finding_report import Report
from pgweave.grammar.nodes import Module, Text
from pgweave.grammar.reading import lalr, syntax
from pgweave.grammar.reading.brackets import match_brackets
from pgweave.grammar.reading.expected import explain
from pgweave.grammar.reading.extraction import Form, Found, calls, form_of, lex_text
from pgweave.grammar.reading.lexer import ERROR, PUNCT, WORD, Lexed, Token, lex
from pgweave.grammar.reading.markdown import PROGRAM_LANGUAGES, SQL_LANGUAGES, blocks
from pgweave.grammar.reading.terminals import assign
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lark import Lark

_MAX_ERRORS = 25  # in one statement; a person corrects those first, and each costs one more parse
_MAX_FINDINGS = 500  # in one text; reading stops there


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text says, as far as it could be read. comments: their places, for tools that write the text again."""

    module: Module
    diagnostics: tuple[Diagnostic, ...] = ()
    comments: tuple[Span, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing keeps the program from running."""
        return all(found.severity is not Severity.ERROR for found in self.diagnostics)


def parse(source: Source) -> Parsed:
    """Read a text in the form that its name asks for: `x.sql`, `x.md`, and anything else as a program."""
    return parse_as(source, form_of(source.name))


def parse_as(source: Source, form: Form) -> Parsed:
    """Read a text in this form, whatever its name."""
    report = Report(source, [])
    if len(source.text) > MAX_TEXT:
        report.add("PW010", Span(MAX_TEXT, MAX_TEXT), size=f"{len(source.text):,}", limit=f"{MAX_TEXT:,}")
        return Parsed(Module(source=source), tuple(report.diagnostics))
    reader = _Reader(report)
    match form:
        case Form.PROGRAM:
            reader.program(lex(source.text), len(source.text))
        case Form.SQL:
            whole = Text(source.text, Span(0, len(source.text)), ((0, 0),))
            reader.sql(lex(source.text, psql=True), whole)
        case Form.MARKDOWN:
            reader.markdown(source.text)
    return reader.parsed()


class _Reader:
    """Reads the parts of one source, in whatever form, into one module."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.elaborator = Elaborator(report, self._expression)
        self.comments: list[Span] = []

    def program(self, lexed: Lexed, end: int) -> None:
        """All of it is statements of the language."""
        self.comments.extend(lexed.comments)
        self.report.diagnostics.extend(lexed.diagnostics)
        for tokens, statement_end in _statements(lexed, end):
            # Before a statement and not within it: the findings of one statement belong together, and parsed()
            # cuts what is too much.
            if len(self.report.diagnostics) >= _MAX_FINDINGS:
                break
            selected = tokens[0].kind == WORD and tokens[0].value == "select"
            for expr in _Statement(tokens, statement_end, self.report).read():
                self.elaborator.target(expr, selected=selected)

    def sql(self, lexed: Lexed, text: Text) -> None:
        """Only the df calls in it are read."""
        self.comments.extend(lexed.comments)
        for found in calls(lexed, text):
            if len(self.report.diagnostics) >= _MAX_FINDINGS:
                break
            self._call(found)

    def markdown(self, text: str) -> None:
        """Only its fences are read."""
        for block in blocks(text):
            self.report.within = block.text
            if block.language in PROGRAM_LANGUAGES:
                self.program(lex_text(block.text), block.text.span.end)
            elif block.language in SQL_LANGUAGES:
                self.sql(lex_text(block.text, psql=True), block.text)
            self.report.within = None

    def _call(self, found: Found) -> None:
        """One df call within SQL. Findings about its tokens are kept, those about the SQL around it are not.

        Where the call may be mere text (`found.certain` is false), it counts only if nothing is wrong with it.
        """
        report, outside = self.report, self.report.within
        before = len(report.diagnostics)
        report.within = found.within
        report.diagnostics.extend(found.diagnostics)
        defined = len(self.elaborator.definitions), len(self.elaborator.variables)
        for expr in _Statement(found.tokens, found.tokens[-1].end, report).read():
            self.elaborator.embedded(expr)
        if not found.certain and len(report.diagnostics) > before:
            # SELECT f($$ .. df.start(.. $$): a text that only looks like a call must not produce findings.
            del report.diagnostics[before:]
            self.elaborator.forget(*defined)
        report.within = outside

    def _expression(self, text: Text) -> list[syntax.Expr]:
        """Read a text in quotes that is an expression."""
        lexed = lex_text(text)
        self.report.diagnostics.extend(lexed.diagnostics)
        if not lexed.tokens:
            return []
        return _Statement(lexed.tokens, text.span.end, self.report).read()

    def parsed(self) -> Parsed:
        """What has been read."""
        report, elaborator = self.report, self.elaborator
        module = Module(
            source=report.source,
            definitions=tuple(elaborator.definitions),
            variables=tuple(elaborator.variables),
        )
        # By place: lexer and parser report in turns, and people read from the top.
        found = sorted(report.diagnostics, key=lambda diagnostic: (diagnostic.span.start, diagnostic.code))
        return Parsed(module, tuple(found[:_MAX_FINDINGS]), tuple(self.comments))


def _statements(lexed: Lexed, size: int) -> Iterator[tuple[list[Token], int]]:
    """Tokens of each statement, and where it ends. A semicolon ends a statement even inside of brackets: no expression has one."""
    tokens: list[Token] = []
    for token in lexed.tokens:
        if token.kind == PUNCT and token.value == ";":
            if tokens:
                yield tokens, token.start
            tokens = []
        else:
            tokens.append(token)
    if tokens:
        yield tokens, min(tokens[-1].end, size)


# Words that begin a statement of SQL, which is no workflow; `set (` and `call.` would be names.
_SQL_VERBS = frozenset(
    {
        "insert", "update", "delete", "merge", "create", "drop", "alter", "truncate", "grant", "revoke",
        "begin", "commit", "rollback", "do", "call", "set", "reset", "copy", "with", "values", "vacuum",
        "analyze", "explain", "execute", "prepare", "listen", "notify", "lock", "start", "refresh", "reindex",
        "comment",
    }
)  # fmt: skip


class _Statement:
    """One statement: its terminals, read again without the broken argument as long as there is one."""

    def __init__(self, tokens: list[Token], end: int, report: Report) -> None:
        self.tokens = tokens
        self.end = end
        self.report = report

    def read(self) -> list[syntax.Expr]:
        """The expressions of the statement; empty when it cannot be read."""
        first = self.tokens[0]
        # set(..) and start.x are a function and a column, as far as their first word tells.
        if first.kind == WORD and first.value in _SQL_VERBS and not self._continues_name(1):
            span = Span(first.start, self.tokens[-1].end)
            self.report.add("PW024", span, "verb", verb=first.value.upper())
            return []
        partners = self.partners()
        if partners is None:
            return []
        return self._parse(assign(self.tokens, partners))

    def _continues_name(self, at: int) -> bool:
        return at < len(self.tokens) and self.tokens[at].kind == PUNCT and self.tokens[at].value in (".", "(")

    def partners(self) -> dict[int, int] | None:
        """Index of every bracket's partner, both ways. None after reporting one that has none."""
        tokens = self.tokens
        brackets = match_brackets(tokens)
        # Brackets first: Lark would report a missing one at the end of the statement, far from where it is
        # missing.
        if brackets.unopened is not None:
            stray = tokens[brackets.unopened]
            self.report.add("PW004", stray.span, bracket=stray.value)
            return None
        if brackets.crossed is not None:
            opener, closer = (tokens[at] for at in brackets.crossed)
            notes = (note("PW004", opener.span, "crossed", open=opener.value),)
            self.report.add("PW004", closer.span, "crossed", bracket=closer.value, open=opener.value, notes=notes)
            return None
        if brackets.unclosed is None:
            return brackets.partners
        if tokens[-1].kind != ERROR:  # else a string that never closes has swallowed the end, and has been reported
            bracket = tokens[brackets.unclosed]
            ends = (note("PW003", Span(self.end, self.end)),)
            closing = ")" if bracket.value == "(" else "]"
            self.report.add("PW003", bracket.span, bracket=bracket.value, closer=closing, notes=ends)
        return None

    def _parse(self, terminals: list[Token]) -> list[syntax.Expr]:
        """Parse; after an error once more without the argument around it, or from the next SELECT on.

        df.seq('a' 'b', df.sleep())     1 error at 'b'; then  df.seq(BROKEN, df.sleep())  is read, with its own error
        'a' ~> SELECT df.start('b')     1 error at SELECT; then  SELECT df.start('b')  is read
        """
        out: list[syntax.Expr] = []
        remaining: list[Token] | None = terminals
        for _ in range(_MAX_ERRORS):
            if remaining is None:
                break
            terminals, remaining = remaining, None
            try:
                out.extend(_tree(terminals))
            except UnexpectedToken as error:
                at = next((i for i, token in enumerate(terminals) if token is error.token), len(terminals))
                if at and at < len(terminals) and terminals[at].type == "SELECT" and _depth(terminals, at) == 0:
                    self._unexpected(terminals, at, error)
                    out.extend(_tree_or_nothing(terminals[:at]))
                    remaining = _from_select(terminals, at, error)
                else:
                    remaining = self._without_argument(terminals, at, error)
        return out

    def _unexpected(self, terminals: list[Token], at: int, error: UnexpectedToken) -> None:
        place = terminals[at].span if at < len(terminals) else Span(self.end, self.end)
        words = explain(self.report.source.text, terminals, at, error.accepts)
        self.report.add("PW001", place, expected=words.expected, found=words.found, help=words.help)

    def _without_argument(self, terminals: list[Token], at: int, error: UnexpectedToken) -> list[Token] | None:
        """Report the error and put BROKEN in the place of the argument around it; None when nothing is left to read."""
        start, end = _argument(terminals, at)
        # An error next to a BROKEN is most often the same mistake once more.
        if not any(token.type == "BROKEN" for token in terminals[max(start, at - 1) : at + 1]):
            self._unexpected(terminals, at, error)
        while end - start == 1 and terminals[start].type == "BROKEN":  # cutting here has not helped
            if start == 0 or end == len(terminals):
                return None
            start, end = _argument(terminals, start - 1)
        if start == 0 and end == len(terminals):
            return None
        return [*terminals[:start], _broken(terminals, start, end, self.end), *terminals[end:]]


def read_expression(tokens: list[Token]) -> syntax.Expr:
    """The concrete tree of one expression, for tools and tests. Lark's UnexpectedToken if it is none."""
    statement = _Statement(tokens, tokens[-1].end, Report(Source("", ""), []))
    partners = statement.partners()
    assert partners is not None
    (expr,) = _tree(assign(tokens, partners))
    return expr


def _tree_or_nothing(terminals: list[Token]) -> list[syntax.Expr]:
    """What stands before a SELECT that comes too early, if it is complete."""
    try:
        return _tree(terminals)
    except UnexpectedToken:
        return []


def _from_select(terminals: list[Token], at: int, error: UnexpectedToken) -> list[Token] | None:
    """The statement that the SELECT at `at` begins; None if it is SQL without its quotes, where a step is missing."""
    step_missing = "NUMBER" in error.accepts  # an operand is due, and of those a number is always one
    selects_df = [token.value for token in terminals[at + 1 : at + 2]] == ["df"]
    return terminals[at:] if selects_df or not step_missing else None


def _broken(terminals: list[Token], start: int, end: int, statement_end: int) -> Token:
    at = terminals[start].start if start < len(terminals) else statement_end
    return Token(ERROR, "", at, terminals[end - 1].end if end > start else at)


_OPENERS, _CLOSERS = frozenset({"LPAR", "LSQB"}), frozenset({"RPAR", "RSQB"})


def _depth(terminals: list[Token], at: int) -> int:
    return sum((token.type in _OPENERS) - (token.type in _CLOSERS) for token in terminals[:at])


def _argument(terminals: list[Token], at: int) -> tuple[int, int]:
    """Where the argument around terminal `at` begins and ends: from the bracket or comma before to the one behind.

    Outside of all brackets that is the statement, without its SELECT: `SELECT df.start('a' 'b'), 'c'`, at 'b', gives
    'a' 'b'; at 'c' it gives 'c'.
    """
    starts = [1 if terminals and terminals[0].type == "SELECT" else 0]
    for i, token in enumerate(terminals[:at]):
        if token.type in _OPENERS:
            starts.append(i + 1)
        elif token.type in _CLOSERS:
            starts.pop()
        elif token.type == "COMMA":
            starts[-1] = i + 1
    depth, end = 0, at
    while end < len(terminals):
        kind = terminals[end].type
        if depth == 0 and (kind in _CLOSERS or kind == "COMMA"):
            break
        depth += (kind in _OPENERS) - (kind in _CLOSERS)
        end += 1
    return min(starts[-1], end), end


def _tree(terminals: list[Token]) -> list[syntax.Expr]:
    """The expressions of one statement. UnexpectedToken where it leaves the grammar."""
    return _lark().parse(terminals)  # type: ignore[return-value]


@cache
def _lark() -> Lark:
    return lalr.parser(_Builder())


class _Builder(Transformer[Token, "list[syntax.Expr]"]):
    """One method per rule of df.lark: what its children become."""

    def statement(self, children: list[syntax.Expr | Token]) -> list[syntax.Expr]:
        return [child for child in children if isinstance(child, syntax.Expr)]

    def aliased(self, children: list[syntax.Expr]) -> syntax.Expr:
        return children[0]

    def expression(self, children: list[syntax.Expr | Token]) -> syntax.Expr:
        # Most expressions are a single operand. A Quantified alone is an error that `group` finds.
        if len(children) == 1 and not isinstance(children[0], syntax.Quantified):
            return children[0]  # type: ignore[return-value]
        return syntax.group(children)

    def string(self, children: list[Token]) -> syntax.Expr:
        return syntax.Literal(children[0])

    number = constant = string

    def opaque(self, children: list[Token]) -> syntax.Expr:
        return syntax.Unknown(children[0].start, children[0].end)

    def quantified(self, children: list[Token]) -> syntax.Expr:
        return syntax.Quantified(children[0])

    def broken(self, children: list[Token]) -> syntax.Expr:
        return syntax.Broken(children[0].start, children[0].end)

    def parens(self, children: list[syntax.Expr]) -> syntax.Expr:
        return syntax.Parens(children[0].start, children[1], children[2].end)

    def row(self, children: list[syntax.Expr | Token]) -> syntax.Expr:
        return syntax.Row(children[0].start, children[-1].end, self.statement(children))

    def elements(self, children: list[syntax.Expr | Token]) -> syntax.Expr:
        return syntax.Array(children[0].start, self.statement(children), children[-1].end)

    def array_row(self, children: list[syntax.Expr]) -> syntax.Expr:
        return children[0]

    def array(self, children: list[syntax.Array]) -> syntax.Expr:
        return syntax.Array(children[0].start, children[1].items, children[1].end)

    def cast(self, children: list[syntax.Expr]) -> syntax.Expr:
        inner, _, type_name = children
        return syntax.Cast(inner.start, inner, type_name.value, type_name.end)  # type: ignore[attr-defined]

    def cast_call(self, children: list[syntax.Expr]) -> syntax.Expr:
        word, _, inner, _, type_name, close = children
        return syntax.Cast(word.start, inner, type_name.value, close.end)  # type: ignore[attr-defined]

    def typed_string(self, children: list[syntax.Expr]) -> syntax.Expr:
        name, token = children
        parts = [part.value for part in name.parts]  # type: ignore[attr-defined]
        type_name = ".".join(parts[1:] if parts[0] == "pg_catalog" else parts)  # as type_names.py gives it
        return syntax.Cast(name.start, syntax.Literal(token), type_name, token.end)  # type: ignore[arg-type]

    def subscript(self, children: list[syntax.Expr]) -> syntax.Expr:
        return syntax.Unknown(children[0].start, children[-1].end, children[:1])

    member = subscript

    def name(self, children: list[Token]) -> syntax.Expr:
        return syntax.Column(children[::2])  # without the dots

    def column(self, children: list[syntax.Expr]) -> syntax.Expr:
        return children[0]

    def argument(self, children: list[syntax.Expr]) -> syntax.Argument:
        return syntax.Argument(None, children[0])

    def named(self, children: list[syntax.Expr]) -> syntax.Argument:
        return syntax.Argument(children[0], children[2])  # type: ignore[arg-type]

    def call(self, children: list[syntax.Expr]) -> syntax.Expr:
        arguments = [child for child in children if isinstance(child, syntax.Argument)]
        return syntax.CallExpr(children[0], arguments, children[-1].end)  # type: ignore[arg-type]
