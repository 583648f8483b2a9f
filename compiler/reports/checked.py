"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Source

FORMATS = ("text", "json", "github", "sarif", "junit")
"""Each has a module `as_FORMAT`; `report` loads it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file that was looked at. findings: in the order of the text; none: it is clean."""

    source: Source
    findings: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """How a report is written. failing: which severities fail the check. version: of pgweave."""

    failing: frozenset[Severity] = frozenset({Severity.ERROR})
    colour: bool = False
    version: str = ""


def summary(files: Sequence[Checked]) -> str:
    """Count the findings in one line: `2 errors, 1 warning.`."""
    found = [finding.severity for file in files for finding in file.findings]
    counts = [(found.count(severity), severity.value) for severity in Severity]
    said = [f"{count} {word}{'s' if count > 1 and word != 'info' else ''}" for count, word in counts if count]
    return ", ".join(said) + "." if said else "No findings."
