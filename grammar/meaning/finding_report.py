"""Where the findings of one text are collected while it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgweave.grammar.diagnostics import Diagnostic, finding
from pgweave.grammar.reading.extraction import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.grammar.nodes import Text
    from pgweave.grammar.span import Source, Span


@dataclass(slots=True)
class Report:
    """Findings so far. within: the part of the file that is being read, if that is not all of it: a fence, a body."""

    source: Source
    diagnostics: list[Diagnostic]
    within: Text | None = None

    def written(self, span: Span) -> str:
        """What stands there, as the lexer read it."""
        return span.of(self.source.text) if self.within is None else excerpt(self.within, span)

    def add(
        self,
        code: str,
        span: Span,
        variant: str = "",
        /,
        *,
        values: Mapping[str, object] | None = None,
        **given: Any,  # noqa: ANN401 - those of `finding`
    ) -> None:
        """Add one finding, as `diagnostics.finding` makes it of the same arguments."""
        self.diagnostics.append(finding(code, span, variant, values=values, **given))
