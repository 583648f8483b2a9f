"""Workflows as Python objects: parse, check, compile, render, run.

The thin face over grammar, compiler and runtime: it holds no rule of the language and no state but the parsed text.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from pgweave.grammar import parser
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.render import render
from pgweave.grammar.span import Source
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    import networkx as nx

    from pgweave.designer.widget import Designer
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Definition, Module
    from pgweave.observe.display import Findings
    from pgweave.observe.runs import Run
    from pgweave.runtime.client import Client

Emit: TypeAlias = Literal["tree", "rows", "sql", "graph", "dot", "mermaid", "ascii"]
Format: TypeAlias = Literal["svg", "png", "pdf", "dot", "mmd"]
Style: TypeAlias = Literal["json", "table", "rows", "start"]
Target: TypeAlias = Literal["pgweave", "pg_durable"]
EMITS: tuple[Emit, ...] = get_args(Emit)
FORMATS: tuple[Format, ...] = get_args(Format)
STYLES: dict[Emit, tuple[Style, ...]] = {"rows": ("json", "table"), "sql": ("rows", "start")}
"""What has more than one form; the first is the usual one."""

COMPUTED = "PW509"  # says that rows cannot be had, which is no fault of the program


class ProgramError(PgweaveError):
    """A program that cannot be used as it stands. findings: why, with places in `source`."""

    def __init__(self, findings: Iterable[Diagnostic], source: Source) -> None:
        self.findings = tuple(findings)
        self.source = source
        super().__init__("\n\n".join(render(finding, source) for finding in self.findings))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: where in the program, not where in ours."""
        return _bold("\n\n".join(render(finding, self.source, colour=True) for finding in self.findings)).splitlines()


