"""Tokens -> lexemes: terminals that carry the comments around them, ready to be laid out.

Every comment finds a home here, once and for all: on the lines above a lexeme, just in front of it, or behind it. The
choice does not depend on the layout that follows, so that laying out a second time changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar.reading.lalr import VOCABULARY
from pgweave.grammar.reading.lexer import PUNCT, Token, lex
from pgweave.grammar.reading.strings import CONTINUED, ESCAPE_END, PLAIN_END
from pgweave.grammar.reading.terminals import assign
from pgweave.grammar.writing.printer import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgweave.grammar.reading.lexer import Lexed
    from pgweave.grammar.span import Span

OPERATORS = VOCABULARY.prefix | VOCABULARY.infix | VOCABULARY.suffix
OPENERS = frozenset({"LPAR", "LSQB"})
CLOSERS = frozenset({"RPAR", "RSQB"})


@dataclass(slots=True)
class Comment:
    """own: nothing else stands on its lines. blank: an empty line stands before it."""

    text: str
    own: bool = False
    blank: bool = False

    @property
    def to_line_end(self) -> bool:
        """Whether it reaches to the end of its line: `--`."""
        return self.text.startswith("--")


class Lexeme(Token):
    """A terminal with its text. before: comments above it or in front of it; after: behind it, on its last line.

    blank: an empty line stands between it and whatever comes before.
    """

    __slots__ = ("after", "before", "blank", "text")

    def __init__(self, kind: str, token: Token, end: int, text: str) -> None:
        super().__init__(token.kind, token.value, token.start, end, token.anchors)
        self.type = kind
        self.text = text
        self.before: list[Comment] = []
        self.after: list[Comment] = []
        self.blank = False

    @property
    def blank_above(self) -> bool:
        """Whether an empty line stands above it and the comments it has left."""
        return self.before[0].blank if self.before else self.blank

    @property
    def ends_line(self) -> bool:
        """Whether a `--` stands behind it."""
        return any(comment.to_line_end for comment in self.after)

    def take_own(self) -> list[Comment]:
        """Take away the comments that stand on lines of their own above it, up to the first that does not."""
        count = next((i for i, comment in enumerate(self.before) if not comment.own), len(self.before))
        taken, self.before = self.before[:count], self.before[count:]
        return taken

    def literals(self) -> list[str]:
        """A string that is continued on further lines, line by line; anything else, and one with comments, is one."""
        if self.type != "STRING" or not self.text.endswith("'") or "\n" not in self.text:
            return [self.text]
        pattern = ESCAPE_END if self.text[0] in "eE" else PLAIN_END
        literals, start = [], 0
        opened = pattern.match(self.text, self.text.index("'") + 1)
        while opened is not None:
            literals.append(self.text[start : opened.end()])
            more = CONTINUED.match(self.text, opened.end())
            if more is None or "--" in more.group():
                break
            start = more.end() - 1
            opened = pattern.match(self.text, more.end())
        else:
            return [self.text]
        return literals if start + len(literals[-1]) == len(self.text) else [self.text]


def read_statements(
    text: str, frozen: dict[int, int], *, requote: bool = True
) -> tuple[list[list[Lexeme]], list[Comment]]:
    """Every statement with its semicolon, if it has one, as a lexeme of type END; and the comments behind the last.

    text: a program that parses. frozen: start and end of what stays as it is; each becomes one lexeme of type FROZEN.
    requote: whether strings may change their quotes; not where the text itself stands in quotes.
    """
    lexed = lex(text)
    statements = [_lexemes(text, tokens, frozen, requote=requote) for tokens in _split(lexed)]
    rest = _attach(text, [lexeme for statement in statements for lexeme in statement], lexed.comments)
    for statement in statements:
        _settle(statement)
    return statements, rest


def _split(lexed: Lexed) -> list[list[Token]]:
    """The tokens of each statement, with its semicolon. A semicolon that ends nothing is left out."""
    statements: list[list[Token]] = [[]]
    for token in lexed.tokens:
        ends = token.kind == PUNCT and token.value == ";"
        if ends and not statements[-1]:
            continue
        statements[-1].append(token)
        if ends:
            statements.append([])
    return statements if statements[-1] else statements[:-1]


def _lexemes(text: str, tokens: list[Token], frozen: dict[int, int], *, requote: bool) -> list[Lexeme]:
    """The terminals of one statement."""
    end = tokens.pop() if tokens[-1].kind == PUNCT and tokens[-1].value == ";" else None
    lexemes: list[Lexeme] = []
    until = 0
    for terminal in assign(tokens, _partners(tokens)):
        if terminal.start < until:
            continue
        kind, stop = terminal.type, terminal.end
        if terminal.start in frozen:
            kind, stop = "FROZEN", frozen[terminal.start]
            until = stop
        written = text[terminal.start : stop]
        if kind == "NAMED":
            written = "=>"
        elif kind == "STRING" and requote:
            written = _fewest_escapes(terminal.value, written)
        lexemes.append(Lexeme(kind, terminal, stop, written))
    if end is not None:
        lexemes.append(Lexeme("END", end, end.end, ";"))
    return lexemes


def _partners(tokens: Sequence[Token]) -> dict[int, int]:
    partners: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token.kind == PUNCT and token.value in "([":
            opened.append(at)
        elif token.kind == PUNCT and token.value in ")]":
            partners[at] = opened.pop()
            partners[partners[at]] = at
    return partners


_SIMPLE_ESCAPES = re.compile(r"""[eE]'(?:[^'\\\x00-\x1f]|''|\\['"\\])*'""")


def _fewest_escapes(value: str, literal: str) -> str:
    """The literal as it is, or with other quotes where that saves escapes and nothing else would look different."""
    plain = literal.startswith("'") and literal.replace("''", "").count("'") == 2 and "''" in literal[1:-1]
    if plain or (_SIMPLE_ESCAPES.fullmatch(literal) and len(value) + 3 < len(literal)):
        chosen = quote(value)
        return literal if chosen[0] in "eE" else chosen
    return literal


def _attach(text: str, lexemes: Sequence[Lexeme], comments: Iterable[Span]) -> list[Comment]:
    """Give every comment to a lexeme. Returns those that stand behind the last one's line."""
    pending = list(comments)[::-1]
    place = 0
    previous: Lexeme | None = None
    for lexeme in [*lexemes, None]:
        start = len(text) if lexeme is None else lexeme.start
        gap: list[Span] = []
        while pending and pending[-1].start < start:
            comment = pending.pop()
            if comment.start >= place:  # else it lies inside of what is one lexeme
                gap.append(comment)
        found, blank = _gap(text, place, gap, start)
        behind = _behind(found, text, gap, start) if previous is not None else 0
        if previous is not None:
            previous.after = [comment for comment, _ in found[:behind]]
        rest = [comment for comment, _ in found[behind:]]
        if lexeme is None:
            return rest
        lexeme.before, lexeme.blank = rest, blank
        place, previous = lexeme.end, lexeme
    return []


def _gap(text: str, start: int, gap: Sequence[Span], end: int) -> tuple[list[tuple[Comment, bool]], bool]:
    """The comments between two lexemes, each with whether it begins a line; and whether an empty line stands behind them.

    A comment has its lines for itself if only comments stand on them.
    """
    found: list[tuple[Comment, bool]] = []
    for span in gap:
        before = text[start : span.start]
        found.append((Comment(span.of(text).rstrip(), blank=before.count("\n") > 1), "\n" in before or start == 0))
        start = span.end
    last = text[start:end]
    own = "\n" in last or end == len(text)
    for comment, begins in reversed(found):
        comment.own = own
        own = own or begins
    return found, last.count("\n") > 1


def _behind(found: Sequence[tuple[Comment, bool]], text: str, gap: Sequence[Span], end: int) -> int:
    """How many of the comments stand behind the lexeme before them: those on its line, if nothing follows them there."""
    count = next((i for i, (_, begins) in enumerate(found) if begins), len(found))
    if count == 0:
        return 0
    following = text[gap[count - 1].end : gap[count].start if count < len(gap) else end]
    return count if "\n" in following or end == len(text) else 0


def _settle(lexemes: list[Lexeme]) -> None:
    """Move comments away from where a line cannot end well: operators, commas, the inside of operands.

    From the back to the front, so that what moves forward over one lexeme can move on over the next.
    """
    for step, operator, name in zip(lexemes, lexemes[1:], lexemes[2:], strict=False):
        if operator.value == "|=>" and not (operator.before or operator.after or name.before or name.after):
            step.after, name.after = [], step.after
    for at in range(len(lexemes) - 1, -1, -1):
        lexeme = lexemes[at]
        previous = lexemes[at - 1] if at else None
        following = lexemes[at + 1] if at + 1 < len(lexemes) else None
        if lexeme.type == "COMMA" and previous is not None and following is not None:
            _settle_comma(lexeme, previous, following)
        elif _begins_line(lexeme, previous) and following is not None:
            _settle_operator(lexeme, previous, following)
        elif lexeme.type in CLOSERS or lexeme.type == "END":
            if previous is not None and previous.type not in OPENERS:
                _move_inline(lexeme, previous)
            if previous is not None and lexeme.type == "END" and lexeme.after:
                _move_down(lexeme, previous)
        elif lexeme.type in ("AS", "ALIAS") and previous is not None:
            _move_down(lexeme, previous)
        if following is not None and _goes_on(lexeme, following):
            _move_forward(lexeme, following)
    for lexeme in lexemes:
        last = max((i for i, comment in enumerate(lexeme.before) if comment.own), default=-1)
        for comment in lexeme.before[: last + 1]:
            comment.own = True


def _settle_comma(comma: Lexeme, previous: Lexeme, following: Lexeme) -> None:
    """What stands above a comma is about what follows it; what stands in front of it is about what it ends."""
    if any(comment.own for comment in comma.before) or previous.ends_line:
        following.before = [*_own(comma.before), *_own(comma.after), *following.before]
        comma.before, comma.after = [], []
    else:
        previous.after.extend(comma.before)
        comma.before = []


def _begins_line(lexeme: Lexeme, previous: Lexeme | None) -> bool:
    """Whether a line may begin with it: SELECT, and the operators of steps and of text; not a sign."""
    if _is_prefix(previous):
        return lexeme.type in _LEADS or lexeme.value == "@>"
    return lexeme.type in VOCABULARY.infix or lexeme.type == "SIGN"


def _is_prefix(previous: Lexeme | None) -> bool:
    """Whether an operator with this before it has no operand to its left."""
    return previous is None or previous.type in _STARTS


def _goes_on(lexeme: Lexeme, following: Lexeme) -> bool:
    """Whether both are pieces of one operand, or the first is an opening bracket, a sign or `=>` and the second begins."""
    if following.type in (*CLOSERS, "COMMA", "END", *VOCABULARY.suffix) or lexeme.type in ("COMMA", *VOCABULARY.suffix):
        return False
    return lexeme.type in _STARTS or following.type not in OPERATORS


_LEADS = frozenset({"SELECT", "STAR", "FROM"})
_STARTS = frozenset({*VOCABULARY.infix, *VOCABULARY.prefix, *OPENERS, "COMMA", "NAMED", *_LEADS})


def _settle_operator(operator: Lexeme, previous: Lexeme | None, following: Lexeme) -> None:
    """What stands behind an operator belongs to the operand before it, or above it."""
    if operator.after:
        if previous is None or _is_prefix(previous) or operator.before or previous.ends_line:
            operator.before.extend(_own(operator.after))
        else:
            previous.after.extend(operator.after)
        operator.after = []
    last = max((i for i, comment in enumerate(following.before) if comment.own), default=-1)
    operator.before.extend(_own(following.before[: last + 1]))
    following.before = following.before[last + 1 :]


def above(comments: Sequence[Comment]) -> list[Comment]:
    """The same comments for the front of what follows: on lines of their own if one of them ends its line."""
    return _own(comments) if any(comment.to_line_end for comment in comments) else list(comments)


def _own(comments: Iterable[Comment]) -> list[Comment]:
    return [Comment(comment.text, own=True) for comment in comments]


def _move_inline(lexeme: Lexeme, previous: Lexeme) -> None:
    """Comments just in front of a closing bracket or semicolon belong to what stands before it."""
    if previous.ends_line:
        lexeme.before = _own(lexeme.before)
    while lexeme.before and not lexeme.before[0].own:
        previous.after.append(lexeme.before.pop(0))


def _move_down(lexeme: Lexeme, previous: Lexeme) -> None:
    """A line that ends before something that belongs on it."""
    if previous.ends_line:
        lexeme.before = [*_own(previous.after), *_own(lexeme.before)]
        previous.after = []


def _move_forward(lexeme: Lexeme, following: Lexeme) -> None:
    """Comments in the midst of an operand go in front of its next piece; block comments also out of an open bracket."""
    if lexeme.type in OPENERS and lexeme.ends_line:
        return
    following.before = [*above(lexeme.after), *following.before]
    lexeme.after = []
