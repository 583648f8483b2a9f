"""The arguments of one df call as they are written, for edits that change one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.kinds import CALLS, REQUIRED, Call, Param
from pgweave.grammar.reading.lexer import PUNCT, QUOTED, WORD, Token, lex
from pgweave.grammar.span import Span
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.editing.places import Place


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. span: with its `name =>`; value: without."""

    name: str
    named: bool
    span: Span
    value: Span


@dataclass(frozen=True, slots=True)
class Arguments:
    """A call and what it is given. name: where the function's own name stands; opened: behind the opening bracket."""

    call: Call
    name: Span
    opened: int
    given: tuple[Argument, ...]
    text: str

    def find(self, name: str) -> Argument | None:
        """The argument for a parameter, if it is given."""
        return next((argument for argument in self.given if argument.name == name), None)

    def param(self, name: str) -> Param | None:
        """The parameter of this name."""
        return next((param for param in self.call.params if param.name == name), None)

    def with_value(self, name: str, literal: str) -> list[Edit]:
        """Give a parameter this value, named if those before it are left out."""
        found = self.find(name)
        if found is not None:
            return [Edit(found.value, literal)]
        position = [param.name for param in self.call.params].index(name)
        # Only the next parameter may be given by position.
        in_order = position == len(self.given) and not any(argument.named for argument in self.given)
        written = literal if in_order else f"{name} => {literal}"
        if not self.given:
            return [Edit(Span(self.opened, self.opened), written)]
        last = self.given[-1].span
        return [Edit(Span(last.end, last.end), f",{self._space_before(last)}{written}")]

    def without(self, name: str) -> list[Edit]:
        """Leave a parameter to its default.

        Of df.http('u', 'GET', 'b') without its method, 'POST' is written: 'b' is the third argument by its position.
        """
        found = self.find(name)
        if found is None:
            return []
        at = self.given.index(found)
        if not found.named and any(not argument.named for argument in self.given[at + 1 :]):
            param = self.param(name)
            assert param is not None
            assert param.default is not REQUIRED
            default = "NULL" if param.default is None else quote(str(param.default))
            return [Edit(found.value, default)]
        return [Edit(self.extent(at), "")]

    def extent(self, at: int) -> Span:
        """What is deleted with an argument: the comma before it, or the one behind it if it is the first."""
        span = self.given[at].span
        if at:
            return Span(self.given[at - 1].span.end, span.end)
        return Span(span.start, self.given[1].span.start) if len(self.given) > 1 else span

    def _space_before(self, span: Span) -> str:
        """A new line like that of the argument at `span` if it begins one, else a space."""
        line = self.text[self.text.rfind("\n", 0, span.start) + 1 : span.start]
        if line.strip(" \t>") or "\n" not in self.text[self.opened : span.start]:
            return " "
        return ("\r\n" if "\r\n" in self.text else "\n") + line


def arguments_of(place: Place) -> Arguments | None:
    """The arguments of the call that the step at `place` is written as; None if it is not written as a call."""
    span, text = place.unnamed, place.text
    tokens = lex(span.of(text)).tokens
    bracket = next((at for at, token in enumerate(tokens) if _is(token, "(")), 0)
    names = [token for token in tokens[:bracket] if token.kind in (WORD, QUOTED)]
    if len(names) != 2 or names[0].value != "df" or names[1].value not in CALLS or bracket != 3:
        return None
    if _closing(tokens, bracket) != len(tokens) - 1:
        return None  # a chain that begins with a call
    call = CALLS[names[1].value]
    given = [
        _argument(group, number, call, span.start) for number, group in enumerate(_split(tokens[bracket + 1 : -1]))
    ]
    name = Span(span.start + names[1].start, span.start + names[1].end)
    return Arguments(call, name, span.start + tokens[bracket].end, tuple(given), text)


def _is(token: Token, mark: str) -> bool:
    return token.kind == PUNCT and token.value == mark


def _closing(tokens: Sequence[Token], bracket: int) -> int | None:
    """Which token closes the bracket at `bracket`."""
    depth = 0
    for at in range(bracket, len(tokens)):
        if tokens[at].kind == PUNCT:
            depth += (tokens[at].value in "([") - (tokens[at].value in ")]")
        if depth == 0:
            return at
    return None


def _split(tokens: list[Token]) -> list[list[Token]]:
    """The tokens of each argument."""
    groups: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == PUNCT:
            depth += (token.value in "([") - (token.value in ")]")
        if depth == 0 and _is(token, ","):
            groups.append([])
        else:
            groups[-1].append(token)
    return groups if groups[0] else []


def _argument(tokens: list[Token], number: int, call: Call, start: int) -> Argument:
    named = len(tokens) > 2 and tokens[1].value in ("=>", ":=")
    name = tokens[0].value if named else call.params[number].name
    first = tokens[2] if named else tokens[0]
    end = start + tokens[-1].end
    return Argument(name, named, Span(start + tokens[0].start, end), Span(start + first.start, end))
