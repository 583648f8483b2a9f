"""The body of `pgweave run`: check a program, start it, run it with a worker of this process, print what it came to."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from psycopg.conninfo import conninfo_to_dict

from pgweave.cli.compiling import choose
from pgweave.cli.instances import described, print_json
from pgweave.cli.options import FINDINGS, coloured, say
from pgweave.cli.progress import Watch, follow
from pgweave.companion import set_up
from pgweave.dbcheck import refuse_before_start
from pgweave.observe.snapshot import take
from pgweave.observe.text_tables import readable
from pgweave.runtime.client import Client
from pgweave.runtime.errors import WorkerRefused
from pgweave.runtime.server import embedded
from pgweave.runtime.target import named, prepared
from pgweave.runtime.worker.service import working
from pgweave.texts import refuse_errors
from pgweave.workflow import start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from pgweave.runtime.client import Instance
    from pgweave.runtime.worker.service import Worker
    from pgweave.workflow import WorkflowSource

INTERRUPTED = 130  # what shells report for a process that Ctrl-C ended


def run(
    file: str,
    dsn: str | None,
    label: str | None,
    only: str | None,
    var: list[str],
    *,
    setup: bool,
    ask: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Run one workflow of a file. var: NAME=VALUE. setup: run the companion first. wait: until it has ended.

    ask: have the database prepare every step before the start, so that what it refuses is not found out days later.

    Exits with 1 when it does not complete.
    """
    workflow = choose(file, only)
    refuse_errors(workflow.check(), workflow.module.source)
    variables = dict(_variable(text) for text in var)
    with _stoppable(), prepared(dsn, say, keep=True) as place, Client(place) as client:
        if setup and (companion := set_up(Path(file), place)) is not None:
            say(f"set-up: {companion}")
        if ask:
            refuse_before_start(workflow, place)
        if not wait:
            instance_id = _started(client, workflow, label, variables)
            typer.echo(json.dumps({"instance_id": instance_id}) if as_json else instance_id)
            return
        with _worker(place) as worker:  # begins first: a role that may not be one has started nothing then
            instance_id = _started(client, workflow, label, variables)
            follow(Watch(client, [instance_id], lambda: set(worker.running)))
        instance = client.instance(instance_id)
        _print_end(client, workflow, instance, as_json=as_json)
        drawing = f"; draw the workflow: pgweave render {file} -o {Path(file).stem}.svg" if file != "-" else "."
        say(f"\nThe data is in {_where(dsn, place)}{drawing}")
    if instance.status != "completed":
        raise typer.Exit(FINDINGS)


def _started(client: Client, workflow: WorkflowSource, label: str | None, variables: dict[str, str]) -> str:
    """Start it and say so; its id."""
    instance_id = start(client, workflow, label, variables)
    say(f"started {label or workflow.name}: instance {instance_id}")
    return instance_id


@contextmanager
def _worker(place: str) -> Iterator[Worker]:
    """A worker of this process. WorkerRefused, with one way more to go on, when the role may not be one."""
    with ExitStack() as stack:
        try:
            worker = stack.enter_context(working(place))
        except WorkerRefused as refused:
            raise WorkerRefused(
                str(refused), f"{refused.advice}\n  --no-wait starts the workflow and leaves it to a worker that runs."
            ) from refused
        yield worker


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--var")
    return name, value


@contextmanager
def _stoppable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that an embedded server that was started here is stopped either way."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        say("\nInterrupted. What was started is kept; `pgweave worker` goes on with it.")
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_end(client: Client, workflow: WorkflowSource, instance: Instance, *, as_json: bool) -> None:
    if as_json:
        print_json(described(instance))
    elif instance.result is not None:
        say("")
        typer.echo(readable(instance.result))
    else:
        say("\n" + _explained(client, workflow, instance))


def _explained(client: Client, workflow: WorkflowSource, instance: Instance) -> str:
    """Say why an instance of `workflow` did not complete."""
    message = str((instance.error or {}).get("message", ""))
    if instance.status == "cancelled":
        return f"Instance {instance.id} was cancelled: {message}"
    snapshot = take(client, instance.id, workflow)
    failure = snapshot.failure
    if (
        failure is None or snapshot.workflow is not workflow
    ):  # the database evaluated expressions: the rows have no place in the file
        return f"Instance {failure.instance_id if failure else instance.id} failed: {message or 'it failed'}"
    advice = failure.finding.help or f"See what ran: pgweave show {failure.instance_id}"
    shown = replace(failure, finding=replace(failure.finding, help=advice))
    return shown.text(colour=coloured(sys.stderr))


def _where(dsn: str | None, place: str) -> str:
    """The database in words, without a password."""
    if named(dsn) is None:
        return f"{embedded.default_data_dir()}, whose server keeps running (stop it: pgweave db stop)"
    found = conninfo_to_dict(place)
    return f"database {found.get('dbname', '')} on {found.get('host') or 'the default host'}"
