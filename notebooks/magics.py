"""`%%pgweave` and `%pgweave`: programs in cells, and commands for what runs.

A cell holds a program. Out come its picture, its findings with carets that count the lines of the cell, and a variable
with the Workflow. A mistake in a program is shown as a finding, never as a traceback.
"""

from __future__ import annotations

import html
import keyword
import re
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand
from IPython.core.magic_arguments import MagicArgumentParser

from pgweave.api import Run, Workflow
from pgweave.grammar import parser
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.span import Source
from pgweave.notebooks import commands, complete, sqlcell
from pgweave.notebooks.shell import Shell, split
from pgweave.notebooks.stopped import Stopped, explained
from pgweave.observe import display, session_database
from pgweave.observe.live import show
from pgweave.observe.picture_bundles import of_workflow
from pgweave.workflow import findings, workflows_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

VARIABLE = "workflow"
"""Where a cell's workflow goes that names no variable."""


def _parser() -> MagicArgumentParser:
    parser = MagicArgumentParser(  # type: ignore[no-untyped-call]
        prog="%%pgweave",
        description="Read the program in this cell: draw it, check it, put it into a variable. "
        "`%%pgweave sql` runs a cell of plain SQL instead. `%pgweave help` lists what `%pgweave` does in a line.",
    )
    add = parser.add_argument
    add("name", nargs="?", default=VARIABLE, help=f"Variable for the workflow. Default: {VARIABLE}.")
    add("--dsn", help="Database of this session from here on. Default: PGWEAVE_DSN, else the embedded server.")
    add("--run", action="store_true", help="Start it, and show it live; the variable `run` holds the run.")
    add("--check-only", action="store_true", help="Findings only: no picture, no variable.")
    add("--label", help="Label of the instance, with --run.")
    add("--var", action="append", default=[], metavar="NAME=VALUE", help="Set a variable, with --run.")
    return parser


PARSER = _parser()


class Magic:
    """The one magic, as a cell and as a line, of one shell."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    @no_var_expand
    def pgweave(self, line: str, cell: str | None = None) -> object:
        """Do what a cell or a line asks for; what comes back is the cell's result."""
        with explained():
            if cell is None:
                return commands.run(self.shell, line)
            if line.split(maxsplit=1)[:1] == ["sql"]:
                return sqlcell.run_cell(self.shell, line, cell)
            self._program(PARSER.parse_args(split(line)), cell)
            return None

    pgweave.__doc__ = PARSER.format_help()  # what `%%pgweave?` shows

    def _program(self, options: Namespace, cell: str) -> None:
        if not options.name.isidentifier() or keyword.iskeyword(options.name):
            raise UsageError(f"{options.name!r} is not the name of a variable. See: %pgweave help")
        if options.dsn:
            commands.use(self.shell, options.dsn)
        # What is about to run has a database, which knows the tables; otherwise none is started to find out.
        checked = Checked(options.name, cell, session_database.current if options.run else session_database.known)
        if options.check_only:
            self._only_findings(checked)
            return
        readable = bool(checked.workflows) and not checked.unreadable
        runs = options.run and not checked.errors
        if readable:
            self.shell.push(self._variables(options.name, checked.workflows))
        if readable and not runs:  # else the run shows it
            for workflow in checked.workflows:
                show(of_workflow(workflow))
        if readable or checked.findings:
            show(checked.bundle(self._sentence(options.name, checked, hints=not runs)))
        if not readable:
            plain = any(found.code == "PW024" for found in checked.findings)
            advice = "A cell of plain SQL begins with `%%pgweave sql`." if plain else ""
            raise Stopped(checked.verdict(self._kept(options.name)), advice)
        if options.run:
            self._start(options, checked)

    def _only_findings(self, checked: Checked) -> None:
        show(checked.bundle("" if checked.findings else "No findings."))
        if checked.errors:
            raise Stopped(checked.verdict())

    def _variables(self, name: str, workflows: Sequence[Workflow]) -> dict[str, Any]:
        """The one workflow; of several the list, and each by its label where that takes nothing from the person."""
        if len(workflows) == 1:
            return {name: workflows[0]}
        named = {_identifier(workflow.name): workflow for workflow in workflows}
        free = {
            word: workflow
            for word, workflow in named.items()
            # A variable of that name that holds anything else is the person's own.
            if word != name and isinstance(self.shell.user_ns.get(word, workflow), Workflow)
        }
        return {name: list(workflows), **free}

    def _kept(self, name: str) -> str:
        return f" `{name}` is what it was before." if name in self.shell.user_ns else f" `{name}` is not set."

    def _sentence(self, name: str, checked: Checked, *, hints: bool) -> str:
        """What is in which variable, and what to do with it."""
        if checked.unreadable or not checked.workflows:
            return ""
        if len(checked.workflows) > 1:
            names = ", ".join(f"`{word}`" for word in self._variables(name, checked.workflows) if word != name)
            return f"{len(checked.workflows)} workflows: the list `{name}`" + (f", and {names}." if names else ".")
        (workflow,) = checked.workflows
        holds = f"`{name}`" if workflow.name == name else f"`{name}` holds {workflow.name}"
        advice = []
        if hints and not checked.errors:
            advice = [f"`{name}.start()` runs it."]
            advice += [] if checked.asked else [f"`%pgweave check {name}` asks the database, too."]
        return " ".join([f"{holds}: {checked.count}.", *advice])

    def _start(self, options: Namespace, checked: Checked) -> None:
        if checked.errors:
            database = any(found.code == "PW513" for found in checked.findings)
            advice = f"`{options.name}.start()` starts it without asking the database." if database else ""
            raise Stopped(checked.verdict(" Nothing was started."), advice)
        if len(checked.workflows) != 1:
            raise Stopped(
                f"This cell holds {len(checked.workflows)} workflows.", f"Start one: {options.name}[0].start()"
            )
        run = Run.start(checked.workflows[0], label=options.label, variables=_variables(options.var))
        self.shell.push({"run": run})
        show(run)


