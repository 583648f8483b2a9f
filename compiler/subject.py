"""What a check looks at: one definition with its facts, the text it was written in, and where it is to run.

Here too: the edits that fixes are made of. They know how text is written inside the quotes of a step, and give None
where the text was put together some other way, so that a fix never guesses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.reading.lexer import STRING, lex
from pgweave.grammar.shortened import cut, one_line
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.grammar.nodes import Module, Node, Text

T = TypeVar("T")
Target: TypeAlias = Literal["pgweave", "pg_durable"]

_VERB = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(\w+)", re.DOTALL)
WIDEST = 24  # characters of a person's own text that a label repeats


class Shared:
    """What all definitions of a module have in common, computed once for all of them. facts: of each, in order."""

    def __init__(self, module: Module, facts: Sequence[Facts]) -> None:
        self.module = module
        self.facts = facts
        self._known: dict[Callable[[Shared], object], object] = {}

    def once(self, compute: Callable[[Shared], T]) -> T:
        """What `compute` makes of this, the first time it is asked for."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        return self._known[compute]  # type: ignore[return-value]


def _declared(shared: Shared) -> Mapping[str, str | None]:
    return {variable.name: variable.value for variable in shared.module.variables}


@dataclass(frozen=True, slots=True)
class Subject:
    """One definition under examination. target: pg_durable when the program must run there too."""

    shared: Shared
    facts: Facts
    target: Target = "pgweave"

    @property
    def module(self) -> Module:
        """The text's other definitions and variables."""
        return self.shared.module

    @property
    def declared(self) -> Mapping[str, str | None]:
        """Variables that the text sets, with their values where those are known."""
        return self.shared.once(_declared)

    @property
    def portable(self) -> bool:
        """Whether what differs on pg_durable is worth a finding."""
        return self.target == "pg_durable"

    def written(self, span: Span) -> str:
        """The source text of a span."""
        return span.of(self.module.source.text)

    def brief(self, span: Span) -> str:
        """The source text of a span in one short line, for labels."""
        line = one_line(self.written(span))
        return cut(line, WIDEST, "..", tight=True)

    def parenthesised(self, spans: Iterable[Span]) -> tuple[Edit, ...]:
        """Edits that put each of these stretches into parentheses."""
        opening = [Edit(Span(span.start, span.start), "(") for span in spans]
        closing = [Edit(Span(span.end, span.end), ")") for span in spans]
        # At one place `)` before `(`: the first stretch ends before the next begins.
        return tuple(sorted((*opening, *closing), key=lambda edit: (edit.span.start, edit.text == "(")))

    def in_text(self, text: Text, start: int, end: int, new: str) -> Edit | None:
        """Replace value[start:end] of a text by `new`, written as its quotes want it; None where that is not certain."""
        literal = self.written(text.span)
        tokens = lex(literal).tokens
        # concat('a', 'b') has no quotes of its own to write into.
        if len(tokens) != 1 or tokens[0].kind != STRING or tokens[0].value != text.value:
            return None
        opening = literal[: literal.index("$", 1) + 1] if literal.startswith("$") else literal[: literal.index("'") + 1]
        closing = len(opening) if literal.startswith("$") else 1
        # Not span_of, which is for carets: the last character may be a quote that is written twice.
        last = text.span.end - closing if end == len(text.value) else text.locate(end)
        written = _in_quotes(new, opening)
        return None if written is None else Edit(Span(text.locate(start), last), written)

    def rewrite(self, text: Text, start: int, end: int, new: str) -> tuple[Edit, ...]:
        """The edit of `in_text`, as `finding` takes it: none where that is not certain."""
        edit = self.in_text(text, start, end, new)
        return () if edit is None else (edit,)

    def replace(self, span: Span, old: str, new: str) -> tuple[Edit, ...]:
        """Write `new` for `old`; no edit where the text was put together and `old` does not stand there."""
        return (Edit(span, new),) if self.written(span) == old else ()

    def call_name(self, node: Node) -> Span:
        """The name of a call, so that a caret does not run over all its arguments; the whole step if it is no call."""
        written = self.written(node.span)
        opening = written.find("(")
        named = written[:3].lower() == "df." and opening > 0
        return Span(node.span.start, node.span.start + opening) if named else node.span


def verb(text: Text, start: int = 0) -> Span:
    """The first word of a statement, comments aside; the whole text if there is none. start: where in it to look."""
    word = _VERB.match(text.value, start)
    return text.span_of(word.start(1), word.end(1)) if word else text.span


def _in_quotes(text: str, opening: str) -> str | None:
    """How a text is written behind this opening quote; None when it cannot be."""
    if opening.startswith("$"):
        return None if opening in text else text
    if opening == "'" or (opening in ("e'", "E'") and "\\" not in text):
        return text.replace("'", "''")
    return None
