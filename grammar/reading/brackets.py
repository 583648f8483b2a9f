"""Which bracket closes which, in the tokens of one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.reading.lexer import PUNCT, WORD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.reading.lexer import Token


class Brackets(NamedTuple):
    """Brackets of a statement by the indexes of their tokens.

    partners: of every bracket, both ways. At most one of the others is given, and then matching stopped there:
    unopened: a closing bracket without an opening one; crossed: an opening bracket and the one of the other kind that
    closes it; unclosed: the innermost bracket that is still open at the end.
    """

    partners: dict[int, int]
    unopened: int | None = None
    crossed: tuple[int, int] | None = None
    unclosed: int | None = None


def match_brackets(tokens: Sequence[Token]) -> Brackets:
    """Match round and square brackets: `df.sleep ( x [ 1 ] )` pairs 3 with 8 and 5 with 7."""
    partners: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token.kind != PUNCT:
            continue
        if token.value in "([":
            opened.append(at)
        elif token.value in ")]":
            if not opened:
                return Brackets(partners, unopened=at)
            if (tokens[opened[-1]].value == "(") != (token.value == ")"):
                return Brackets(partners, crossed=(opened[-1], at))
            opener = opened.pop()
            partners[at], partners[opener] = opener, at
    # The innermost: the outer ones may be closed by what follows once it is.
    return Brackets(partners, unclosed=opened[-1] if opened else None)


class StatementTokens:
    """The tokens of one statement, to be looked at by index. Beyond the end there is nothing, which is no error.

    partners: index of each bracket's partner, both ways.
    """

    __slots__ = ("partners", "tokens")

    def __init__(self, tokens: Sequence[Token], partners: dict[int, int]) -> None:
        self.tokens = tokens
        self.partners = partners

    def word(self, at: int) -> str:
        """The word or punctuation at `at`; empty for anything else, strings and quoted names among them."""
        if at < len(self.tokens) and self.tokens[at].kind in (WORD, PUNCT):
            return self.tokens[at].value
        return ""

    def words(self, at: int, *expected: str) -> bool:
        """Whether these words stand at `at`, one after the other."""
        return all(self.word(at + number) == word for number, word in enumerate(expected))

    def behind(self, at: int) -> int:
        """The index behind the bracket that closes the one at `at`."""
        return self.partners[at] + 1
