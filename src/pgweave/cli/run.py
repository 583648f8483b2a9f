"""`run`: from a file to a result, on the embedded PostgreSQL or on a database of one's own."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import FINDINGS, AsJson, Dsn, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from pgweave.runtime.client import Client, Instance
    from pgweave.workflow import Workflow

INTERRUPTED = 130  # what shells report for a process that Ctrl-C ended


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(run)


def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A program.")],
    dsn: Dsn = None,
    label: Annotated[str | None, typer.Option(help="Start it under this label.")] = None,
    only: Annotated[str | None, typer.Option(help="The workflow of this name, in a file with several.")] = None,
    var: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Set a variable for {K}. Repeatable.")] = None,
    no_setup: Annotated[bool, typer.Option("--no-setup", help="Do not run FILE's companion NAME.setup.sql.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Start it, print its id and return; a worker goes on with it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a program, start it, work it off and print the result."""
    from pgweave.cli.programs import choose
    from pgweave.runtime.client import Client
    from pgweave.runtime.target import prepared
    from pgweave.workflow import refuse_errors

    workflow = choose(file, only)
    refuse_errors(workflow.check(), workflow.module.source)
    variables = dict(_variable(text) for text in var or [])
    with _stoppable(), prepared(dsn, say, keep=True) as place, Client(place) as client:
        if not no_setup:
            set_up(Path(file), place)
        instance_id = _start(client, workflow, label, variables)
        if no_wait:
            typer.echo(json.dumps({"instance_id": instance_id}) if as_json else instance_id)
            return
        _work_off(client, place, instance_id)
        instance = client.instance(instance_id)
        _print_end(client, workflow, instance, as_json=as_json)
        drawing = f"; draw the workflow: pgweave render {file} -o {Path(file).stem}.svg" if file != "-" else "."
        say(f"\nThe data is in {_where(dsn, place)}{drawing}")
    if instance.status != "completed":
        raise typer.Exit(FINDINGS)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--var")
    return name, value


@contextmanager
def _stoppable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that the server we started is stopped either way."""

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


def set_up(program: Path, place: str) -> None:
    """Run the companion `NAME.setup.sql` of `NAME.df` in one transaction, if there is one."""
    from pgweave.runtime.connect import connect
    from pgweave.runtime.errors import PgweaveError
    from pgweave.workflow import read

    companion = program.with_suffix(".setup.sql")
    if not companion.is_file():
        return
    import psycopg

    source = read(companion)
    try:
        with connect(place) as connection, connection.transaction():
            connection.execute(source.text.encode())
    except psycopg.DatabaseError as error:
        line = source.location(int(error.diag.statement_position or 1) - 1).line
        raise PgweaveError(
            f"{companion}:{line}: the set-up failed: {error.diag.message_primary}",
            error.diag.message_hint or "Mend it, or leave it out with --no-setup.",
        ) from error
    say(f"set-up: {companion}")


def _start(client: Client, workflow: Workflow, label: str | None, variables: Mapping[str, str]) -> str:
    from pgweave.workflow import start

    instance_id = start(client, workflow, label, variables)
    say(f"started {label or workflow.name}: instance {instance_id}")
    return instance_id


def _work_off(client: Client, place: str, instance_id: str) -> None:
    """Work with a worker of our own, and show progress, until the instance has ended."""
    from pgweave.cli.progress import Watch, follow
    from pgweave.runtime.worker.service import working

    with working(place) as worker:
        follow(Watch(client, [instance_id], lambda: set(worker.running)))


def _print_end(client: Client, workflow: Workflow, instance: Instance, *, as_json: bool) -> None:
    from pgweave.cli.operate import described
    from pgweave.observe.text_tables import readable

    if as_json:
        typer.echo(json.dumps(described(instance), indent=2, ensure_ascii=False))
    elif instance.result is not None:
        say("")
        typer.echo(readable(instance.result))
    else:
        from pgweave.cli.failure import explain_failure

        say("\n" + explain_failure(client, workflow, instance))


def _where(dsn: str | None, place: str) -> str:
    """The database in words, without a password."""
    from psycopg.conninfo import conninfo_to_dict

    from pgweave.runtime.server import embedded
    from pgweave.runtime.target import named

    if named(dsn) is None:
        return f"{embedded.default_data_dir()}, whose server keeps running (stop it: pgweave db stop)"
    found = conninfo_to_dict(place)
    return f"database {found.get('dbname', '')} on {found.get('host') or 'the default host'}"
