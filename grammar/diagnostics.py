"""Findings about a program, and CATALOGUE: one row per code.

The place that finds a problem gives a code, a span and the person's own names; the wording lives here and nowhere
else. Codes are for ever and never reused; severity is a column, not part of the code.

    PW0xx text   PW1xx grouping   PW2xx names   PW3xx control flow   PW4xx waiting and HTTP   PW5xx effects   PW6xx children
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


def rated(diagnostic: Diagnostic, severity: Severity) -> Diagnostic:
    """The same finding with another severity than the catalogue's: for a rule whose cases differ in how certain they are."""
    return replace(diagnostic, rule=replace(diagnostic.rule, severity=severity))


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
            "{help}",
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
            "{help}",
        ),
        Rule(
            "PW005",
            "glued-operators",
            _E,
            "PostgreSQL reads `{operator}` as one operator, and none of that name stands between steps",
            "read as a single operator",
            "{help}",
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
            "{help}",
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
            "read as a step, because it begins like the JSON of one",
            "Write the step with a df call; a text of SQL never begins with a brace.",
        ),
        Rule(
            "PW024",
            "not-a-workflow",
            _E,
            "This statement is not a workflow",
            "{what}",
            "Put it into a step, df.start('..'), or keep it in an .sql file: there only the df.start calls are read.",
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
            "PW028",
            "double-quotes",
            _E,
            "Double quotes hold a name, not text",
            "read as the name of a column",
            "Text stands in single quotes: '{text}'.",
        ),
        Rule(
            "PW030",
            "allow-without-reason",
            _E,
            "This allow gives no reason",
            "{what}",
            "Write `-- pgweave: allow {allowed} because ..`, so that whoever reads it next knows why.",
        ),
        Rule(
            "PW031",
            "unused-allow",
            _W,
            "This allow allows nothing",
            "{what}",
            "Remove it, or move it: at the end of a line it speaks of that line, on a line of its own of the next one.",
        ),
        Rule(
            "PW101",
            "mixed-operators",
            _W,
            "This groups from the left",
            "read as `{actual}`, perhaps meant as `{likely}`",
            "Add parentheses to say which one you mean.",
        ),
        Rule(
            "PW102",
            "loop-prefix-swallow",
            _E,
            "`@>` loops over the next step only",
            "only this step repeats, for ever; what follows it never runs",
            "Put everything that should repeat into parentheses: `@> ({body})`.",
        ),
        Rule(
            "PW103",
            "else-if-chain",
            _E,
            "The second test takes the whole first if as its condition",
            "all of this is the condition of the second `?>`",
            "Put what follows the first `!>` into parentheses: `!> ({rest})`.",
        ),
        Rule(
            "PW104",
            "dangling-if",
            _E,
            "This if is only half built",
            "no `!>` reaches this `?>`",
            "{help}",
        ),
        Rule("PW105", "composite-condition", _W, "{title}", "{label}", "{help}"),
        Rule(
            "PW106",
            "concat-in-operand",
            _E,
            "`{operator}` would work on the text of a finished step, not on its SQL",
            "groups from the left, like every operator here",
            "Put the two texts into parentheses, or use format().",
        ),
        Rule(
            "PW107",
            "deep-chain",
            _I,
            "This workflow is {depth} levels deep",
            "the limit is {limit}",
            "A chain of n steps with ~> nests n deep: group halves in parentheses, or move a part into df.call_child.",
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
            "PW202",
            "maybe-unbound",
            _W,
            "`{sigil}{name}` is not bound on every path to this step",
            "{label}",
            "Bind it on the other paths too, or read it only where it is bound. A `?` makes NULLs of empty results only.",
        ),
        Rule(
            "PW203",
            "unknown-column",
            _E,
            "The result `{name}` has no column `{column}`",
            "{label}",
            "{help}",
        ),
        Rule(
            "PW204",
            "nested-path",
            _E,
            "`${name}` can be followed by one column, not by a path",
            "`{rest}` stays in the SQL as it stands",
            "{help}",
        ),
        Rule(
            "PW205",
            "placeholder-in-literal",
            _E,
            "On pg_durable `{written}` brings its own quotes into these",
            "a text value arrives as {example}",
            "Take it out of the quotes: {help}.",
        ),
        Rule(
            "PW206",
            "bare-multi-column",
            _W,
            "{title}",
            "{label}",
            "{help}",
        ),
        Rule(
            "PW207",
            "many-rows-scalar",
            _W,
            "`{written}` is one row's value, and its query may give many",
            "the first row is used, the others are ignored",
            "Keep the query to one row (LIMIT 1, a key, an aggregate), or read all rows: `FROM ${name}.*`.",
        ),
        Rule(
            "PW208",
            "empty-or-null",
            _W,
            "`{written}` has no value when {reason}",
            "the step fails then, and the workflow with it",
            "{help}",
        ),
        Rule(
            "PW209",
            "null-compare",
            _W,
            "`{written}` may be NULL, and `{operator}` with NULL gives NULL",
            "never true when `{name}` is empty",
            "{help}",
        ),
        Rule("PW210", "shadowed-name", _W, "{title}", "{label}", "{help}"),
        Rule(
            "PW211",
            "unused-result",
            _I,
            "Nothing reads the result `{name}`",
            "named here, and discarded",
            "Read it in a later step, or leave the name away.",
        ),
        Rule("PW212", "brace-variable", _W, "{title}", "{label}", "{help}"),
        Rule(
            "PW213",
            "variable-as-result",
            _E,
            "`{name}` is a variable, and `$` reads results only",
            "no step before this one is named `{name}`",
            "Write `{{{name}}}`.",
        ),
        Rule(
            "PW214",
            "positional-parameter",
            _E,
            "`{written}` has no value: steps have no parameters",
            "PostgreSQL refuses the statement",
            "Write the value, `$name` of an earlier result, or `{{name}}` of a variable.",
        ),
        Rule("PW215", "name-hits-syntax", _E, "{title}", "{label}", "{help}"),
        Rule("PW216", "join-result-access", _E, "{title}", "{label}", "{help}"),
        Rule("PW217", "forgotten-name", _E, "{title}", "{label}", "{help}"),
        Rule("PW218", "never-any-rows", _E, "{title}", "{label}", "{help}"),
        Rule(
            "PW301",
            "do-while",
            _W,
            "This loop runs once before it tests anything",
            "the condition guards the body, and comes after it",
            "Test first: `{condition} ?> (the loop) !> 'SELECT'`, or let the first step of the body take no rows.",
        ),
        Rule("PW302", "eternal-loop", _W, "{title}", "{label}", "{help}"),
        Rule(
            "PW303",
            "unreachable",
            _E,
            "This step is never reached",
            "nothing gets past {what}",
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
        Rule("PW305", "break-value", _E, "{title}", "{label}", "{help}"),
        Rule(
            "PW306",
            "non-query-condition",
            _E,
            "A condition is a statement that is run, and this is none",
            "PostgreSQL would be asked to run just this",
            "Ask for its value: {help}.",
        ),
        Rule(
            "PW307",
            "truthy-surprise",
            _W,
            "{title}",
            "{label}",
            "{help}",
        ),
        Rule(
            "PW308",
            "race-error-wins",
            _W,
            "The first branch to finish wins this race, also by failing",
            "{label}",
            "{help}",
        ),
        Rule(
            "PW309",
            "timeout-tail",
            _W,
            "This step runs whichever branch wins, not only when time is up",
            "read as `({race}) ~> ..`",
            "Put the wait and what follows it into parentheses: `| ({wait} ~> ..)`.",
        ),
        Rule(
            "PW401",
            "signal-timeout-unchecked",
            _W,
            "When no signal comes within {limit}, the workflow goes on all the same",
            "nothing asks whether the wait timed out",
            "{help}",
        ),
        Rule(
            "PW402",
            "signal-payload",
            _E,
            "What was sent with a signal is under `data`",
            "{label}",
            "{help}",
        ),
        Rule("PW403", "cron-dialect", _E, "{title}", "{label}", "{help}"),
        Rule(
            "PW404",
            "early-signal",
            _W,
            "On pg_durable a signal that comes before this wait is lost",
            "{label}",
            "Tell the sender when the wait has begun, or let it send again until it is answered.",
        ),
        Rule(
            "PW405",
            "http-default-post",
            _W,
            "This request is a POST",
            "no method is given, and POST is the default",
            "Say which method you mean: 'GET' or 'POST'.",
        ),
        Rule(
            "PW406",
            "http-unchecked",
            _W,
            "Nothing looks at the answer to this request",
            "an answer of 404 or 403 does not fail the step",
            "{help}",
        ),
        Rule("PW407", "json-splice", _E, "{title}", "{label}", "{help}"),
        Rule(
            "PW408",
            "body-of-a-get",
            _I,
            "This GET sends a body, which many servers ignore or refuse",
            "sent as it is written",
            "Say 'POST' if the body is the request, or put it into the URL.",
        ),
        Rule(
            "PW501",
            "at-least-once-effect",
            _W,
            "On pg_durable this step may run twice",
            "{label}",
            "{help}",
        ),
        Rule("PW502", "session-state", _E, "{title}", "{label}", "{help}"),
        Rule(
            "PW503",
            "compose-time-call",
            _E,
            "This is evaluated once, when the workflow is put together",
            "{what} is frozen before the first step runs",
            "Move it into the SQL of the step, inside the quotes.",
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
            "PW505",
            "label-as-id",
            _E,
            "`{value}` is not the id of an instance",
            "{call} takes an id: 8 hexadecimal digits",
            "Pass the id that df.start returned; look it up by its label in df.list_instances().",
        ),
        Rule(
            "PW506",
            "quote-hell",
            _I,
            "Quotes are doubled {levels} deep here",
            "hard to read, easy to get wrong",
            "Write the step in dollar quotes: {tag} .. {tag}.",
        ),
        Rule(
            "PW507",
            "caller-transaction",
            _W,
            "{title}",
            "{label}",
            "{help}",
        ),
        Rule(
            "PW508",
            "constant-only-slot",
            _W,
            "{slot} is used as it is written",
            "`{written}` is not replaced here",
            "{help}",
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
            "PW510",
            "sql-syntax",
            _E,
            "PostgreSQL cannot read this step: {message}",
            "",
            "{help}",
        ),
        Rule(
            "PW511",
            "several-statements",
            _E,
            "A step is one statement, and this holds {count}",
            "the second one begins here",
            "Make a step of each: 'first' ~> 'second'.",
        ),
        Rule(
            "PW512",
            "runs-alone",
            _I,
            "{what} cannot run in a transaction, so it runs at least once, not exactly once",
            "repeated after a crash in the wrong moment",
            "{help}",
        ),
        Rule("PW513", "refused-by-the-database", _E, "{title}", "{label}", "{help}"),
        Rule(
            "PW514",
            "copy-to-client",
            _E,
            "A step has no client that could {verb} rows",
            "COPY {direction} {end} talks to the client",
            "{help}",
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
            "PW604",
            "unlabelled-child",
            _I,
            "This child has no label",
            "hard to find among running instances",
            "Give it one: df.call_child(.., 'label').",
        ),
        Rule("PW605", "child-cycle", _E, "This workflow starts itself", "{label}", "{help}"),
        Rule(
            "PW606",
            "awaits-itself",
            _E,
            "This workflow waits for its own end",
            "`{{sys_instance_id}}` is the instance that waits",
            "Wait for the instance that a step has started: '$child.instance_id'.",
        ),
        Rule(
            "PW607",
            "child-result-path",
            _E,
            "What a child came to is under `result`",
            "{label}",
            "{help}",
        ),
        Rule(
            "PW608",
            "timeout-too-short",
            _W,
            "The child waits at least {child} seconds, and this wait ends after {limit}",
            "always times out",
            "Raise timeout_seconds above {child}.",
        ),
        Rule(
            "PW609",
            "child-database",
            _W,
            "On pg_durable this child is started in the database `{database}`",
            "df.start exists there only if the extension does",
            "Start the parent without a database of its own, or make sure that pg_durable is installed there.",
        ),
        Rule(
            "PW610",
            "literal-instance-id",
            _W,
            "Ids differ from run to run, and this one is written down",
            "`{value}` was one instance of one database",
            "Bind the id of an instance that a step starts: '$child.instance_id'.",
        ),
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
