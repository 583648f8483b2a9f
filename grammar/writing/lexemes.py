"""Tokens -> lexemes: terminals with their text and the comments around them, ready to be laid out.

comments.py decides which lexeme a comment belongs to. The decision does not depend on the layout that follows, so that
laying out a second time changes nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.grammar.reading.brackets import match_brackets
from pgweave.grammar.reading.lexer import PUNCT, Token, lex
from pgweave.grammar.reading.strings import CONTINUED, ESCAPE_END, PLAIN_END
from pgweave.grammar.reading.terminals import assign
from pgweave.grammar.writing.comments import Placement, attach
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.reading.lexer import Lexed
    from pgweave.grammar.writing.comments import Comment, Surroundings


class Lexeme(Token):
    """A terminal with its text. before: comments above it or in front of it; after: behind it, on its last line.

    blank: an empty line stands between it and whatever comes before.
    """

    __slots__ = ("after", "before", "blank", "text")

    def __init__(
        self,
        terminal: str,
        token: Token,
        end: int,
        text: str,
        comments: tuple[Sequence[Comment], Sequence[Comment]] = ((), ()),
        *,
        blank: bool = False,
    ) -> None:
        super().__init__(token.kind, token.value, token.start, end, token.anchors, terminal)
        self.text = text
        self.before, self.after = map(tuple, comments)
        self.blank = blank

    def with_comments(self, before: Sequence[Comment], after: Sequence[Comment], *, blank: bool) -> Lexeme:
        """The same lexeme with these comments around it."""
        return Lexeme(self.type, self, self.end, self.text, (before, after), blank=blank)

    @property
    def blank_above(self) -> bool:
        """Whether an empty line stands above it and its comments."""
        return self.before[0].blank if self.before else self.blank

    def literals(self) -> list[str]:
        """A string that is continued on further lines, line by line; anything else, and one with comments, is one."""
        if self.type != "STRING" or not self.text.endswith("'") or "\n" not in self.text:
            return [self.text]
        pattern = ESCAPE_END if self.text[0] in "eE" else PLAIN_END
        literals, start = [], 0
        opened = pattern.match(self.text, self.text.index("'") + 1)  # behind the prefix, as of E'..'
        while opened is not None:
            literals.append(self.text[start : opened.end()])
            more = CONTINUED.match(self.text, opened.end())
            # 'a' -- why <newline> 'b': a comment between two segments has its place in the text only, so the
            # string stays as it is.
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
    requote: whether strings may change their quotes; not where the text itself is in quotes.
    """
    lexed = lex(text)
    statements = [_lexemes(text, tokens, frozen, requote=requote) for tokens in _split(lexed)]
    surroundings, remaining = attach(text, [lexeme for statement in statements for lexeme in statement], lexed.comments)
    out, place = [], 0
    for statement in statements:
        out.append(_with_comments(statement, surroundings[place : place + len(statement)]))
        place += len(statement)
    return out, remaining


def _with_comments(statement: list[Lexeme], surroundings: Sequence[Surroundings]) -> list[Lexeme]:
    """The lexemes of one statement with the comments where they are to stay."""
    placed = Placement(statement, surroundings).settled()
    return [
        lexeme.with_comments(before, after, blank=around.blank)
        for lexeme, around, (before, after) in zip(statement, surroundings, placed, strict=True)
    ]


def without_own_comments(statement: list[Lexeme]) -> tuple[list[Comment], list[Lexeme]]:
    """The comments on lines of their own above a statement, up to the first that is not; and the statement without."""
    first, *others = statement
    count = next((i for i, comment in enumerate(first.before) if not comment.own), len(first.before))
    bare = first.with_comments(first.before[count:], first.after, blank=first.blank)
    return list(first.before[:count]), [bare, *others]


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
    # What is frozen is one lexeme: terminals that begin within it are left out.
    for terminal in assign(tokens, match_brackets(tokens).partners):
        # A part of what is frozen, read a second time as terminals.
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


_SIMPLE_ESCAPES = re.compile(r"""[eE]'(?:[^'\\\x00-\x1f]|''|\\['"\\])*'""")


def _fewest_escapes(value: str, literal: str) -> str:
    r"""The literal as it is, or with other quotes where that saves escapes and nothing else would look different.

    'it''s' becomes $$it's$$ and E'a\'b' becomes $$a'b$$; E'a\tb' stays, for its tab would look like spaces.
    """
    plain = literal.startswith("'") and literal.replace("''", "").count("'") == 2 and "''" in literal[1:-1]
    if plain or (_SIMPLE_ESCAPES.fullmatch(literal) and len(value) + 3 < len(literal)):
        chosen = quote(value)
        # A text that needs E'..' in any case gains nothing.
        return literal if chosen[0] in "eE" else chosen
    return literal
