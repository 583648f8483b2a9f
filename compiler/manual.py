"""What calls and operators mean, in a sentence or two: for hovers, completions and whoever writes a program.

The signatures are in grammar.kinds; here are only words. A leaf that is not listed here has those of the canvas, and a
test asks for an entry for every other call and operator.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgweave.grammar.kinds import CALLS, EXPLAIN, KINDS, SETVAR, START, Call


@dataclass(frozen=True, slots=True)
class Entry:
    """One page of the manual. example: a step, or a statement, as one would write it."""

    says: str
    example: str
    call: Call | None = None


_STATEMENTS = {call.name: call for call in (START, SETVAR, EXPLAIN)}
_CALLS = {
    "sql": ("Runs one SQL statement. A bare string is the same.", "df.sql('SELECT 1')"),
    "seq": ("Runs one step, then the other. The result is that of the second.", "'SELECT 1' ~> 'SELECT 2'"),
    "as": ("Names the result of a step; later steps read it as `$name`.", "'SELECT 1 AS id' |=> 'order'"),
    "sleep": ("Pauses for so many whole seconds. No process waits meanwhile.", "df.sleep(60)"),
    "wait_for_schedule": (
        "Pauses until the next time that a cron expression names: minute, hour, day of month, month, day of week.",
        "df.wait_for_schedule('0 6 * * MON-FRI')",
    ),
    "loop": (
        "Repeats its body. The condition is tested after each turn; without one only `df.break` ends the loop.",
        "df.loop('SELECT work()', 'SELECT more()')",
    ),
    "break": ("Leaves the nearest loop around it. The value is the result of the loop.", "df.break('done')"),
    "if": (
        "Runs one of two branches, by the first column of the first row of the condition.",
        "df.if('SELECT $n > 0', 'SELECT 1', 'SELECT 2')",
    ),
    "if_rows": (
        "Runs one of two branches: does a named result have rows?",
        "df.if_rows('jobs', 'SELECT 1', df.sleep(5))",
    ),
    "join": ("Runs two branches side by side and waits for both.", "'SELECT a()' & 'SELECT b()'"),
    "join3": (
        "Runs three branches side by side and waits for all.",
        "df.join3('SELECT a()', 'SELECT b()', 'SELECT c()')",
    ),
    "race": (
        "Runs two branches side by side; the first to finish wins, also with an error. The other is called off.",
        "df.wait_for_signal('paid') | df.sleep(900)",
    ),
    "wait_for_signal": (
        "Waits for a signal from outside. The result has `timed_out` and `data`; running out of time is no failure.",
        "df.wait_for_signal('approved', 86400)",
    ),
    "http": (
        "Makes an HTTP request; POST unless another method is given. The result has `status`, `ok`, `body`, `headers`.",
        "df.http('https://example.com/hook', 'POST', '{\"id\": $id}')",
    ),
    "http_multipart": (
        "Makes a multipart HTTP request: parts with `name`, `filename`, `content_type` and `data_b64`.",
        'df.http_multipart(\'https://example.com/upload\', parts => \'[{"name": "f", "data_b64": "QQ=="}]\')',
    ),
    "await_instance": (
        "Waits until another instance has ended. The result has `instance_id`, `status` and `result`.",
        "df.await_instance('$child.instance_id', 300)",
    ),
    "call_child": (
        "Starts a workflow of its own and waits for its end. The result has `instance_id`, `status` and `result`.",
        "df.call_child('SELECT 1', 'report', '{\"timeout_seconds\": 300}')",
    ),
    "start": (
        "Starts a workflow when the transaction commits, and returns the id of the instance.",
        "SELECT df.start('SELECT 1', 'hello');",
    ),
    "setvar": (
        "Sets a variable; steps read it as `{name}`. Each start takes a copy.",
        "SELECT df.setvar('region', 'eu');",
    ),
    "explain": (
        "Shows a workflow as an outline, without starting it.",
        "SELECT df.explain('SELECT 1' ~> df.sleep(1));",
    ),
}
MANUAL: dict[str, Entry] = {
    name: Entry(says, example, CALLS.get(name) or _STATEMENTS.get(name)) for name, (says, example) in _CALLS.items()
} | {
    kind.function: Entry(kind.offer.says, kind.offer.example, CALLS[kind.function])
    for kind in KINDS.values()
    if kind.offer is not None and kind.function not in _CALLS
}
"""By the name of the call, without `df.`."""

OPERATORS: dict[str, Entry] = {
    **{call.operator: MANUAL[name] for name, call in CALLS.items() if call.operator},
    "?>": Entry("If: what stands to the left decides, what stands to the right runs when it is true.", "c ?> t !> e"),
    "!>": Entry("Else: what runs when the condition of the `?>` before it is false.", "c ?> t !> e"),
    "||": Entry("Joins texts before the workflow starts; not for steps.", "'SELECT ' || quote_literal('x')"),
}
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "timeout_seconds": ("How long to wait for the child; without it, for ever.", ()),
    "database": ("Where the child's steps run.", ()),
    "on_failure": ("When the child fails: fail too, or go on with its error as a value.", ("raise", "return")),
    "on_timeout": ("When time is up: fail, or go on with `timed_out` true.", ("raise", "return")),
    "on_cancel": ("When this workflow is cancelled: leave the child alone, or cancel it too.", ("leave", "cancel")),
}
"""Options of df.call_child: what they mean, and the values they may have where those can be listed."""