class Checked:
    """A cell's text with everything there is to say about it.

    The magic's own line counts as the first, as it does in the cell. database: gives the connection string of one to
    ask, too. asked: whether it was.
    """

    def __init__(self, name: str, cell: str, database: Callable[[], str | None]) -> None:
        self.source: Source = Source(name, "\n" + cell)
        parsed = parser.parse(self.source)
        self.unreadable = any(found.severity is Severity.ERROR for found in parsed.diagnostics)
        self.workflows = workflows_of(parsed.module, Workflow)
        self.findings = findings(self.source)
        self.notes: tuple[str, ...] = ()
        self.asked = False
        # With errors nothing will run, so no server is started to look at it.
        dsn = session_database.known() if self.errors else database()
        if not self.unreadable and dsn is not None:
            self.ask(dsn)

    def ask(self, dsn: str) -> None:
        """Have a database prepare every step, and add what it says."""
        found, self.notes = commands.database_findings(self.workflows, dsn)
        self.findings = sorted([*self.findings, *found], key=lambda one: (one.span, one.code))
        self.asked = True

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(found.severity is Severity.ERROR for found in self.findings)

    @property
    def count(self) -> str:
        """How many findings of which severity, in words."""
        found = [(sum(one.severity is severity for one in self.findings), severity) for severity in Severity]
        words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "remark"}
        return ", ".join(f"{n} {words[severity]}{'s' * (n != 1)}" for n, severity in found if n) or "no findings"

    def verdict(self, consequence: str = "") -> str:
        """Why the cell ends here."""
        if not self.workflows and not self.errors:
            return "This cell holds no workflow. Write one, for example: 'SELECT 1' ~> 'SELECT 2'"
        return f"{self.errors} error{'s' * (self.errors != 1)}.{consequence}"

    def bundle(self, sentence: str) -> display.Bundle:
        """The findings with their carets, and a line below."""
        blocks = [display.finding_html(found, self.source) for found in self.findings]
        lines = [*self.notes, *([sentence] if sentence else [])]
        blocks += [f'<p class="pgw-faint">{_code(line)}</p>' for line in lines]
        plain = [display.finding_text(found, self.source) for found in self.findings]
        return {"text/html": display.page("".join(blocks)), "text/plain": "\n\n".join([*plain, *lines])}


def _code(line: str) -> str:
    """A line whose `backquoted` parts are code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(line, quote=False))


def _identifier(label: str) -> str:
    """A label as the name of a variable: nightly-report, nightly_report."""
    word = re.sub(r"\W+", "_", label).strip("_")
    return word if word.isidentifier() else f"_{word}"


def _variables(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if any(not name or not equals for name, equals, _ in pairs):
        raise UsageError("--var takes NAME=VALUE, for example: --var region=eu")
    return {name: value for name, _, value in pairs}


def load(shell: Any) -> None:  # noqa: ANN401 - IPython's own type asks for all of IPython
    """Register everything with an IPython shell. Twice is once."""
    shell.register_magic_function(Magic(shell).pgweave, "line_cell", "pgweave")
    complete.register(shell)


def unload(shell: Any) -> None:  # noqa: ANN401
    """Take completion and hover out again; IPython has no way to forget a magic."""
    complete.unregister(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("pgweave", None)
