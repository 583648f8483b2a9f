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
        Rule("PW001", "syntax-error", _E, "Expected {expected}", "found {found}", "{help}"),
        Rule(
            "PW002",
            "unclosed-quote",
            _E,
            "This {what} is never closed",
            "no `{closer}` follows",
            "Close it with `{closer}`. A quote inside a string is written twice; $$ .. $$ needs no doubling.",
        ),
        Rule(
            "PW003",
            "unclosed-bracket",
            _E,
            "This bracket is never closed",
            "no `{closer}` belongs to this `{bracket}`",
            "Write the missing `{closer}`.",
        ),
        Rule(
            "PW004",
            "stray-bracket",
            _E,
            "This bracket closes nothing",
            "no open bracket belongs to this `{bracket}`",
            "Remove it, or open it where it should begin.",
        ),
        Rule(
            "PW005",
            "glued-operators",
            _E,
            "`{operator}` is one operator to PostgreSQL, and it does not exist",
            "read as a single operator",
            "Put a space between the operators: `{spaced}`.",
        ),
        Rule(
            "PW006",
            "bad-escape",
            _E,
            "PostgreSQL refuses this escape",
            "{detail}",
            "Correct the escape, or use '..' or $$ .. $$, where a backslash means itself.",
        ),
        Rule(
            "PW007",
            "bit-string",
            _E,
            "A bit string is neither a step nor text",
            "`{literal}` is a value of type bit",
            "Remove the letter before the quote.",
        ),
        Rule("PW008", "stray-character", _E, "This does not belong here", "{what}", "{help}"),
        Rule(
            "PW009",
            "bad-number",
            _E,
            "This number runs into what follows",
            "`{literal}` is not a number",
            "Put a space behind the number, or remove the rest.",
        ),
        Rule(
            "PW010",
            "text-too-long",
            _E,
            "This text has {size} characters; the limit is {limit}",
            "",
            "Split it into several files, or keep large data in a table.",
        ),
        Rule(
            "PW011",
            "too-deep",
            _E,
            "This workflow is nested deeper than 256 levels",
            "the limit is passed here",
            "A chain of n steps with ~> nests n deep: group halves in parentheses, or move a part into df.call_child.",
        ),
        Rule(
            "PW012",
            "too-many-nodes",
            _E,
            "This workflow has more than 10,000 nodes",
            "",
            "Loop over a table instead of writing each step, or move parts into children.",
        ),
        Rule("PW013", "unknown-call", _E, "There is no step called {call}", "not a df call", "{help}"),
        Rule(
            "PW014",
            "unknown-argument",
            _E,
            "{call} has no argument called `{name}`",
            "not an argument of {call}",
            "{help}",
        ),
        Rule(
            "PW015", "missing-argument", _E, "{call} needs {missing}", "{missing} missing", "Write it as {signature}."
        ),
        Rule(
            "PW016",
            "too-many-arguments",
            _E,
            "{call} takes no more than {count}",
            "one too many",
            "Write it as {signature}.",
        ),
        Rule("PW017", "argument-given-twice", _E, "`{name}` is given twice", "given again here", "Remove one of them."),
        Rule(
            "PW018",
            "positional-after-named",
            _E,
            "An argument without a name stands behind one with a name",
            "which argument is this?",
            "Name this one too, or move it to the front.",
        ),
        Rule("PW019", "wrong-type", _E, "{what} must be {expected}", "this is {actual}", "Write {expected} here."),
        Rule("PW020", "refused-value", _E, "{title}", "{label}", "{help}"),
        Rule(
            "PW021",
            "null-argument",
            _E,
            "{what} cannot be NULL",
            "NULL here makes the whole step disappear",
            "Write a value, or leave an optional argument out.",
        ),
        Rule(
            "PW022",
            "not-json",
            _E,
            "{what} must be JSON",
            "{detail}",
            "Write JSON, or build it with jsonb_build_object.",
        ),
        Rule(
            "PW023",
            "bad-durofut",
            _E,
            "{title}",
            "read as a step, because it has a node_type",
            "Write the step with a df call; a text of SQL never begins with a brace.",
        ),
        Rule(
            "PW024",
            "not-a-workflow",
            _E,
            "This statement is not a workflow",
            "{what}",
            "Put SQL into a step, `df.start('..')`; a workflow file holds df.start, df.explain, df.setvar and bare workflows.",
        ),
        Rule(
            "PW026",
            "evaluation-fails",
            _E,
            "PostgreSQL cannot evaluate this",
            "{detail}",
            "Correct it; it would fail before the workflow starts.",
        ),
        Rule(
            "PW027",
            "unknown-start-argument",
            _E,
            "`{name}` of df.start must be written out",
            "only the database can evaluate this",
            "Write it as text in quotes.",
        ),
        Rule(
            "PW104",
            "dangling-if",
            _E,
            "This if is only half built",
            "no `!>` belongs to this `?>`",
            "Write `condition ?> (step) !> (other step)`: both branches, in parentheses where they hold an operator.",
        ),
        Rule(
            "PW106",
            "concat-in-operand",
            _E,
            "`{operator}` would work on the text of a finished step, not on its SQL",
            "groups from the left, like every operator here",
            "Put the two texts into parentheses, or use format().",
        ),
        Rule(
            "PW201",
            "undefined-name",
            _E,
            "`{sigil}{name}` is not a name that any earlier step binds",
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
            "PW504",
            "non-step-call",
            _E,
            "{call} answers at once; it is not a step",
            "would run before the workflow starts",
            "Put it into the SQL of a step: 'SELECT {call}(..)'.",
        ),
        Rule(
            "PW509",
            "known-only-to-the-database",
            _E,
            "Rows cannot be written for an expression that only the database can evaluate",
            "evaluated when the workflow is started",
            "Write the value itself, or start the workflow from SQL: `compile --emit sql --style start`.",
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
        Rule(
            "PW611",
            "child-too-large",
            _E,
            "This child is too large to travel inside its parent",
            "each df.call_child inside another doubles the text",
            "Start the inner child from a step, `SELECT df.start(...)`, and wait with df.await_instance.",
        ),
    )
}
