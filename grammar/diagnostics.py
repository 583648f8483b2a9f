"""Findings about a program: a rule of the catalogue, a place in the text, and the words for this one case.

Whoever finds a problem calls `finding` with a code, a span, the name of a variant and values. The words are those of
CATALOGUE (catalogue.py).

    finding("PW201", span, "near", name="totl", sigil="$", near="total")
        error[PW201]: `$totl` is not a name that any earlier step binds
        help: Did you mean `$total`?
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pgweave.grammar.catalogue import CATALOGUE, Rule, Severity, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pgweave.grammar.span import Span

__all__ = [
    "CATALOGUE", "Diagnostic", "Edit", "Fix", "Note", "Rule", "Severity", "Variant", "finding", "in_order", "note",
    "rated",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Note:
    """A second place that belongs to a finding, with its own caret."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `span` of the source by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that a tool can make. safe: the program means the same afterwards, or meant nothing before."""

    title: str
    edits: tuple[Edit, ...]
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: which rule, where, in whose words."""

    rule: Rule
    span: Span
    title: str
    label: str
    help: str
    notes: tuple[Note, ...] = ()
    fix: Fix | None = None

    @property
    def code(self) -> str:
        """The code people search for, `PW201`."""
        return self.rule.code

    @property
    def severity(self) -> Severity:
        """Severity from the catalogue."""
        return self.rule.severity


def finding(
    code: str,
    span: Span,
    variant: str = "",
    /,
    *,
    notes: tuple[Note, ...] = (),
    fix: Fix | None = None,
    edits: Sequence[Edit] = (),
    safe: bool = False,
    values: Mapping[str, object] | None = None,
    **fields: object,
) -> Diagnostic:
    """Fill the templates of `code`. KeyError on an unknown code or variant, or a missing field: an error in the check.

    fields, values: what the templates are filled with; values where several calls share them. edits: the fix, whose title is the catalogue's; none when empty. safe: as in Fix. fix: one with a title of its own.
    """
    rule = CATALOGUE[code]
    if values:
        fields.update(values)
    if edits:
        fix = Fix(rule.words("fix", variant).format_map(fields), tuple(edits), safe)
    found = Diagnostic(
        rule,
        span,
        rule.words("title", variant).format_map(fields),
        rule.words("label", variant).format_map(fields),
        rule.words("help", variant).format_map(fields),
        notes,
        fix,
    )
    # One rule may be certain in one case and a guess in another.
    severity = rule.variants[variant].severity if variant else None
    return found if severity is None else rated(found, severity)


def in_order(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Findings by their place in the text, and those of one place by their codes."""
    return sorted(found, key=lambda one: (one.span, one.code))


def note(code: str, span: Span, variant: str = "", /, **fields: object) -> Note:
    """A second place of a finding of `code`, with the catalogue's words."""
    return Note(span, CATALOGUE[code].words("note", variant).format_map(fields))


def rated(diagnostic: Diagnostic, severity: Severity) -> Diagnostic:
    """The same finding with another severity than the catalogue's: for a rule whose cases differ in how certain they are."""
    return replace(diagnostic, rule=replace(diagnostic.rule, severity=severity))
