"""Workflows and runs as Python objects: parse, check, compile, draw, run, design.

The classes that people use, above observe and the designer: what they add to `WorkflowSource` and `observe.runs.Run`
needs both. The names of `import pgweave` are defined here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pgweave.dbcheck import refuse_before_start
from pgweave.grammar.span import Source
from pgweave.observe import runs
from pgweave.observe.display import Findings
from pgweave.observe.picture_bundles import of_workflow
from pgweave.observe.snapshot import take
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.target import prepared, resolve
from pgweave.texts import read, refuse_errors
from pgweave.workflow import RunFailed, WorkflowSource, load_source, single, start

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path

    from pgweave.compiler.subject import Target
    from pgweave.designer.widget import Designer


class Workflow(WorkflowSource):
    """One workflow of a text. `definition` is its AST, `module` everything else the text declares."""

    def _repr_mimebundle_(self, include: Container[str] | None = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the picture."""
        return of_workflow(self, include=include)

    def check(self, target: Target = "pgweave") -> Findings:
        """Everything there is to say about this workflow, in the order of the text: a list that notebooks can show.

        target: pg_durable for what would differ there, too.
        """
        return Findings(super().check(target), self.module.source)

    def run(self, dsn: str | None = None, *, timeout_seconds: int = 3600, check: bool = True) -> object:
        """Start it, run it with a worker in this process and return the result as Python values.

        dsn: of the database; by default PGWEAVE_DSN, else the embedded server, started for as long as this takes.
        check: have the database prepare every step before the start. ProgramError when a check finds an error, RunFailed when the workflow does not complete.
        """
        from pgweave.runtime.worker.service import working  # lazy: start-up, parsing needs no worker

        refuse_errors(self.check(), self.module.source)
        # In this order: the worker ends before the session, and both before the server that was started for
        # them.
        with prepared(dsn) as found, Client(resolve(found)) as client, working(found):
            if check:
                refuse_before_start(self, found)
            instance_id = start(client, self)
            client.wait(instance_id, timeout_seconds)
            instance = client.instance(instance_id)
            if instance.status == "completed":
                return client.result(instance_id)
            failure = take(client, instance_id, self).failure
            explanation = failure.explanation(colour=True) if failure is not None else ""
            raise RunFailed(instance_id, instance.status, instance.error, explanation)

    def start(
        self, *, dsn: str | None = None, label: str | None = None, variables: Mapping[str, str] | None = None
    ) -> Run:
        """Start it and return at once, with an object to watch it by; a notebook shows it live.

        Without a database of your own the embedded server is started, which lives as long as this process, as does a
        worker if there is none yet. ProgramError when a check finds an error.
        """
        return Run.start(self, dsn=dsn, label=label, variables=variables)

    def design(self, *, dsn: str | None = None) -> Designer:
        """Open it on a canvas in a notebook, with all of the text that it comes from.

        It is kept in the file that it was loaded from; in any other case its text is `.text` of what this returns.
        """
        try:
            from pgweave.designer.widget import design  # lazy: anywidget is optional
        except ModuleNotFoundError as error:
            # Any other module that is missing is a bug of this package, and not an extra that was left out.
            if (error.name or "").split(".")[0] not in ("IPython", "anywidget", "ipywidgets", "traitlets"):
                raise
            raise PgweaveError(
                "The canvas in a notebook needs anywidget.", "Install it with: pip install 'pgweave[notebook]'"
            ) from error
        return design(self, dsn)


class Run(runs.Run):
    """One instance of a workflow. `Run.open(id)` finds one that was started elsewhere, or before the kernel's restart."""

    workflow_class = Workflow

    @property
    def workflow(self) -> Workflow:
        """What it runs: the workflow that was started, or one made from the rows, without comments."""
        return cast("Workflow", super().workflow)


def parse(text: str, name: str = "<text>") -> Workflow:
    """Read the one workflow of a text. ProgramError when it does not parse, PgweaveError when there is not one."""
    source = Source(name, text)
    return single(load_source(source, Workflow), source)


def load(path: str | Path) -> Workflow:
    """Read the one workflow of a file. PgweaveError when it cannot be read, and as for `parse`."""
    source = read(path)
    return single(load_source(source, Workflow), source)


def load_all(path: str | Path) -> list[Workflow]:
    """Read every workflow of a file. PgweaveError when it cannot be read, ProgramError when it does not parse."""
    return load_source(read(path), Workflow)


def connect(dsn: str | None = None) -> Client:
    """Open a session with a prepared database: `dsn`, else PGWEAVE_DSN, else the running embedded server."""
    return Client(resolve(dsn))
