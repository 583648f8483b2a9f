"""What `%pgweave COMMAND` does in a line: look at instances, control them, ask about a program.

Each command takes the words behind its name. A word that is a variable of the session stands for its value, so
`%pgweave show run` and `%pgweave signal run approved {"by": "ann"}` do what they say.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import resources
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from pgweave.api import Run, Workflow
from pgweave.grammar.diagnostics import CATALOGUE
from pgweave.notebooks import sqlcell
from pgweave.notebooks.shell import Shell, expanded, split
from pgweave.observe import display, session_database
from pgweave.observe.live import show
from pgweave.observe.text_tables import ago
from pgweave.runtime.client import Client
from pgweave.runtime.connect import connect
from pgweave.workflow import findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgweave.grammar.diagnostics import Diagnostic

COMMANDS: dict[str, tuple[str, str]] = {
    "ps": ("ps [NUMBER]", "The newest instances."),
    "show": ("show ID", "An instance as a live picture. Here and below, ID may be a variable that holds a run."),
    "signal": ("signal ID NAME [JSON]", "Send a signal; it is kept until a wait takes it."),
    "cancel": ("cancel ID [REASON]", "End an instance before its next step."),
    "wait": ("wait ID [SECONDS]", "Wait until an instance has ended."),
    "result": ("result ID", "What an instance came to."),
    "sql": ("sql STATEMENT", "Plain SQL on this session's database. `%%pgweave sql` takes a whole cell."),
    "check": ("check [VARIABLE]", "Findings of a workflow, with the database's opinion about tables and columns."),
    "text": ("text [VARIABLE]", "A workflow as text, laid out and coloured."),
    "explain": ("explain CODE", "What a finding means."),
    "use": ("use DSN", "Work with this database from here on."),
    "help": ("help", "This list."),
}


def run(shell: Shell, line: str) -> object:
    """Run one command. UsageError, in a sentence, when it is not written as it should be."""
    line = line.strip()
    # To SQL a semicolon at the end belongs to the statement.
    if not line.startswith("sql"):
        line = line.rstrip("; ")  # a semicolon at the end means to IPython: do not show the result
    name, _, rest = line.partition(" ")
    if name and name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        advice = f"Did you mean `%pgweave {near[0]}`?" if near else "`%pgweave help` lists the commands."
        raise UsageError(f"There is no command {name!r}. {advice}")
    command: Callable[[Shell, str], object] = globals()[f"_{name or 'help'}"]
    return command(shell, rest.strip())


@contextmanager
def _client() -> Iterator[Client]:
    with Client(session_database.current()) as client:
        yield client


def _words(command: str, rest: str, at_least: int, at_most: int) -> list[str]:
    """The words of a command. The last one is the remaining text as written, since JSON has quotes of its own."""
    words = rest.split(maxsplit=at_most - 1)
    if not at_least <= len(words):
        raise UsageError(f"Write: %pgweave {COMMANDS[command][0]}")
    return words


def _id(shell: Shell, word: str) -> str:
    """The id of an instance: itself, or a run that a variable holds."""
    value = expanded(shell, word)
    return str(getattr(value, "id", value))


def _run(shell: Shell, word: str) -> Run:
    """A run that a variable holds, or that of an id."""
    value = expanded(shell, word)
    return value if isinstance(value, Run) else Run.open(str(value))


def _number(command: str, words: list[str], at: int, default: int) -> int:
    if len(words) <= at:
        return default
    if not words[at].isdecimal() or int(words[at]) < 1:
        raise UsageError(f"{words[at]!r} is not a whole number. Write: %pgweave {COMMANDS[command][0]}")
    return int(words[at])


def _workflows(shell: Shell, name: str) -> tuple[str, Sequence[Workflow]]:
    """The workflows of a variable."""
    value = shell.user_ns.get(name or "workflow")
    value = [value] if isinstance(value, Workflow) else value
    if not isinstance(value, list) or not value or not all(isinstance(item, Workflow) for item in value):
        known = [word for word, held in shell.user_ns.items() if isinstance(held, Workflow) and word[:1] != "_"]
        there = f"There are: {', '.join(known)}." if known else "Write one in a cell that begins with %%pgweave."
        raise UsageError(f"The variable {name or 'workflow'!r} holds no workflow. {there}")
    return name or "workflow", value


def _ps(_: Shell, rest: str) -> None:
    with _client() as client:
        instances = client.instances(_number("ps", rest.split(), 0, display.MAX_ROWS))
    if not instances:
        show(display.sentence("No instances."))
        return
    columns = ["id", "label", "status", "started", "child of"]
    rows: list[list[object]] = [
        [one.id, one.label or "", one.status, f"{ago(one.created_at)} ago", one.parent_instance_id or ""]
        for one in instances
    ]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    show(display.table(columns, rows, f"{len(rows)} instance{'s' * (len(rows) != 1)}"))


def _show(shell: Shell, rest: str) -> None:
    (word,) = _words("show", rest, 1, 1)
    show(_run(shell, word))


def _signal(shell: Shell, rest: str) -> None:
    word, name, *payload = _words("signal", rest, 2, 3)
    try:
        value = json.loads(payload[0]) if payload else {}
    except ValueError as error:
        raise UsageError(
            f'What a signal carries is JSON, and this is not: {error}. For example: {{"approved": true}}'
        ) from None
    run = _run(shell, word)
    run.signal(name, value)
    show(display.sentence(f"Sent {name} to {run.id}."))


def _cancel(shell: Shell, rest: str) -> None:
    word, *reason = _words("cancel", rest, 1, 2)
    with _client() as client:
        show(display.sentence(client.cancel(_id(shell, word), *reason)))


def _wait(shell: Shell, rest: str) -> None:
    words = _words("wait", rest, 1, 2)
    seconds = _number("wait", words, 1, 3600)
    run = _run(shell, words[0])
    try:
        run.wait(seconds)
    except TimeoutError:
        show(display.sentence(f"{run.id} has not ended after {seconds} s."))
    show(run)


def _result(shell: Shell, rest: str) -> object:
    (word,) = _words("result", rest, 1, 1)
    instance_id = _id(shell, word)
    with _client() as client:
        found = client.instance(instance_id)
    if found.status == "completed":
        return display.result(found.result)
    show(
        display.sentence(f"{instance_id} is {found.status} and has no result. `%pgweave show {instance_id}` says more.")
    )
    return None


def _sql(_: Shell, rest: str) -> object:
    return sqlcell.query(rest)


def _check(shell: Shell, rest: str) -> None:
    _, workflows = _workflows(shell, rest)
    # Workflows of one cell share a text; a list may hold those of several.
    for source in dict.fromkeys(workflow.module.source for workflow in workflows):
        mine = [workflow for workflow in workflows if workflow.module.source == source]
        asked, notes = database_findings(mine, session_database.current())
        show(display.findings(sorted([*findings(source), *asked], key=lambda one: (one.span, one.code)), source))
        for note in notes:
            show(display.sentence(note))


def database_findings(workflows: Sequence[Workflow], dsn: str) -> tuple[list[Diagnostic], tuple[str, ...]]:
    """What a database says about the steps of workflows that share a text, and what could not be looked at."""
    from pgweave import dbcheck  # lazy: start-up of %load_ext

    if not workflows:
        return [], ()
    with connect(dsn, application_name="pgweave check") as connection:
        outcome = dbcheck.check(workflows[0].module, connection)
    return list(outcome.findings), outcome.notes


def _text(shell: Shell, rest: str) -> None:
    for workflow in _workflows(shell, rest)[1]:
        show(display.code(workflow.text))


def _explain(_: Shell, rest: str) -> None:
    (code,) = _words("explain", rest.upper(), 1, 1)
    page = resources.files("pgweave.grammar").joinpath(f"codes/{code}.md")
    if code not in CATALOGUE or not page.is_file():
        near = get_close_matches(code, CATALOGUE, n=1)
        raise UsageError(
            f"There is no finding {code}. " + (f"Did you mean {near[0]}?" if near else "Codes look like PW201.")
        )
    show(display.markdown(page.read_text(encoding="utf-8")))


def _use(shell: Shell, rest: str) -> None:
    if not rest:
        raise UsageError(
            f"Write: %pgweave {COMMANDS['use'][0]}, for example: %pgweave use postgresql://me@localhost/shop"
        )
    use(shell, split(rest)[0] if rest[0] in "'\"" else rest)


def use(shell: Shell, word: str) -> None:
    """Make a database that of the session, if it can be reached. word: its connection string, or a variable with it."""
    dsn = str(expanded(shell, word))
    connect(dsn).close()
    session_database.use(dsn)


def _help(_: Shell, rest: str) -> None:
    rows = "\n".join(f"| `%pgweave {usage}` | {says} |" for usage, says in COMMANDS.values())
    text = (
        "A cell that begins with `%%pgweave [VARIABLE] [--dsn ..] [--run] [--check-only]` holds a program; "
        f"`%%pgweave?` says what the options mean.\n\n| in a line | |\n|---|---|\n{rows}\n"
    )
    show(display.markdown(text))
