"""Findings about a program, and CATALOGUE: one row per code.

The place that finds a problem gives a code, a span and the person's own names; the wording lives here and nowhere
else. Codes are for ever and never reused; severity is a column, not part of the code.

    PW0xx text   PW1xx grouping   PW2xx names   PW3xx control flow   PW4xx waiting and HTTP   PW5xx effects   PW6xx children
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgweave.grammar.span import Span


class Severity(Enum):
    """How much a finding matters. Only ERROR keeps a program from running."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the catalogue. title, label and help are templates filled with the finding's fields.

    title: a short fact. label: stands beside the caret, in the person's own names; may be empty.
    help: one thing to do.
    """

    code: str
    name: str
    severity: Severity
    title: str
    label: str
    help: str


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
    """A mend a tool can make. safe: the program means the same afterwards, or meant nothing before."""

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
    code: str, span: Span, *, notes: tuple[Note, ...] = (), fix: Fix | None = None, **fields: object
) -> Diagnostic:
    """Fill the templates of `code`. KeyError on an unknown code or a missing field: a bug of ours, not the person's."""
    rule = CATALOGUE[code]
    return Diagnostic(
        rule,
        span,
        rule.title.format_map(fields),
        rule.label.format_map(fields),
        rule.help.format_map(fields),
        notes,
        fix,
    )


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

CATALOGUE: dict[str, Rule] = {
    rule.code: rule
    for rule in (
        Rule(
            "PW201",
            "undefined-name",
            _E,
            "`${name}` is not a name that any earlier step binds",
            "no step before this one is named `{name}`",
            "{help}",
        ),
        Rule(
            "PW304",
            "stray-break",
            _E,
            "df.break stands outside of any loop",
            "there is no enclosing loop to leave",
            "Put it inside df.loop(...), or remove it.",
        ),
        Rule(
            "PW601",
            "await-without-timeout",
            _I,
            "This wait has no timeout",
            "waits for ever if the awaited instance never ends",
            "{help}",
        ),
        Rule(
            "PW602",
            "unknown-option",
            _E,
            "df.call_child: unsupported option '{option}'. Supported options: {supported}",
            "not an option of df.call_child",
            "{help}",
        ),
        Rule("PW603", "bad-option-value", _E, "{title}", "{label}", "{help}"),
    )
}