class RunFailed(PgweaveError):
    """A workflow ended as failed or cancelled. instance_id, status and error say how; explanation where in the text."""

    def __init__(self, instance_id: str, status: str, error: Mapping[str, Any] | None, explanation: str = "") -> None:
        self.instance_id = instance_id
        self.status = status
        self.error = error
        self.explanation = explanation
        super().__init__(f"instance {instance_id} {status}: {(error or {}).get('message', '')}".rstrip(": "))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the step that failed, what the server said and what ran, not the way through our code."""
        if not self.explanation:
            return [f"RunFailed: {self}"]
        return [f"RunFailed: instance {self.instance_id} {self.status}", "", *_bold(self.explanation).splitlines()]


@dataclass(frozen=True)
class Workflow:
    """One workflow of a text. `definition` is its AST, `module` everything else the text declares."""

    definition: Definition
    module: Module

    def __repr__(self) -> str:
        return f"<Workflow {self.name}>"

    def _repr_mimebundle_(self, include: Container[str] | None = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the picture."""
        from pgweave.observe.display import picture

        return picture(self, include=include)

    @property
    def name(self) -> str:
        """The label, or a name made from the file's."""
        return self.definition.name

    @property
    def label(self) -> str | None:
        """The label the instance will carry."""
        return self.definition.label.value if self.definition.label else None

    @property
    def text(self) -> str:
        """A statement that starts this workflow and no other, as `pgweave fmt` would write it; without comments."""
        from pgweave.grammar.writing.printer import print_definition

        return format(print_definition(self.definition))

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """Control flow, blocks and data flow as one networkx graph."""
        from pgweave.compiler import graph

        return graph.build(self.definition)

    def check(self, target: Target = "pgweave") -> Findings:
        """Everything there is to say about this workflow, in the order of the text: a list that notebooks can show.

        target: pg_durable for what would differ there, too.
        """
        from pgweave.compiler import lower, passes
        from pgweave.observe.display import Findings

        found = [*passes.check(self.module, target=target), *lower.refusals(self.definition)]
        return Findings(
            (finding for finding in found if finding.span in self.definition.span and finding.code != COMPUTED),
            self.module.source,
        )

    @property
    def computed(self) -> bool:
        """Whether it holds expressions that only the database can evaluate: it can be started, but not lowered to rows."""
        from pgweave.compiler import lower

        return any(finding.code == COMPUTED for finding in lower.refusals(self.definition))

    def compile(self, emit: Emit, *, style: Style | None = None) -> str:
        """Compile to text. ProgramError when the workflow holds what only the database can evaluate.

        style: of `sql`, a script that inserts the node `rows`, or one that calls df.start; of `rows`, `json` or `table`.
        """
        from pgweave.compiler import graph, lower, script
        from pgweave.compiler.pictures import mermaid, outline, picture, table

        if style is not None and style not in STYLES.get(emit, ()):
            raise ValueError(f"{emit} has no style {style!r}")

        try:
            match emit:
                case "tree":
                    return lower.tree(self.definition)
                case "rows":
                    rows = lower.rows(self.definition)
                    if style == "table":
                        return table.table(rows)
                    return json.dumps([asdict(row) for row in rows.rows], indent=2, ensure_ascii=False)
                case "sql":
                    return script.script(self.module, self.definition, "start" if style == "start" else "rows")
                case "graph":
                    return graph.to_json(self.graph)
                case "dot":
                    return picture.dot(self.graph)
                case "mermaid":
                    return mermaid.mermaid(self.graph)
                case "ascii":
                    return outline.ascii(self.definition)
        except lower.LoweringError as error:
            raise ProgramError(error.diagnostics, self.module.source) from error

    def render(
        self,
        format: Format = "svg",  # noqa: A002 - what everybody calls it
        *,
        state: Mapping[int | str, str] | None = None,
        dark: bool = False,
        depth: int | Literal["readable"] | None = None,
    ) -> bytes:
        """Draw it.

        state: what each row, by position in pre-order, has come to; rows of a child by the id of its node in the graph.
        depth: levels of blocks to show; what is deeper becomes one box. "readable": fold what makes a picture too large
        to read. None: show everything.
        """
        from pgweave.compiler.pictures import draw, folding, mermaid, picture

        match depth:
            case None:
                drawn = self.graph
            case "readable":
                drawn = folding.readable(self.graph)
            case _:
                drawn = folding.fold(self.graph, depth)
        if format == "mmd":
            return mermaid.mermaid(drawn).encode()
        dot = picture.dot(drawn, state=state, dark=dark, title=self.name)
        return dot.encode() if format == "dot" else draw.render(dot, format)

    def run(self, dsn: str | None = None, *, timeout_seconds: int = 3600) -> object:
        """Start it, work it off with a worker of our own and return the result as Python values.

        ProgramError when a check finds an error, RunFailed when the workflow does not complete.
        """
        from pgweave.runtime.worker.service import working

        refuse_errors(self.check(), self.module.source)
        with database(dsn) as found, connect(found) as client, working(found):
            instance_id = start(client, self)
            client.wait(instance_id, timeout_seconds)
            instance = client.instance(instance_id)
            if instance.status != "completed":
                from pgweave.observe.snapshot import take

                failure = take(client, instance_id, self).failure
                explanation = failure.explanation(colour=True) if failure is not None else ""
                raise RunFailed(instance_id, instance.status, instance.error, explanation)
            return client.result(instance_id)

    def start(
        self, *, dsn: str | None = None, label: str | None = None, variables: Mapping[str, str] | None = None
    ) -> Run:
        """Start it and return at once, with an object to watch it by; a notebook shows it live.

        Without a database of your own the embedded server is started, which lives as long as this process, as does a
        worker if there is none yet. ProgramError when a check finds an error.
        """
        from pgweave.observe.runs import start

        return start(self, dsn=dsn, label=label, variables=variables)

    def design(self, *, dsn: str | None = None) -> Designer:
        """Open it on a canvas in a notebook, with all of the text that it comes from.

        It is kept in the file that it was loaded from; in any other case its text is `.text` of what this returns.
        """
        try:
            from pgweave.designer.widget import design
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in ("IPython", "anywidget", "ipywidgets", "traitlets"):
                raise
            raise PgweaveError(
                "The canvas in a notebook needs anywidget.", "Install it with: pip install 'pgweave[notebook]'"
            ) from error
        return design(self, dsn)


def parse(text: str, name: str = "<text>") -> Workflow:
    """Read the one workflow of a text. ProgramError when it does not parse, or holds none or several."""
    return _single(load_source(Source(name, text)), Source(name, text))


def format(text: str, name: str = "<text>") -> str:  # noqa: A001 - pgweave.format, as people would look for it
    """Lay a program out as `pgweave fmt` does; `name` with the suffix of a file tells its form. ProgramError when it does not parse."""
    from pgweave.grammar.writing.formatter import format_source

    source = Source(name, text)
    formatted = format_source(source)
    if formatted.diagnostics:
        raise ProgramError(formatted.diagnostics, source)
    return formatted.text


