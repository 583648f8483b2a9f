"""CATALOGUE: one row per code, and the only home of the words that findings are made of.

Whoever finds something gives a code, a span, the name of a variant and values; title, label, help and what stands beside
notes and fixes come from here. A value that is words itself, such as what a syntax error expected, is one of PHRASES.
Codes are permanent and never reused; severity is a column, not part of the code.

    PW0xx text   PW1xx grouping   PW2xx names   PW3xx control flow   PW4xx waiting and HTTP   PW5xx effects   PW6xx children
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Severity(Enum):
    """How much a finding matters. Only ERROR keeps a program from running."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The words of one case of a rule. What is None here is taken from the rule."""

    title: str | None = None
    label: str | None = None
    help: str | None = None
    note: str | None = None
    fix: str | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the catalogue. All texts are templates (`str.format`) filled with the finding's fields.

    title: a short fact. label: stands beside the caret, in the person's own names; may be empty. help: one thing to do.
    note: stands beside a second place. fix: what the fix of the finding does, as an imperative. variants: cases of the
    rule whose words differ, by the name that a check gives.
    """

    code: str
    name: str
    severity: Severity
    title: str
    label: str = ""
    help: str = ""
    note: str = ""
    fix: str = ""
    variants: Mapping[str, Variant] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.code)  # a mapping has no hash

    def words(self, part: str, variant: str) -> str:
        """The template of `title`, `label`, `help`, `note` or `fix` in one case. KeyError: no variant has that name."""
        special = getattr(self.variants[variant], part) if variant else None
        return str(getattr(self, part) if special is None else special)


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

# Words that several variants share.
_CHAINED = "Expected parentheses around one of two comparisons"
_CHAINED_HELP = "Write (a = b) = c, or join them with AND."
_CORRECT_JSON = "Correct the JSON, or write the step with a df call."
_TIMEOUT = "Timeout must be positive"
_NO_PARTS = "parts is required and cannot be NULL"
_PARTS_HELP = """Write an array of objects: '[{{"name": "file", "data_b64": "$blob"}}]'."""
_EMPTY_NAME = "df.as: result name cannot be empty"
_BAD_NAME = "df.as: result name '{name}' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*"
_NAME_HELP = "Use letters, digits and underscores; begin with no digit."
_IF = "An if is written `condition ?> step !> other step`, or df.if(condition, step, other)."
_PLPGSQL = "PL/pgSQL belongs into an .sql file, within DO or a function: there only the df.start calls are read."

CATALOGUE: dict[str, Rule] = {
    rule.code: rule
    for rule in (
        # PW0xx: text
        Rule(
            code="PW001",
            name="syntax-error",
            severity=_E,
            title="Expected {expected}",
            label="found {found}",
            help="{help}",
            variants={
                "no-parentheses": Variant(
                    title='Expected "("', help="The arguments of a call are written in parentheses."
                ),
                "chained": Variant(
                    title=_CHAINED,
                    label="found `{second}`, which PostgreSQL does not chain",
                    help=_CHAINED_HELP,
                    note="`{first}` stands here",
                ),
                "chained-twice": Variant(
                    title=_CHAINED,
                    label="found another `{second}`, which PostgreSQL does not chain",
                    help=_CHAINED_HELP,
                    note="`{first}` stands here",
                ),
            },
        ),
        Rule(
            code="PW002",
            name="unclosed-quote",
            severity=_E,
            title="This dollar-quoted string is never closed",
            label="no `{closer}` follows",
            help="Close it with the tag that opens it, `{closer}`.",
            note="or does this string end too late?",
            variants={
                "string": Variant(
                    title="This string is never closed",
                    help="Write the closing quote. A quote inside of the text is written twice, or not at all within $$ .. $$.",
                ),
                "comment": Variant(
                    title="This comment is never closed",
                    help="Close it with `*/`. Comments nest: each `/*` needs its own.",
                ),
                "quoted-name": Variant(
                    title="This quoted name is never closed",
                    help='Close it with `"`. Text is written in single quotes.',
                ),
            },
        ),
        Rule(
            code="PW003",
            name="unclosed-bracket",
            severity=_E,
            title="This bracket is never closed",
            label="no `{closer}` belongs to this `{bracket}`",
            help="Write the missing `{closer}`.",
            note="the statement ends here",
        ),
        Rule(
            code="PW004",
            name="stray-bracket",
            severity=_E,
            title="This bracket closes nothing",
            label="no open bracket belongs to this `{bracket}`",
            help="Remove it, or open it where it should begin.",
            variants={"crossed": Variant(help="Close the `{open}` first.", note="this `{open}` is still open")},
        ),
        Rule(
            code="PW005",
            name="glued-operators",
            severity=_E,
            title="PostgreSQL reads `{operator}` as one operator, and none of that name stands between steps",
            label="read as a single operator",
            help="Did you mean `{near}`? The operators between steps are ~> & | |=> ?> !>, and @> before one.",
            variants={
                "spaced": Variant(
                    help="Put a space between the operators: `{spaced}`.", fix="Put a space between the operators"
                ),
                "prefix": Variant(help="@> stands before the step that it repeats: 'first' ~> @> 'again'."),
            },
        ),
        Rule(
            code="PW006",
            name="bad-escape",
            severity=_E,
            title="PostgreSQL refuses this escape",
            help="Correct the escape, or use '..' or $$ .. $$, where a backslash means itself.",
            variants={
                "half-pair": Variant(label="half of a surrogate pair"),
                "not-utf8": Variant(label="these bytes are not UTF-8"),
                "nul-character": Variant(label="PostgreSQL text cannot hold a NUL character"),
                "digits": Variant(label=r"write \u with four or \U with eight hexadecimal digits"),
                "digits-of-unicode": Variant(label="write {escape} with four or {escape}+ with six hexadecimal digits"),
                "no-character": Variant(label="not a Unicode character"),
                "escape-character": Variant(label="this cannot be the escape character"),
            },
        ),
        Rule(
            code="PW007",
            name="bit-string",
            severity=_E,
            title="A bit string is neither a step nor text",
            label="`{literal}` is a value of type bit",
            help="Remove the letter before the quote.",
        ),
        Rule(
            code="PW008",
            name="stray-character",
            severity=_E,
            title="This does not belong here",
            label="the character {character}",
            help="Remove it, or put it inside of quotes.",
            variants={
                "nul": Variant(label="a NUL character; PostgreSQL text cannot hold one"),
                "backslash": Variant(label="a backslash; psql commands do not belong in a workflow file"),
                "brace": Variant(
                    label="a brace outside of quotes",
                    help="""JSON is text, and is written in quotes: '{{"key": "value"}}'.""",
                ),
                "dollar": Variant(label="a lone dollar sign"),
                "unquoted-result": Variant(
                    label="a result is read inside the quotes of a step, when that step runs",
                    help="Read it in the SQL of a step; what is written here is known when the workflow starts.",
                ),
                "typographic-quote": Variant(
                    label="a typographic quote {character}", help="Write the straight quote ' instead."
                ),
                "invisible": Variant(
                    label="an invisible character U+{character}", help="Replace it with an ordinary space."
                ),
                "foreign-comment": Variant(
                    label="`{character}` begins no comment",
                    help="Begin a comment with `--`, or write it as /* .. */.",
                    fix="Begin it with --",
                ),
                "empty-name": Variant(label="an empty quoted name"),
            },
        ),
        Rule(
            code="PW009",
            name="bad-number",
            severity=_E,
            title="This number runs into what follows",
            label="`{literal}` is not a number",
            help="Put a space behind the number, or remove the rest.",
            variants={"unit": Variant(help="Write seconds, as a number alone: 300 for five minutes.")},
        ),
        Rule(
            code="PW010",
            name="text-too-long",
            severity=_E,
            title="This text has {size} characters; the limit is {limit}",
            help="Split it into several files, or keep large data in a table.",
        ),
        Rule(
            code="PW011",
            name="too-deep",
            severity=_E,
            title="This workflow is nested deeper than 256 levels",
            label="the limit is passed here",
            help="A chain of n steps with ~> nests n deep: group halves in parentheses, or move a part into df.call_child.",
        ),
        Rule(
            code="PW012",
            name="too-many-nodes",
            severity=_E,
            title="This workflow has more than 10,000 nodes",
            help="Loop over a table instead of writing each step, or move parts into children.",
        ),
        Rule(
            code="PW013",
            name="unknown-call",
            severity=_E,
            title="There is no step called {call}",
            label="not a df call",
            help="The df calls are: {calls}.",
            fix="Write df.{near}",
            variants={"near": Variant(help="Did you mean df.{near}?")},
        ),
        Rule(
            code="PW014",
            name="unknown-argument",
            severity=_E,
            title="{call} has no argument called `{name}`",
            label="not an argument of {call}",
            help="Write it as {signature}.",
            fix="Write {near}",
            variants={
                "near": Variant(help="Did you mean `{near}`?"),
                "option": Variant(help="""It is an option: options => '{{"{name}": ..}}'."""),
            },
        ),
        Rule(
            code="PW015",
            name="missing-argument",
            severity=_E,
            title="{call} needs {missing}",
            label="{missing} missing",
            help="Write it as {signature}.",
        ),
        Rule(
            code="PW016",
            name="too-many-arguments",
            severity=_E,
            title="{call} takes no more than {count}",
            label="one too many",
            help="Write it as {signature}.",
        ),
        Rule(
            code="PW017",
            name="argument-given-twice",
            severity=_E,
            title="`{name}` is given twice",
            label="given again here",
            note="given here before",
            help="Remove one of them.",
        ),
        Rule(
            code="PW018",
            name="positional-after-named",
            severity=_E,
            title="An argument without a name stands behind one with a name",
            label="which argument is this?",
            help="Name this one too, or move it to the front.",
        ),
        Rule(
            code="PW019",
            name="wrong-type",
            severity=_E,
            title="{what} must be {expected}",
            label="this is {actual}",
            help="Write {expected} here.",
            fix="Put it in quotes",
        ),
        Rule(
            code="PW020",
            name="refused-value",
            severity=_E,
            title="A value that is refused",  # each variant has its own, in pg_durable's words where it has any
            variants={
                "signal-name": Variant(
                    title="Signal name cannot be empty", help="Name the signal that df.signal will send."
                ),
                "instance-id": Variant(
                    title="Instance ID cannot be empty", help="Write an id, or `$name.instance_id`."
                ),
                "pause": Variant(
                    title="{verb} duration must be non-negative", help="Write a number of seconds, 0 or more."
                ),
                "json-pause": Variant(title="Invalid {verb} duration: {text}", help=_CORRECT_JSON),
                "cron": Variant(title="Invalid cron expression '{expression}': {detail}", help="{advice}"),
                "options": Variant(
                    title="df.call_child options must be a JSON object",
                    help="""Write an object: '{{"timeout_seconds": 300}}'.""",
                ),
                "url-scheme": Variant(
                    title="Blocked: unsupported URL scheme '{scheme}'. Only http and https are allowed.",
                    help="Begin the URL with https://; the URL is the first argument, the method the second.",
                ),
                "method": Variant(
                    title="Invalid HTTP method: {method}. Must be {others}, or {last}",
                    help="Write one of these methods.",
                ),
                "multipart-method": Variant(
                    title="Invalid HTTP method for multipart: {method}. Must be {others}, or {last}",
                    help="Write one of these methods.",
                ),
                "timeout": Variant(title=_TIMEOUT, help="Write a number of seconds, at least 1."),
                "json-timeout": Variant(title=_TIMEOUT, help=_CORRECT_JSON),
                "no-parts": Variant(title=_NO_PARTS, help=_PARTS_HELP),
                "json-no-parts": Variant(title=_NO_PARTS, help=_CORRECT_JSON),
                "parts-no-array": Variant(title="parts must be a JSON array of part objects", help=_PARTS_HELP),
                "parts-empty": Variant(title="parts must contain at least one part", help=_PARTS_HELP),
                "empty-name": Variant(title=_EMPTY_NAME, help=_NAME_HELP),
                "bad-name": Variant(title=_BAD_NAME, help=_NAME_HELP),
                "json-empty-name": Variant(title=_EMPTY_NAME, help=_CORRECT_JSON),
                "json-bad-name": Variant(title=_BAD_NAME, help=_CORRECT_JSON),
                "answer-as-step": Variant(
                    title="'{text}' is the answer of a df function, not a statement; it cannot be used as a workflow step",
                    help="Call that function before df.start, or in the SQL of a step.",
                ),
                "id-as-step": Variant(
                    title="'{text}' is the id of an instance, not a statement; it cannot be used as a workflow step",
                    help="Wait for that instance with df.await_instance('{id}').",
                ),
                "transaction-mode": Variant(
                    title="invalid transaction_mode \"{mode}\" for df.start(): expected 'caller' or 'new'",
                    help="Leave it out, or write 'caller' or 'new'.",
                ),
                "no-half-if": Variant(
                    title="Invalid if-then-else: left side of !> must be a ?> expression",
                    help="Write `condition ?> step !> other step`, with parentheses around each that holds an operator.",
                    note="this is not a `?>` expression",
                ),
                "comparison": Variant(
                    title="{what} must be {expected}",
                    label="this is a comparison",
                    help="An argument is named with =>: {name} => ..",
                ),
            },
        ),
        Rule(
            code="PW021",
            name="null-argument",
            severity=_E,
            title="{what} cannot be NULL",
            label="NULL here makes the whole step disappear",
            help="Write a value, or leave an optional argument out.",
        ),
        Rule(
            code="PW022",
            name="not-json",
            severity=_E,
            title="{what} must be JSON",
            label="{detail}",
            help="Write JSON, or build it with jsonb_build_object.",
        ),
        Rule(
            code="PW023",
            name="bad-durofut",
            severity=_E,
            title="This is no step",  # each variant has its own, in pg_durable's words
            label="read as a step, because it begins like the JSON of one",
            help="Write the step with a df call; a text of SQL never begins with a brace.",
            variants={
                "children": Variant(title="{prefix}Durofut children must be JSON objects"),
                "condition-no-object": Variant(title="{prefix}condition_node must be a Durofut JSON object"),
                "extras-no-array": Variant(title="{prefix}extra_nodes must be an array"),
                "extras-no-objects": Variant(title="{prefix}extra_nodes entries must be Durofut JSON objects"),
                "no-string": Variant(title="{prefix}{field} must be a string"),
                "repeated-field": Variant(title="{prefix}duplicate field `{field}`"),
                "no-node-type": Variant(title="{prefix}missing field `node_type`"),
                "node-type-no-string": Variant(title="{prefix}node_type must be a string"),
                "unknown-node-type": Variant(title="{prefix}Unknown node_type '{name}'. Valid types: {types}"),
                "field-not-valid": Variant(title="{prefix}{field} is not valid for {kind} nodes"),
                "embedded": Variant(
                    title="{prefix}{field} in {kind} must be a first-class Durofut field, not embedded in query"
                ),
                "needs-field": Variant(title="{prefix}a {kind} node needs `{field}`"),
                "query-no-json": Variant(title="{prefix}query in {kind} must be valid JSON config: {detail}"),
                "query-no-object": Variant(title="{prefix}query in {kind} must be a JSON config object"),
                "configuration-needs": Variant(title="{prefix}the configuration needs `{field}`"),
                "no-integer": Variant(title="{prefix}`{field}` must be an integer"),
                "no-boolean": Variant(title="{prefix}`{field}` must be a boolean"),
                "no-durofut": Variant(title="{prefix}Invalid Durofut JSON: {detail}"),
            },
        ),
        Rule(
            code="PW024",
            name="not-a-workflow",
            severity=_E,
            title="This statement is not a workflow",
            label="this is SQL, not a workflow",
            help="Put it into a step, df.start('..'), or keep it in an .sql file: there only the df.start calls are read.",
            variants={
                "verb": Variant(label="{verb} is SQL, not a workflow"),
                "answer": Variant(label="{call}(..) answers at once and starts nothing"),
            },
        ),
        Rule(
            code="PW026",
            name="evaluation-fails",
            severity=_E,
            title="PostgreSQL cannot evaluate this",
            help="Correct it; it would fail before the workflow starts.",
            variants={
                "numeric-overflow": Variant(label="value overflows numeric format"),
                "out-of-range": Variant(label="{type} out of range"),
                "by-zero": Variant(label="division by zero"),
                "not-a-number": Variant(label="not a number of type {type}"),
                "not-a-boolean": Variant(label="not a boolean"),
                "no-json": Variant(label="not JSON: {detail}"),
                "odd-arguments": Variant(label="argument list must have even number of elements"),
                "null-name": Variant(label="a name cannot be NULL"),
                "specifier": Variant(label="unrecognized format() type specifier; write %s, %I, %L or %%"),
                "too-few-arguments": Variant(label="too few arguments for format()"),
                "null-identifier": Variant(label="null values cannot be formatted as an SQL identifier"),
                "no-code-point": Variant(label="not the number of a character"),
                "long-result": Variant(label="the result is longer than {limit} characters"),
                "long-program": Variant(label="too much text to put together"),
            },
        ),
        Rule(
            code="PW027",
            name="unknown-start-argument",
            severity=_E,
            title="`{name}` of df.start must be written out",
            label="only the database can evaluate this",
            help="Write it as text in quotes.",
        ),
        Rule(
            code="PW028",
            name="double-quotes",
            severity=_E,
            title="Double quotes hold a name, not text",
            label="read as the name of a column",
            help="Text is written in single quotes: '{text}'.",
        ),
        Rule(
            code="PW030",
            name="allow-without-reason",
            severity=_E,
            title="This allow gives no reason",
            label="no reason follows the code",
            help="Write `-- pgweave: allow {allowed} because ..`, so that whoever reads it next knows why.",
        ),
        Rule(
            code="PW031",
            name="unused-allow",
            severity=_W,
            title="This allow allows nothing",
            label="no {code} is found here",
            help="Remove it, or move it: at the end of a line it speaks of that line, on a line of its own of the next one.",
            fix="Remove the comment",
            variants={
                "no-code": Variant(
                    label="it names no code",
                ),
                "unknown-code": Variant(
                    label="there is no {code}",
                ),
                "not-allowable": Variant(
                    label="{code} cannot be allowed",
                ),
            },
        ),
        Rule(
            code="PW032",
            name="turned-text",
            severity=_W,
            title="{character} turns the text behind it around",
            label="not visible; what is shown is in another order than what is run",
            help="Remove it; a value that needs it can be written with chr(..).",
        ),
        Rule(
            code="PW033",
            name="step-as-text",
            severity=_W,
            title="`{parameter}` of {call} is a text, and gets the JSON of this step",
            label="does not run here",
            help="Write the text itself in quotes; to run the step, put it before this one with ~>.",
        ),
        # PW1xx: grouping
        Rule(
            code="PW101",
            name="mixed-operators",
            severity=_W,
            title="This groups from the left",
            label="read as `{actual}`, perhaps meant as `{likely}`",
            help="Add parentheses to say which one you mean.",
            fix="Add parentheses",
        ),
        Rule(
            code="PW102",
            name="loop-prefix-swallow",
            severity=_E,
            title="`@>` loops over the next step only",
            label="only this step repeats, for ever; what follows it never runs",
            help="Put everything that should repeat into parentheses: `@> ({body})`.",
            fix="Loop over all of it",
        ),
        Rule(
            code="PW103",
            name="else-if-chain",
            severity=_E,
            title="The second test takes the whole first if as its condition",
            label="all of this is the condition of the second `?>`",
            help="Put what follows the first `!>` into parentheses: `!> ({rest})`.",
            fix="Nest the tests",
        ),
        Rule(
            code="PW104",
            name="dangling-if",
            severity=_E,
            title="This if is only half built",
            label="no `!>` reaches this `?>`",
            help="Write both branches: `condition ?> step !> other step`, in parentheses where one holds an operator.",
            note="`{symbol}` takes the half-built if as its left side",
            fix="Put the branch in parentheses",
            variants={
                "branch": Variant(help="Put the whole branch into parentheses: `condition ?> (one ~> two) !> other`.")
            },
        ),
        Rule(
            code="PW105",
            name="composite-condition",
            severity=_W,
            title="This condition is always true",
            label="results in a JSON object",
            help="Ask about it in a step of its own: name the result, then 'SELECT $name.column'.",
            fix="Add parentheses",
            variants={
                "object": Variant(
                    severity=_E,
                ),
                "array": Variant(
                    severity=_E,
                    label="a JOIN results in an array of its branches' results",
                    help="Run the branches before, and make the test a step of its own.",
                ),
                "sequence": Variant(
                    title="The whole sequence to the left of `?>` is the condition",
                    label="its last step decides",
                    help="If that is meant, put it into parentheses; else put the test and its branches into parentheses.",
                ),
                "race": Variant(
                    title="The whole race to the left of `?>` is the condition",
                    label="the winner's result decides",
                    help="If that is meant, put it into parentheses; else put the test and its branches into parentheses.",
                ),
            },
        ),
        Rule(
            code="PW106",
            name="concat-in-operand",
            severity=_E,
            title="`{operator}` would work on the text of a finished step, not on its SQL",
            label="groups from the left, like every operator here",
            help="Put the two texts into parentheses, or use format().",
            note="this is already a step",
        ),
        Rule(
            code="PW107",
            name="deep-chain",
            severity=_I,
            title="This workflow is {depth} levels deep",
            label="the limit is {limit}",
            help="A chain of n steps with ~> nests n deep: group halves in parentheses, or move a part into df.call_child.",
        ),
        # PW2xx: names
        Rule(
            code="PW201",
            name="undefined-name",
            severity=_E,
            title="`{sigil}{name}` is not a name that any earlier step binds",
            label="no step before this one is named `{name}`",
            help="Name the step that it should come from: `... |=> '{name}'`.",
            note="`{name}` is bound here",
            fix="Write {near}",
            variants={
                "elsewhere": Variant(
                    help="A name can be read by the steps that run after the one that binds it, in the same workflow.",
                ),
                "near": Variant(
                    help="Did you mean `{sigil}{near}`?",
                ),
            },
        ),
        Rule(
            code="PW202",
            name="maybe-unbound",
            severity=_W,
            title="`{sigil}{name}` is not bound on every path to this step",
            label="some path to this step does not bind it",
            help="Bind it on the other paths too, or read it only where it is bound. A `?` makes NULLs of empty results only.",
            note="`{name}` is bound here",
            variants={
                "first-turn": Variant(
                    label="on the first turn of the loop nothing has bound it yet",
                ),
                "other-branch": Variant(
                    label="not if the other branch is taken",
                ),
                "other-wins": Variant(
                    label="not if the other branch wins the race",
                ),
                "loop-left": Variant(
                    label="not if the loop is left before that step",
                ),
            },
        ),
        Rule(
            code="PW203",
            name="unknown-column",
            severity=_E,
            title="The result `{name}` has no column `{column}`",
            label="it has {names}",
            help="Add it to its query: `AS {column}`.",
            note="`{name}` is the result of this step",
            fix="Write {near}",
            variants={
                "near": Variant(
                    help="Did you mean `${name}.{near}`?",
                ),
                "no-columns": Variant(
                    label="its statement returns none",
                    help="Add RETURNING to its statement; how many rows it has changed is `${name}.rows_affected`.",
                ),
                "no-rows": Variant(
                    label="its statement returns no rows",
                    help="Ask in a query; how many rows a statement has changed is `${name}.rows_affected`.",
                ),
                "count": Variant(
                    help="Read all rows with `FROM ${name}.*`; how many there are is `${name}.row_count`.",
                ),
                "fixed": Variant(
                    help="Use one of these; what a server sent is in `body`.",
                ),
            },
        ),
        Rule(
            code="PW204",
            name="nested-path",
            severity=_E,
            title="`${name}` can be followed by one column, not by a path",
            label="`{path}` stays in the SQL as it stands",
            help="Reach into JSON with PostgreSQL's operators: `{better}`.",
            fix="Reach into the JSON",
        ),
        Rule(
            code="PW205",
            name="placeholder-in-literal",
            severity=_E,
            title="On pg_durable `{written}` brings its own quotes into these",
            label="a text value arrives as 'Hi 'Ann''",
            help="Take it out of the quotes: `'Hi ' || {written}`.",
            variants={
                "identifier": Variant(
                    label="a text value arrives as \"'Ann'\"",
                    help="Take it out of the quotes: `format('%I', {written})` in a DO block.",
                ),
                "dollar-quotes": Variant(
                    label="a text value arrives as $$ 'Ann' $$",
                ),
            },
        ),
        Rule(
            code="PW206",
            name="bare-multi-column",
            severity=_W,
            title="`${name}` is one column of {count}",
            label="takes {first}, and not {others}",
            help="Say which one you mean: `${name}.{first}`.",
            fix="Write ${name}.{first}",
            variants={
                "same-name": Variant(
                    title="Two columns of this query are called {column}, and only one of them can be read",
                    label="the last of them",
                    help="Give it a name: `AS ..`.",
                ),
                "same-name-last": Variant(
                    severity=_I,
                    title="Two columns of the workflow's result are called {column}",
                    label="the last of them; who reads the result as JSON sees only one",
                    help="Give it a name: `AS ..`.",
                ),
            },
        ),
        Rule(
            code="PW207",
            name="many-rows-scalar",
            severity=_W,
            title="`{written}` is one row's value, and its query may give many",
            label="the first row is used, the others are ignored",
            help="Keep the query to one row (LIMIT 1, a key, an aggregate), or read all rows: `FROM ${name}.*`.",
            note="nothing keeps this query to one row",
        ),
        Rule(
            code="PW208",
            name="empty-or-null",
            severity=_W,
            title="`{written}` may have no value",
            label="the step fails then, and the workflow with it",
            help="Branch on it with df.if_rows('{name}', ..), or write `{written}?` for NULL.",
            variants={
                "no-returning": Variant(
                    title="`{written}` has no value when its statement has no RETURNING, as here",
                    help="Add RETURNING to the statement.",
                ),
                "locked": Variant(
                    title="`{written}` has no value when all rows are taken or locked",
                ),
                "tested-elsewhere": Variant(
                    title="`{written}` has no value when the result is empty, which df.if_rows tests elsewhere",
                ),
                "null": Variant(
                    title="`{written}` has no value when it is NULL by its own words, as here",
                ),
                "nullif": Variant(
                    title="`{written}` has no value when NULLIF(..) is NULL",
                ),
                "aggregate": Variant(
                    title="`{written}` has no value when no row matches: {function}(..) of nothing is NULL",
                ),
                "child-ends-well": Variant(
                    title="`{written}` has no value when the child ends well",
                    help="Write `{written}?` for NULL, or test `${name}.status` first.",
                ),
            },
        ),
        Rule(
            code="PW209",
            name="null-compare",
            severity=_W,
            title="`{written}` may be NULL, and `{operator}` with NULL gives NULL",
            label="never true when `{name}` is empty",
            help="Write `coalesce({written}, ..)`, or leave the `?` away if there is always a value.",
            fix="Write {better}",
            variants={
                "distinct": Variant(
                    help="Write `{better}`, or leave the `?` away if there is always a value.",
                ),
            },
        ),
        Rule(
            code="PW210",
            name="shadowed-name",
            severity=_W,
            title="The result `{name}` is replaced before anything has read it",
            label="named again here",
            help="Give one of the two another name, or leave the first one away.",
            note="this one is lost",
            variants={
                "join": Variant(
                    title="Two branches of a JOIN are named `{name}`, and are read under this name after it",
                    label="the branch that is listed last wins",
                    help="Give each branch a name of its own.",
                ),
                "two-names": Variant(
                    title="This step has two names, and `{name}` is lost",
                    label="the last name counts",
                    help="Keep one of them.",
                ),
            },
        ),
        Rule(
            code="PW211",
            name="unused-result",
            severity=_I,
            title="Nothing reads the result `{name}`",
            label="named here, and discarded",
            help="Read it in a later step, or leave the name away.",
        ),
        Rule(
            code="PW212",
            name="brace-variable",
            severity=_W,
            title="`{{{name}}}` is a variable that this file does not declare",
            label="stays as it is written when nobody has set it",
            help="Declare it above: df.setvar('{name}', '..');",
            fix="Write {{{near}}}",
            variants={
                "near": Variant(
                    help="Did you mean `{{{near}}}`?",
                ),
                "array": Variant(
                    severity=_E,
                    title="`{{{name}}}` looks like an array, and is the variable `{name}`",
                    label="the whole of it is replaced by the value of `{name}`",
                    help="Write the array with its constructor, ARRAY['{name}'], or call the variable something else.",
                ),
                "quote": Variant(
                    severity=_E,
                    title="The value of `{name}` holds a quote, which ends the string it is put into",
                    label="put in as raw text",
                    help="Double the quote in df.setvar, or select the value in a step and read it as `$name`.",
                ),
            },
        ),
        Rule(
            code="PW213",
            name="variable-as-result",
            severity=_E,
            title="`{name}` is a variable, and `$` reads results only",
            label="no step before this one is named `{name}`",
            help="Write `{{{name}}}`.",
            fix="Write {{{name}}}",
        ),
        Rule(
            code="PW214",
            name="positional-parameter",
            severity=_E,
            title="`{written}` has no value: steps have no parameters",
            label="PostgreSQL refuses the statement",
            help="Write the value, `$name` of an earlier result, or `{{name}}` of a variable.",
        ),
        Rule(
            code="PW215",
            name="name-hits-syntax",
            severity=_E,
            title="The `?` is read as part of the name",
            label="read as `{written}`: NULL when there is no value",
            help="Put a space before the operator `?`: `{spaced}`, or use jsonb_exists(..).",
            variants={
                "tag": Variant(
                    title="On pg_durable the tag {tag} is taken for the result `{name}`",
                    label="`${name}` is replaced by its value",
                    help="Choose another tag, such as $q1$.",
                ),
            },
        ),
        Rule(
            code="PW216",
            name="join-result-access",
            severity=_E,
            title="`{name}` is the array of a JOIN's results, and has no columns",
            label="an array of {count} results",
            help="Name each branch, and read that; or take it apart: `${name}::jsonb -> 0 -> 'rows'`.",
            variants={
                "rows": Variant(
                    title="`{name}` is the array of a JOIN's results, and has no rows",
                ),
                "past-the-end": Variant(
                    title="`{name}` has {count} elements, so there is no element {index}",
                    label="elements count from 0",
                    help="Use df.join3(a, b, c) for three, or name each branch and read that.",
                ),
                "nested": Variant(
                    title="`{name}` has {count} elements, so there is no element {index}",
                    label="`a & b & c` is an array of an array: [[a, b], c]",
                    help="Use df.join3(a, b, c) for three, or name each branch and read that.",
                ),
            },
        ),
        Rule(
            code="PW217",
            name="forgotten-name",
            severity=_E,
            title="On pg_durable {call} has no result that a name could keep",
            label="`${name}` stays as it is written there",
            help="Do not read it: a pause has no result.",
            note="`{name}` is bound here",
            variants={
                "loop": Variant(
                    title="On pg_durable a loop that is the whole workflow forgets its names before each turn",
                    label="`{name}` is of an earlier turn",
                    help="Put a step before the loop, 'SELECT' ~> @> (..): then it keeps them there as well.",
                ),
            },
        ),
        Rule(
            code="PW218",
            name="never-any-rows",
            severity=_E,
            title="df.if_rows asks for rows, and `{name}` is no result of SQL",
            label="the step fails here",
            help="Test it in a step of its own: 'SELECT ..' with `${name}` in it.",
            note="this is what it tests",
            variants={
                "object": Variant(
                    help="Test what it has: 'SELECT ${name}.{column} ..', then `?>` and `!>`.",
                ),
                "no-returning": Variant(
                    title="`{name}` never has rows: its statement returns none",
                    label="always takes the last branch",
                    help="Add RETURNING to the statement.",
                ),
                "no-query": Variant(
                    title="`{name}` never has rows: its statement returns none",
                    label="always takes the last branch",
                    help="Ask in a query, and test its result.",
                ),
                "star": Variant(
                    title="`{name}` never has rows: its statement returns none",
                    label="an empty table, always",
                    help="Add RETURNING to the statement; how many rows it has changed is `${name}.rows_affected`.",
                ),
                "star-no-query": Variant(
                    title="`{name}` never has rows: its statement returns none",
                    label="an empty table, always",
                    help="Ask in a query, and read its rows.",
                ),
            },
        ),
        Rule(
            code="PW219",
            name="other-result-there",
            severity=_E,
            title="On pg_durable `${name}` is the JSON of the value of df.break",
            label="a text comes with its double quotes there",
            help="Write `${name}::jsonb #>> '{{}}'` there; or end the loop by its condition, and read the last step's result.",
            variants={
                "key": Variant(
                    severity=_W,
                    title="On pg_durable `${name}.{column}` can be read only of a JSON object",
                    label="an error when the value of df.break is something else",
                    help="Break with an object that has this key, or end the loop by its condition.",
                ),
                "count": Variant(
                    title="On pg_durable `${name}.{column}` cannot be read",
                    label="stays in the SQL as it stands there",
                    help="Add RETURNING, and count the rows: 'SELECT count(*) FROM ${name}.*'.",
                ),
                "alias": Variant(
                    title="On pg_durable `${name}.*` takes no alias",
                    label="it brings its own name, {name}",
                    help="Leave the alias away, and call it {name}.",
                ),
            },
        ),
        Rule(
            code="PW220",
            name="unread-type-there",
            severity=_E,
            title="On pg_durable the column `{column}` cannot be read: it is of type {type}",
            label="the step fails there, after its effects are committed",
            help="Cast it to text, or to jsonb with to_jsonb(..).",
        ),
        Rule(
            code="PW221",
            name="minus-before-value",
            severity=_W,
            title="On pg_durable a negative `{written}` makes a comment of what follows",
            label="-5 behind a minus is `--5`",
            help="Put a space between: `- {written}`.",
            fix="Put a space before it",
        ),
        Rule(
            code="PW222",
            name="dollar-of-a-pattern",
            severity=_W,
            title="`{written}` in this pattern is the result `{name}`",
            label="replaced by the result's value",
            help="",
            fix="Write \\{written} in E'..'",
            variants={
                "jsonpath": Variant(
                    label="replaced by the result's value, and no variable of the jsonpath",
                    help="Write `\\{written}` in a string with E before its quote, or give the result another name.",
                ),
                "regex": Variant(
                    label="replaced by the result's value, and no end of the line",
                    help="Write `\\{written}` in a string with E before its quote, or give the result another name.",
                ),
            },
        ),
        # PW3xx: control flow
        Rule(
            code="PW301",
            name="do-while",
            severity=_W,
            title="This loop runs once before it tests anything",
            label="the condition guards the body, and comes after it",
            help="Test first: `{condition} ?> (the loop) !> 'SELECT'`, or let the first step of the body take no rows.",
        ),
        Rule(
            code="PW302",
            name="eternal-loop",
            severity=_W,
            title="This loop never ends and never waits",
            label="turns as fast as it can, for ever",
            help="Let it wait in each turn (df.sleep, df.wait_for_schedule, df.wait_for_signal), or leave it by df.break.",
            variants={
                "turn-limit": Variant(
                    title="On pg_durable this loop fails after {turns} turns",
                    label="after about {days} days",
                    help="Wait longer in each turn, or leave the loop by df.break and start the workflow again.",
                ),
            },
        ),
        Rule(
            code="PW303",
            name="unreachable",
            severity=_E,
            title="This step is never reached",
            label="nothing gets past what stands before it",
            help="Remove it, or give the steps before it an end.",
            variants={
                "loop": Variant(
                    label="nothing gets past the loop before it, which has no end",
                    help="Remove it, or give the loop an end.",
                ),
                "break": Variant(
                    label="nothing gets past df.break",
                    help="Remove it, or move it in front of df.break.",
                ),
                "join": Variant(
                    label="nothing gets past the JOIN before it, of which a branch never comes to its end",
                    help="Remove it, or give that branch an end.",
                ),
            },
        ),
        Rule(
            code="PW304",
            name="stray-break",
            severity=_E,
            title="df.break stands outside of any loop",
            label="there is no enclosing loop to leave",
            help="Put it inside df.loop(...), or remove it.",
        ),
        Rule(
            code="PW305",
            name="break-value",
            severity=_E,
            title="The value of df.break is a text, not a step",
            label="the loop results in these very words",
            help="Run it as a step before, name its result, and break with that: df.break('$name').",
            variants={
                "not-replaced": Variant(
                    title="On pg_durable the value of df.break is taken as it is written",
                    label="nothing in it is replaced there",
                    help="End the loop by its condition, and name the result of its last step.",
                ),
            },
        ),
        Rule(
            code="PW306",
            name="non-query-condition",
            severity=_E,
            title="A condition is a statement that is run, and this is none",
            label="PostgreSQL would be asked to run just this",
            help="Ask for its value: `{better}`.",
            fix="Select its value",
        ),
        Rule(
            code="PW307",
            name="truthy-surprise",
            severity=_W,
            title="This condition has {count} columns",
            label="{first} alone decides",
            help="Select the one value that decides.",
            variants={
                "text": Variant(
                    title="This condition is text",
                    label="false are '', 'f', 'false', 'no' and numbers that are 0; any other text is true",
                    help="Make it a boolean: compare it, or cast it, `(..)::boolean`.",
                ),
                "json": Variant(
                    title="This condition is JSON",
                    label="empty objects and arrays, null, false, 0 and texts that say so are false",
                    help="Make it a boolean: `(.. ->> 'key')::boolean`.",
                ),
            },
        ),
        Rule(
            code="PW308",
            name="race-error-wins",
            severity=_W,
            title="The first branch to finish wins this race, also by failing",
            label="an error of the faster one hides an answer of the other",
            help="Race work against a wait (df.sleep, df.wait_for_signal), or run one after the other.",
            variants={
                "both-write": Variant(
                    label="what the other has written by then stays",
                    help="Let the branches only read or wait, and write once the race is decided.",
                ),
                "one-writes": Variant(
                    label="an error of the faster one hides an answer of the other, and what was written stays",
                    help="Let the branches only read or wait, and write once the race is decided.",
                ),
                "requests": Variant(
                    help="Try the second only when the first has answered badly: 'SELECT $first.ok' ?> (use it) !> (the second).",
                ),
            },
        ),
        Rule(
            code="PW309",
            name="timeout-tail",
            severity=_W,
            title="This step runs whichever branch wins, not only when time is up",
            label="read as `({race}) ~> ..`",
            help="Put the wait and what follows it into parentheses: `| ({wait} ~> ..)`.",
            fix="Run it when time is up",
        ),
        # PW4xx: waiting and http
        Rule(
            code="PW401",
            name="signal-timeout-unchecked",
            severity=_W,
            title="When no signal comes within {limit}, the workflow goes on all the same",
            label="nothing asks whether the wait timed out",
            help="Test it: 'SELECT ${name}.timed_out' ?> (no signal) !> (signal).",
            variants={
                "unnamed": Variant(
                    help="Name it (`|=> 'signal'`), and test 'SELECT $signal.timed_out' ?> (no signal) !> (signal).",
                ),
            },
        ),
        Rule(
            code="PW402",
            name="signal-payload",
            severity=_E,
            title="What was sent with a signal is under `data`",
            label="a signal's own columns are {names}",
            help="Write `{better}`.",
            fix="Look under data",
            variants={
                "path": Variant(
                    label="`{path}` is no part of the name, and stays in the SQL",
                    fix="Reach into the JSON",
                ),
                "key": Variant(
                    label="`{key}` is always NULL here",
                ),
            },
        ),
        Rule(
            code="PW403",
            name="cron-dialect",
            severity=_E,
            title="On pg_durable weekday 1 is Sunday, and 0 is refused",
            label="here 0 and 7 are Sunday, 1 is Monday",
            help="Write names: MON, TUE, ..",
            fix="Write {names}",
            variants={
                "named": Variant(
                    help="Write names: {names}.",
                ),
                "zone": Variant(
                    title="On pg_durable schedules are in UTC, and no zone can be given",
                    label="refused there",
                    help="Write the time in UTC.",
                ),
                "both-days": Variant(
                    title="On pg_durable both the day of the month and the weekday must match",
                    label="here either of them is enough",
                    help="Restrict one of the two, and make a test of the other.",
                ),
            },
        ),
        Rule(
            code="PW404",
            name="early-signal",
            severity=_W,
            title="On pg_durable a signal that comes before this wait is lost",
            label="other steps run before it",
            help="Tell the sender when the wait has begun, or let it send again until it is answered.",
            variants={
                "loop": Variant(
                    label="between two turns of the loop nothing waits for it",
                ),
            },
        ),
        Rule(
            code="PW405",
            name="http-default-post",
            severity=_W,
            title="This request is a POST",
            label="no method is given, and POST is the default",
            help="Say which method you mean: 'GET' or 'POST'.",
            fix="State the method",
        ),
        Rule(
            code="PW406",
            name="http-unchecked",
            severity=_W,
            title="Nothing looks at the answer to this request",
            label="an answer of 404 or 403 does not fail the step",
            help="Test it: 'SELECT ${name}.ok' ?> (go on) !> (what then?).",
            variants={
                "unnamed": Variant(
                    help="Name it (`|=> 'answer'`), and test 'SELECT $answer.ok' ?> (go on) !> (what then?).",
                ),
            },
        ),
        Rule(
            code="PW407",
            name="json-splice",
            severity=_E,
            title="On pg_durable `{written}` is put into JSON as it is",
            label="a quote in the value breaks the JSON",
            help="Build the body in a step before: 'SELECT jsonb_build_object(..)', and send `$that`.",
            variants={
                "braces": Variant(
                    label="never replaced inside braces",
                ),
                "url": Variant(
                    title="On pg_durable `{written}` is put into a URL as it is",
                    label="a space, `&` or `?` in the value changes the URL",
                    help="Encode it in the step that gives it, by a function such as url_encode(..).",
                ),
            },
        ),
        Rule(
            code="PW408",
            name="body-of-a-get",
            severity=_I,
            title="This GET sends a body, which many servers ignore or refuse",
            label="sent as it is written",
            help="Say 'POST' if the body is the request, or put it into the URL.",
        ),
        Rule(
            code="PW409",
            name="never-fires",
            severity=_E,
            title="This schedule never comes",
            label="no year has such a day",
            help="Correct the day or the month.",
        ),
        # PW5xx: effects
        Rule(
            code="PW501",
            name="at-least-once-effect",
            severity=_W,
            title="On pg_durable this step may run twice",
            label="inserts the same rows again",
            help="Make it repeatable: ON CONFLICT DO NOTHING with a key of {{sys_instance_id}} and the step.",
            variants={
                "update": Variant(
                    label="changes {column} again, by its own value",
                    help="Guard it by what it changes: let it set a state as well, and ask for the old one in WHERE.",
                ),
                "post": Variant(
                    label="posted again, and the receiver cannot tell",
                    help='Send a key that the receiver knows: headers => \'{{"Idempotency-Key": "{{sys_instance_id}}-1"}}\'.',
                ),
            },
        ),
        Rule(
            code="PW502",
            name="session-state",
            severity=_E,
            title="A setting is gone before the next step",
            label="each step is a session and a transaction of its own",
            help="Set it for the role or function: ALTER ROLE .. SET ..",
            variants={
                "temporary": Variant(
                    title="A temporary table is gone before the next step",
                    help="Create an ordinary table, or do it in one statement, with WITH.",
                ),
                "advisory-lock": Variant(
                    title="A session lock is not kept from step to step",
                    help="Use pg_advisory_xact_lock in the statement that needs it, or a row as the lock.",
                ),
                "set-config": Variant(
                    help="Pass true, for this statement alone; or set it for the role: ALTER ROLE .. SET ..",
                ),
                "transaction": Variant(
                    title="A step cannot begin or end a transaction",
                    label="PostgreSQL refuses it inside a step",
                    help="Leave it out; a step that fails leaves nothing behind.",
                ),
                "declare-cursor": Variant(
                    title="A cursor ends with its step",
                    help="Read the rows in one step, and hand them on by name.",
                ),
                "fetch": Variant(
                    title="There is no cursor here",
                    help="Read the rows in one step, and hand them on by name.",
                ),
                "close": Variant(
                    title="There is no cursor here",
                    help="Leave it out.",
                ),
                "prepare": Variant(
                    title="A prepared statement ends with its step",
                    help="Write the statement into the step that runs it.",
                ),
                "execute": Variant(
                    title="There is no prepared statement here",
                    help="Write the statement itself into the step.",
                ),
                "deallocate": Variant(
                    title="There is no prepared statement here",
                    help="Leave it out.",
                ),
                "listen": Variant(
                    title="A step does not stay to listen",
                    help="Wait with df.wait_for_signal; the sender calls df.signal.",
                ),
                "unlisten": Variant(
                    title="A step does not stay to listen",
                    help="Leave it out.",
                ),
                "lock": Variant(
                    title="A lock ends with its step",
                    help="Lock in the statement that needs it: SELECT .. FOR UPDATE.",
                ),
                "constraints": Variant(
                    title="SET CONSTRAINTS ends with its step",
                    help="Declare the constraint as deferred.",
                ),
                "discard": Variant(
                    title="A step has no session state to discard",
                    help="Leave it out.",
                ),
            },
        ),
        Rule(
            code="PW503",
            name="compose-time-call",
            severity=_E,
            title="This is evaluated once, when the workflow is put together",
            label="`{word}` is frozen before the first step runs",
            help="Move it into the SQL of the step, inside the quotes.",
            variants={
                "query": Variant(
                    label="the sub-select is frozen before the first step runs",
                ),
            },
        ),
        Rule(
            code="PW504",
            name="non-step-call",
            severity=_E,
            title="{call} answers at once; it is not a step",
            label="would run before the workflow starts",
            help="Put it into the SQL of a step: 'SELECT {call}(..)'.",
        ),
        Rule(
            code="PW505",
            name="label-as-id",
            severity=_E,
            title="`{value}` is not the id of an instance",
            label="{call} takes an id: 8 hexadecimal digits",
            help="Pass the id that df.start returned; look it up by its label in df.list_instances().",
        ),
        Rule(
            code="PW506",
            name="quote-hell",
            severity=_I,
            title="Quotes are doubled two deep here",
            label="hard to read, easy to get wrong",
            help="Write the step in dollar quotes: {tag} .. {tag}.",
            fix="Write {tag} .. {tag}",
        ),
        Rule(
            code="PW507",
            name="caller-transaction",
            severity=_W,
            title="A start in a transaction of its own does not see what this transaction has set",
            label="sees only variables that are committed",
            help="Commit after df.setvar, or leave transaction_mode out.",
            note="set in the caller's transaction",
            variants={
                "waits": Variant(
                    title="This waits for an instance that is not there yet",
                    label="the start takes effect when this transaction commits",
                    help="Commit between the two.",
                    note="started here",
                ),
            },
        ),
        Rule(
            code="PW508",
            name="constant-only-slot",
            severity=_W,
            title="A schedule is used as it is written",
            label="`{written}` is not replaced here",
            help="Write the expression, or ask for the time in a condition.",
            variants={
                "signal": Variant(
                    title="The name of a signal is used as it is written",
                    help="Write a fixed name. Signals are kept for each instance, so it need not be unique.",
                ),
                "if-rows": Variant(
                    title="The name that df.if_rows tests is used as it is written",
                    help="Write the name of a result.",
                ),
                "if-rows-result": Variant(
                    title="The name that df.if_rows tests is used as it is written",
                    help="Write the bare name: df.if_rows('{name}', ..).",
                ),
            },
        ),
        Rule(
            code="PW509",
            name="known-only-to-the-database",
            severity=_E,
            title="Rows cannot be written for an expression that only the database can evaluate",
            label="evaluated when the workflow is started",
            help="Write the value itself, or start the workflow from SQL: `compile --emit sql --style start`.",
        ),
        Rule(
            code="PW510",
            name="sql-syntax",
            severity=_E,
            title="PostgreSQL cannot read this step: {message}",
            help="Correct the SQL; the step would fail when it is reached.",
            variants={
                "value-here": Variant(
                    help="A value is written here, and PostgreSQL takes none in this place: `${name}` cannot be a name.",
                ),
                "rows-outside-from": Variant(
                    title="PostgreSQL cannot read this step: {written} is a table and belongs in FROM",
                    help="Read it there: `.. FROM {written}`.",
                ),
            },
        ),
        Rule(
            code="PW511",
            name="several-statements",
            severity=_E,
            title="A step is one statement, and this holds {count}",
            label="the second one begins here",
            help="Make a step of each: 'first' ~> 'second'.",
        ),
        Rule(
            code="PW512",
            name="runs-alone",
            severity=_I,
            title="{statement} cannot run in a transaction, so it runs at least once, not exactly once",
            label="repeated after a crash in the wrong moment",
            help="Write it so that running it twice does no harm.",
            variants={
                "index": Variant(
                    help="If its build breaks off, an invalid index stays: ask for indisvalid of pg_index in a step behind it.",
                ),
                "drop": Variant(
                    help="Write it so that running it twice does no harm: IF EXISTS.",
                ),
            },
        ),
        Rule(
            code="PW513",
            name="refused-by-the-database",
            severity=_E,
            title="{message}",
            label="{detail}",
            help="Correct it; the step would fail when it is reached.",
            variants={
                "hint": Variant(
                    help="{hint}",
                ),
            },
        ),
        Rule(
            code="PW514",
            name="copy-to-client",
            severity=_E,
            title="A step has no client that could take rows",
            label="COPY TO STDOUT talks to the client",
            help="SELECT the rows: they become the step's result.",
            variants={
                "from": Variant(
                    title="A step has no client that could send rows",
                    label="COPY FROM STDIN talks to the client",
                    help="INSERT the rows, or load the file by psql before the workflow starts.",
                ),
            },
        ),
        Rule(
            code="PW515",
            name="label-too-long",
            severity=_E,
            title="This label has {size} bytes; the limit is {limit}",
            label="df.start refuses it",
            help="Shorten it; what else there is to say can be a variable or a column.",
        ),
        # PW6xx: children
        Rule(
            code="PW601",
            name="await-without-timeout",
            severity=_I,
            title="This wait has no timeout",
            label="waits for ever if the awaited instance never ends",
            help="Give the wait a limit in seconds: df.await_instance(..., 3600).",
            variants={
                "child": Variant(
                    help="Add one to the options of the call: '{{\"timeout_seconds\": 3600}}'.",
                ),
            },
        ),
        Rule(
            code="PW602",
            name="unknown-option",
            severity=_E,
            title="df.call_child: unsupported option '{option}'. Supported options: {supported}",
            label="not an option of df.call_child",
            help="Remove it; there are {supported}.",
            fix="Write {near}",
            variants={
                "near": Variant(
                    help="Did you mean `{near}`?",
                ),
                "only-here": Variant(
                    help="Remove it; pg_durable does not know it.",
                ),
            },
        ),
        Rule(
            code="PW603",
            name="bad-option-value",
            severity=_E,
            title="df.call_child {option} must be a string",
            label="this is {type}",
            help="Write it in double quotes.",
            variants={
                "not-an-integer": Variant(
                    title="df.call_child {option} must be an integer",
                    help="Write whole seconds without quotes: 300. Leave the option out to wait for ever.",
                ),
                "fraction": Variant(
                    title="df.call_child {option} must be an integer",
                    label="this is a number with a fraction",
                    help="Write whole seconds without quotes: 300. Leave the option out to wait for ever.",
                ),
                "out-of-range": Variant(
                    title="df.call_child {option} must be between 1 and {limit}",
                    label="out of range",
                    help="Choose a number in that range, or leave the option out to wait for ever.",
                ),
                "choice": Variant(
                    title="df.call_child {option} must be '{default}' or '{other}'",
                    label="neither of them",
                    help='Write "{other}", or leave the option out: "{default}" is the default.',
                ),
                "only-here": Variant(
                    title="df.call_child only supports on_failure = 'raise' in this release",
                    label="refused on pg_durable",
                    help="Leave the option out there.",
                ),
            },
        ),
        Rule(
            code="PW604",
            name="unlabelled-child",
            severity=_I,
            title="This child has no label",
            label="hard to find among running instances",
            help="Give it one: df.call_child(.., 'label').",
        ),
        Rule(
            code="PW605",
            name="child-cycle",
            severity=_E,
            title="This workflow starts itself",
            label="starts {names}",
            help="Wait before it starts again (df.sleep, df.wait_for_schedule), or make it a loop: @> (..).",
            note="`{name}` starts the next here",
            variants={
                "itself": Variant(
                    label="starts `{name}` again",
                ),
                "long": Variant(
                    label="starts {names} -> {count} others -> `{name}`",
                ),
            },
        ),
        Rule(
            code="PW606",
            name="awaits-itself",
            severity=_E,
            title="This workflow waits for its own end",
            label="`{{sys_instance_id}}` is the instance that waits",
            help="Wait for the instance that a step has started: '$child.instance_id'.",
        ),
        Rule(
            code="PW607",
            name="child-result-path",
            severity=_E,
            title="What a child came to is under `result`",
            label="the envelope of an instance has {names}",
            help="Write `{better}`.",
            fix="Look under result",
            variants={
                "path": Variant(
                    label="`{path}` is no part of the name, and stays in the SQL",
                ),
            },
        ),
        Rule(
            code="PW608",
            name="timeout-too-short",
            severity=_W,
            title="The child waits at least {child} seconds, and this wait ends after {limit}",
            label="always times out",
            help="Raise timeout_seconds above {child}.",
        ),
        Rule(
            code="PW609",
            name="child-database",
            severity=_W,
            title="On pg_durable this child is started in the database `{database}`",
            label="df.start exists there only if the extension does",
            help="Start the parent without a database of its own, or make sure that pg_durable is installed there.",
        ),
        Rule(
            code="PW610",
            name="literal-instance-id",
            severity=_W,
            title="Ids differ from run to run, and this one is written down",
            label="`{value}` was one instance of one database",
            help="Bind the id of an instance that a step starts: '$child.instance_id'.",
        ),
        Rule(
            code="PW611",
            name="child-too-large",
            severity=_E,
            title="This child is too large to travel inside its parent",
            label="each df.call_child inside another doubles the text",
            help="Start the inner child from a step, `SELECT df.start(...)`, and wait with df.await_instance.",
        ),
        Rule(
            code="PW612",
            name="child-there",
            severity=_E,
            title="pg_durable has no df.call_child",
            label="refused there",
            help="Start the child in a step, 'SELECT df.start(..)', and let it tell the parent with df.signal.",
            variants={
                "await": Variant(
                    title="On pg_durable df.await_instance is not a step",
                    help="Let the other instance tell this one with df.signal, and wait with df.wait_for_signal.",
                ),
            },
        ),
    )
}

PHRASES: Mapping[str, str] = {
    # Values of templates that are words themselves, for `phrase`. What a syntax error (PW001) has expected or found
    "the-end": "the end of the statement",
    "a-value": "a value",
    "a-quoted-name": "a name in quotes",
    "an-operand": 'a step, "(" or a df function',
    "a-type": "the name of a type",
    "an-operator": "an operator",
    "a-name": "a name",
    "as-and-a-type": "AS and a type",
    "something-else": "something else",
    "either": "{others} or {last}",
    # What to do about it: where an operand is missing,
    "before-the-end": "Write what is missing before the statement ends.",
    "a-function": "Write the name of a function.",
    "bare-sql": "SQL is written in quotes: 'SELECT ..' or $$ SELECT .. $$.",
    "missing-here": "Write what is missing here.",
    "missing-after": "Write what is missing after {before}, or remove the {before}.",
    "no-prefix": "{found} stands between two steps; only @> stands before one.",
    "write-a-step": "Write a step here: SQL in quotes, or a df call.",
    # where an operator is missing,
    "complete-it": "Complete the statement.",
    "quote-in-text": "A quote that belongs to the text is written twice, 'it''s', or the text stands between $$ and $$.",
    "name-argument": "An argument is named with =>: {name} => ..",
    "remove-colon": "Remove the colon.",
    "write-a-type": "Write a type, for example jsonb or text.",
    "write-a-cast": "Write it like CAST('{{}}' AS jsonb).",
    "two-statements": "Put a semicolon between two statements, or an operator between two steps.",
    "call-parentheses": "The arguments of a call are written in parentheses.",
    "two-steps": "Put an operator between the two: `~>` runs one after the other, `&` both side by side. Arguments need a comma.",
    "misplaced": "Write it between two steps, or remove it.",
    # and where somebody writes as in another language.
    "habit-as": "A result is named with |=>: 'SELECT 1' |=> 'one'. Only what is selected takes AS.",
    "habit-if": _IF,
    "habit-while": "A loop with a condition is written df.loop(body, condition).",
    "habit-arrow": "A result is named with |=>: 'SELECT 1' |=> 'one'. In a call, => stands behind the name of an argument.",
    "habit-plpgsql": _PLPGSQL,
    # Of which thing a type is wrong, which is wanted, and which is there (PW019, PW021, PW022)
    "the-argument": "`{name}` of df.{call}",
    "the-name": "The name of a result",
    "this-step": "This step",
    "a-step-of-sql": "A step",
    "want-text": "a text in quotes",
    "want-integer": "a whole number",
    "want-int4": "a whole number of type integer",
    "want-json": "JSON, in quotes or as jsonb",
    "want-boolean": "true or false",
    "want-step": "a text of SQL or a df call",
    "is-text": "text",
    "is-numeric": "a number of type numeric",
    "is-decimal": "a number with decimals",
    "is-bigint": "a whole number of type bigint",
    "is-integer": "a whole number",
    "is-boolean": "true or false",
    "is-null": "NULL",
    "is-jsonb": "jsonb",
    "is-array": "an array",
    "is-step": "a step",
    "is-half-if": "a half-built if",
    "is-record": "a row of several values",
    "is-column": "the name of a column",
    "is-of-type": "of type {type}",
    "is-unknown": "something only the database knows",
    # How df.start and df.call_child begin about a text that is no step, and what is in front of a problem in it (PW023)
    "of-start": "Invalid durable function: ",
    "of-child": "Invalid child durable function: ",
    "not-read": "Invalid Durofut JSON: failed to deserialize workflow step: ",
    "malformed": "Malformed Durofut JSON with node_type '{kind}': ",
    # How many arguments a call takes (PW016), which are missing (PW015)
    "no-argument": "no argument",
    "one-argument": "one argument",
    "arguments": "{count} arguments",
    "and": " and ",
    # What is wrong with JSON
    "json-bad": "this is not JSON",
    "json-more": "something follows the JSON value",
    "json-colon": 'expected a ":"',
    "json-comma": 'expected "," or the closing bracket',
    "json-name": "expected a name in double quotes",
    "json-value": "expected a value",
    "json-bracket": "expected the other kind of bracket",
    "json-deep": "JSON nested deeper than {limit} levels",
    "json-number": "this number is too large",
    "json-escape": "this escape means nothing in JSON",
    "json-half-pair": "half of a surrogate pair",
    "json-character": "PostgreSQL text cannot hold this character",
    # What is wrong with a cron expression, in the words of df_internal.cron_problem, and what to do
    "cron-fields": "expected 5 fields (minute hour day-of-month month day-of-week), found {count}",
    "cron-item": "'{item}' is not a {field}",
    "cron-range": "{field} {number} is outside of {low} to {high}",
    "cron-zone": "there is no time zone '{zone}'",
    "write-fields": "Write five fields, for example '0 6 * * MON' for every Monday at six.",
    "write-macro": "Write '{same}'.",
    "near-zone": "Did you mean {zone}?",
    "write-zone": "Write a name such as Europe/Berlin, or UTC.",
}


def phrase(name: str, /, **fields: object) -> str:
    """A value of a template that is words itself. KeyError: there is no phrase of that name, or a field is missing."""
    return PHRASES[name].format_map(fields)
