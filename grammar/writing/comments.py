"""Which lexeme a comment belongs to, and on which side of it.

First every comment goes to a neighbour: behind the lexeme whose line it ends, else in front of the next one (`attach`).
Then comments move away from where the formatter could not keep a line end: out of the middle of an operand, from behind
an operator, from in front of a comma (`Placement`).

    'a' ~> -- then            'a' -- then
    'b'                       ~> 'b'
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.reading.lalr import VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgweave.grammar.reading.lexer import Token
    from pgweave.grammar.span import Span

OPENERS = frozenset({"LPAR", "LSQB"})
CLOSERS = frozenset({"RPAR", "RSQB"})
OPERATORS = VOCABULARY.prefix | VOCABULARY.infix | VOCABULARY.suffix
_LEADS = frozenset({"SELECT", "STAR", "FROM"})
# Behind these an operand begins.
_BEFORE_OPERAND = VOCABULARY.infix | VOCABULARY.prefix | OPENERS | _LEADS | {"COMMA", "NAMED"}


@dataclass(frozen=True, slots=True)
class Comment:
    """own: nothing else stands on its lines. blank: an empty line stands before it."""

    text: str
    own: bool = False
    blank: bool = False

    @property
    def to_line_end(self) -> bool:
        """Whether it reaches to the end of its line: `--`."""
        return self.text.startswith("--")


class Surroundings(NamedTuple):
    """The comments before and after a lexeme as they are written. blank: an empty line stands before the lexeme."""

    before: tuple[Comment, ...]
    after: tuple[Comment, ...]
    blank: bool


def above(comments: Sequence[Comment]) -> list[Comment]:
    """The same comments for the front of what follows: on lines of their own if one of them ends its line."""
    return own_lines(comments) if ends_line(comments) else list(comments)


def own_lines(comments: Iterable[Comment]) -> list[Comment]:
    """The same comments, each on a line of its own."""
    return [Comment(comment.text, own=True) for comment in comments]


def ends_line(comments: Iterable[Comment]) -> bool:
    """Whether a `--` is among them, so that nothing can follow on its line."""
    return any(comment.to_line_end for comment in comments)


# ---- To a neighbour


class _Gap(NamedTuple):
    """What stands between two lexemes. behind: comments that belong to the one before; ahead: to the one after.

    blank: whether an empty line stands behind the last comment.
    """

    behind: tuple[Comment, ...]
    ahead: tuple[Comment, ...]
    blank: bool


def attach(text: str, lexemes: Sequence[Token], comments: Sequence[Span]) -> tuple[list[Surroundings], list[Comment]]:
    """The comments around every lexeme, and those below the line of the last one."""
    gaps: list[_Gap] = []
    pending = list(comments)[::-1]
    place = 0
    for number, start in enumerate([*(lexeme.start for lexeme in lexemes), len(text)]):
        inside: list[Span] = []
        while pending and pending[-1].start < start:
            comment = pending.pop()
            if comment.start >= place:  # else it stands inside of what is one lexeme, and is a part of its text
                inside.append(comment)
        gaps.append(_gap(text, place, inside, start))
        if number < len(lexemes):
            place = lexemes[number].end
    if gaps[0].behind:  # there is nothing before the first lexeme
        gaps[0] = _Gap((), (*gaps[0].behind, *gaps[0].ahead), gaps[0].blank)
    surroundings = [Surroundings(gap.ahead, following.behind, gap.blank) for gap, following in pairwise(gaps)]
    return surroundings, list(gaps[-1].ahead)


def _gap(text: str, start: int, spans: Sequence[Span], end: int) -> _Gap:
    """Sort the comments of text[start:end].

    Behind belong those on the line of the lexeme before, if only a line end follows them: `'a' /* x */ -- y`, but not
    `'a' /* x */ ~> 'b'`. A comment has its lines for itself (own) if nothing but comments stands on them.
    """
    edges = [start, *(span.end for span in spans)]
    spaces = [text[edge : span.start] for edge, span in zip(edges, spans, strict=False)]
    last = text[edges[-1] : end]
    begins_line = ["\n" in space or edge == 0 for edge, space in zip(edges, spaces, strict=False)]
    own = line_ends = "\n" in last or end == len(text)
    comments: list[Comment] = []
    for span, space, begins in reversed(list(zip(spans, spaces, begins_line, strict=True))):
        comments.append(Comment(span.of(text).rstrip(), own=own, blank=space.count("\n") > 1))
        # From the back: a comment has its line for itself if the one behind it begins a line, or nothing
        # follows.
        own = own or begins  # what comes before a comment that begins a line has the end of its own line for itself
    comments.reverse()
    count = next((i for i, begins in enumerate(begins_line) if begins), len(spans))
    if count == len(spans) and not line_ends:
        count = 0
    return _Gap(tuple(comments[:count]), tuple(comments[count:]), last.count("\n") > 1)


# ---- To where a line may end


class Placement:
    """Moves the comments of one statement. before, after: the comments of each lexeme, by its index, as they move."""

    def __init__(self, lexemes: Sequence[Token], surroundings: Sequence[Surroundings]) -> None:
        self.lexemes = lexemes
        self.before = [list(around.before) for around in surroundings]
        self.after = [list(around.after) for around in surroundings]

    def settled(self) -> list[tuple[list[Comment], list[Comment]]]:
        """The comments before and after each lexeme, moved to where they are to stay."""
        # First, since the rules below look at one lexeme and its neighbour, and this one at three.
        self._pass_over_names()
        # From the back to the front: what moves forward over one lexeme stays in front of the next, which has been
        # dealt with, and what moves back is still looked at.
        for at in range(len(self.lexemes) - 1, -1, -1):
            self._settle(at)
        return [(_with_own_lines(before), after) for before, after in zip(self.before, self.after, strict=True)]

    def _pass_over_names(self) -> None:
        """`'a' -- why` above `|=> 'x'` goes behind the name, for a step and its name stand on one line."""
        # Every three lexemes in a row: 0 1 2, 1 2 3, ..
        for step, operator, name in zip(*(range(skip, len(self.lexemes)) for skip in range(3)), strict=False):
            crowded = self.before[operator] or self.after[operator] or self.before[name] or self.after[name]
            if self.lexemes[operator].value == "|=>" and not crowded:
                self.after[name], self.after[step] = self.after[step], []

    def _settle(self, at: int) -> None:
        kind = self.lexemes[at].type
        has_previous, has_following = at > 0, at + 1 < len(self.lexemes)
        if kind == "COMMA" and has_previous and has_following:
            self._settle_comma(at)
        elif has_following and self._begins_line(at):
            self._settle_operator(at)
        elif has_previous and (kind in CLOSERS or kind == "END"):
            # df.seq( -- nothing yet <newline> ): in empty brackets a comment stays where it is.
            if self.lexemes[at - 1].type not in OPENERS:
                self._move_back(at)
            if kind == "END" and self.after[at]:
                self._move_down(at)
        elif has_previous and kind in ("AS", "ALIAS"):
            self._move_down(at)
        if has_following and self._goes_on(at):
            self._move_forward(at)

    def _settle_comma(self, at: int) -> None:
        """What stands above a comma is about what follows it; what is in front of it is about what it ends."""
        if any(comment.own for comment in self.before[at]) or ends_line(self.after[at - 1]):
            moved = own_lines([*self.before[at], *self.after[at]])
            self.before[at + 1] = [*moved, *self.before[at + 1]]
            self.after[at] = []
        else:
            self.after[at - 1] += self.before[at]
        self.before[at] = []

    def _settle_operator(self, at: int) -> None:
        """What stands behind an operator belongs to the operand before it, or above the operator."""
        if self.after[at]:
            # 'a' ~> -- then   is   'a' -- then   and on the next line ~>; but a line has room for one `--` only.
            # `@> @> 'a'`: behind a prefix operator there is no operand that a comment could belong to.
            no_operand = at == 0 or self._is_before_operand(at - 1)
            if no_operand or self.before[at] or ends_line(self.after[at - 1]):
                self.before[at] += own_lines(self.after[at])
            else:
                self.after[at - 1] += self.after[at]
            self.after[at] = []
        # What is on lines of its own between an operator and its operand goes above the operator: the operator
        # begins the line, and nothing may come between it and the operand.
        count = _last_own(self.before[at + 1]) + 1
        self.before[at] += own_lines(self.before[at + 1][:count])
        self.before[at + 1] = self.before[at + 1][count:]

    def _move_back(self, at: int) -> None:
        """Comments just in front of a closing bracket or semicolon belong to what stands before it."""
        if ends_line(self.after[at - 1]):
            self.before[at] = own_lines(self.before[at])
        count = next((i for i, comment in enumerate(self.before[at]) if comment.own), len(self.before[at]))
        self.after[at - 1] += self.before[at][:count]
        self.before[at] = self.before[at][count:]

    def _move_down(self, at: int) -> None:
        """Where a `--` ends the line before something that belongs on that line, all of it goes above."""
        if ends_line(self.after[at - 1]):  # AS, an alias and the semicolon never begin a line
            self.before[at] = own_lines([*self.after[at - 1], *self.before[at]])
            self.after[at - 1] = []

    def _move_forward(self, at: int) -> None:
        """Comments within an operand go in front of its next piece; block comments also out of an open bracket."""
        if self.lexemes[at].type in OPENERS and ends_line(self.after[at]):
            return
        self.before[at + 1] = [*above(self.after[at]), *self.before[at + 1]]
        self.after[at] = []

    def _is_before_operand(self, at: int) -> bool:
        return self.lexemes[at].type in _BEFORE_OPERAND

    def _begins_line(self, at: int) -> bool:
        """Whether a line may begin with it: SELECT, and the operators of steps and of text; not a sign."""
        lexeme = self.lexemes[at]
        if at == 0 or self._is_before_operand(at - 1):
            return lexeme.type in _LEADS or lexeme.value == "@>"
        return lexeme.type in VOCABULARY.infix

    def _goes_on(self, at: int) -> bool:
        """Whether it and the next one belong together: pieces of one operand, or what stands before an operand and that."""
        kind, following = self.lexemes[at].type, self.lexemes[at + 1].type
        if following in CLOSERS or following in ("COMMA", "END") or kind == "COMMA":
            return False
        if kind in VOCABULARY.suffix or following in VOCABULARY.suffix:
            return False
        return kind in _BEFORE_OPERAND or following not in OPERATORS


def _last_own(comments: Sequence[Comment]) -> int:
    """Index of the last comment on a line of its own; -1 if there is none."""
    return max((i for i, comment in enumerate(comments) if comment.own), default=-1)


def _with_own_lines(comments: Sequence[Comment]) -> list[Comment]:
    """All comments up to the last that has a line of its own get one, too."""
    last = _last_own(comments)
    return [replace(comment, own=comment.own or number <= last) for number, comment in enumerate(comments)]