def load(path: str | Path) -> Workflow:
    """Read the one workflow of a file. OSError when it cannot be read, ProgramError as for `parse`."""
    source = read(path)
    return _single(load_source(source), source)


def load_all(path: str | Path) -> list[Workflow]:
    """Read every workflow of a file."""
    return load_source(read(path))


def load_source(source: Source) -> list[Workflow]:
    """Read every workflow of a text. ProgramError when there is a syntax error in any of them."""
    parsed = parser.parse(source)
    refuse_errors(parsed.diagnostics, source)
    return [Workflow(definition, parsed.module) for definition in parsed.module.definitions]


def read(path: str | Path) -> Source:
    """Read a file as UTF-8. PgweaveError, in words for people, when that does not work."""
    try:
        return decode(str(path), Path(path).read_bytes())
    except OSError as error:
        raise PgweaveError(f"Cannot read {path}: {error.strerror}.", "Check the path.") from error


def decode(name: str, data: bytes) -> Source:
    """A text from its bytes. PgweaveError when they are not UTF-8."""
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PgweaveError(
            f"{name} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}.", "Save the text as UTF-8."
        ) from error


def findings(source: Source, target: Target = "pgweave") -> list[Diagnostic]:
    """Everything there is to say about a text, in its order, whether it can be read or not.

    target: pg_durable for what would differ there, too.
    """
    from pgweave.compiler import lower, passes

    parsed = parser.parse(source)
    refusals = [
        finding
        for definition in parsed.module.definitions
        for finding in lower.refusals(definition)
        if finding.code != COMPUTED
    ]
    # What is unreadable in one statement says nothing about the others: they are checked all the same.
    return sorted(
        [*parsed.diagnostics, *passes.check(parsed.module, target=target), *refusals],
        key=lambda finding: (finding.span, finding.code),
    )


def refuse_errors(findings: Iterable[Diagnostic], source: Source) -> None:
    """Raise ProgramError if any of the findings is an error."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise ProgramError(errors, source)


def start(
    client: Client, workflow: Workflow, label: str | None = None, variables: Mapping[str, str] | None = None
) -> str:
    """Set the variables its text declares, or what `variables` says instead, start it, return the instance id."""
    if workflow.definition.computed:
        names = " and ".join(workflow.definition.computed)
        raise PgweaveError(
            f"{workflow.name} takes its {names} from the SQL around it.", "Run that SQL in the database instead."
        )
    declared = {variable.name: variable.value for variable in workflow.module.variables if variable.value is not None}
    for name, value in {**declared, **(variables or {})}.items():
        client.setvar(name, value)
    definition = workflow.definition
    if workflow.computed:
        # The database evaluates the expression as it is written, with the rights of the session.
        return client.evaluate(definition.node.span.of(workflow.module.source.text), label or workflow.label)
    return client.start(
        workflow.compile("tree"),
        label or workflow.label,
        database=definition.database.value if definition.database else None,
        transaction_mode=definition.transaction_mode,
    )


def connect(dsn: str | None = None) -> Client:
    """Open a session with a prepared database: `dsn`, else PGWEAVE_DSN, else the running embedded server."""
    from pgweave.runtime.client import Client
    from pgweave.runtime.target import resolve

    return Client(resolve(dsn))


@contextmanager
def database(dsn: str | None = None, progress: Callable[[str], None] | None = None) -> Iterator[str]:
    """DSN of a prepared database; without one given, of the embedded server, started for as long as the block lasts."""
    from pgweave.runtime.target import prepared

    with prepared(dsn, progress) as found:
        yield found


def _bold(text: str) -> str:
    """Coloured text in bold only: front ends show errors on a red ground, on which red cannot be read."""
    return re.sub(r"\x1b\[\d+;1m", "\x1b[1m", text)


def _single(workflows: list[Workflow], source: Source) -> Workflow:
    if len(workflows) != 1:
        names = ", ".join(workflow.name for workflow in workflows) or "none"
        raise PgweaveError(
            f"{source.name} holds {len(workflows)} workflows ({names}), not one.",
            "Use pgweave.load_all(path) for a file with several."
            if workflows
            else "Write one: df.start('SELECT 1', 'name');",
        )
    return workflows[0]
