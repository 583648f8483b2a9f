"""`db` and `worker`: the df schema of a database, and a process that works it off."""

from __future__ import annotations

import json
import logging
import shlex
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import AsJson, Dsn, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from pgweave.runtime.worker.telemetry import Listener

db = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Install, upgrade, look at or remove the df schema; stop the embedded server.",
)


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.add_typer(db, name="db")
    app.command()(worker)


@contextmanager
def _place(dsn: str | None) -> Iterator[str]:
    """The database to work on, as it is: nothing is installed here."""
    from pgweave.runtime.server import embedded
    from pgweave.runtime.target import named

    if (given := named(dsn)) is not None:
        yield given
        return
    with embedded.start(progress=say) as server:
        yield server.dsn


OperatorSchema = Annotated[
    str, typer.Option(help="Schema for the operators ~> & | ..; it has to be on people's search_path.")
]


@db.command()
def install(dsn: Dsn = None, operator_schema: OperatorSchema = "public") -> None:
    """Install the df schema, or bring it up to date."""
    from pgweave.runtime import migrate

    with _place(dsn) as place:
        ran = migrate.install(place, operator_schema)
        say(
            f"The df schema is at version {migrate.status(place).installed}; {ran or 'no'} migration{'s' if ran != 1 else ''} ran."
        )


@db.command()
def upgrade(dsn: Dsn = None, operator_schema: OperatorSchema = "public") -> None:
    """Run the migrations that are missing. Running instances are carried over."""
    from pgweave.runtime import migrate
    from pgweave.runtime.errors import SchemaMissing

    with _place(dsn) as place:
        if migrate.status(place).installed is None:
            raise SchemaMissing(
                "This database has no df schema to upgrade.", "Run `pgweave db install` with the same --dsn."
            )
        install(place, operator_schema)


@db.command()
def status(dsn: Dsn = None, as_json: AsJson = False) -> None:
    """Show which version of the df schema a database has; of the embedded server also how psql reaches it."""
    from pgweave.runtime import migrate
    from pgweave.runtime.target import named

    with _place(dsn) as place:
        found = migrate.status(place)
    if as_json:
        typer.echo(json.dumps({"installed": found.installed, "available": found.available, "pending": found.pending}))
    elif found.installed is None:
        typer.echo("No df schema. Install it with `pgweave db install`.")
    elif found.pending > 0:
        typer.echo(f"Version {found.installed}; {found.pending} migrations behind. Run `pgweave db upgrade`.")
    elif found.pending < 0:
        typer.echo(f"Version {found.installed}, newer than this pgweave ({found.available}). Upgrade pgweave.")
    else:
        typer.echo(f"Version {found.installed}, up to date.")
    if named(dsn) is None and not as_json:
        say(f"Connect to it: psql {shlex.quote(place)}")


@db.command()
def uninstall(dsn: Dsn = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Drop the df schema with every instance in it."""
    from pgweave.runtime import migrate

    with _place(dsn) as place:
        if not yes and not typer.confirm("This drops schema df with every instance, running ones included. Go on?"):
            raise typer.Exit(1)
        migrate.uninstall(place)
        say("The df schema is gone.")


@db.command()
def enrol(
    role: Annotated[str, typer.Argument(help="A role that logs in.")],
    dsn: Dsn = None,
    http: Annotated[bool, typer.Option("--http", help="With HTTP steps.")] = False,
    as_worker: Annotated[
        bool, typer.Option("--worker", help="To work off workflows of others, not to start its own.")
    ] = False,
) -> None:
    """Let a role start workflows (or work them off), and see whether workers can log in as it."""
    from pgweave.runtime import enrolment

    with _place(dsn) as place:
        for line in enrolment.enrol(place, role, http=http, as_worker=as_worker):
            say(line)


@db.command()
def stop() -> None:
    """Stop the embedded server. Its data stays."""
    from pgweave.runtime.server import embedded

    server = embedded.find()
    if server is None:
        typer.echo(f"No server runs on {embedded.default_data_dir()}.")
        return
    server.stop()
    typer.echo(f"The server on {server.data_dir} has been stopped; its data stays.")


def worker(
    dsn: Dsn = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Instances at once.")] = 8,
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is due any more.")] = False,
    lease_seconds: Annotated[
        float, typer.Option(min=1, help="How long a dead worker's instances stay untouched.")
    ] = 15.0,
    poll_seconds: Annotated[
        float, typer.Option(min=0.05, help="How soon work is found whose notification was lost.")
    ] = 1.0,
    http_allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT", help="What HTTP steps may reach, and nothing else: a host, *.domain, network or `public`."
        ),
    ] = None,
    step_seconds: Annotated[float, typer.Option(min=0, help="How long one statement may take; 0 for ever.")] = 0.0,
    loop_seconds: Annotated[
        float, typer.Option(min=0, help="The least time from turn to turn of an endless loop.")
    ] = 1.0,
    max_result_bytes: Annotated[
        int, typer.Option(min=100, help="How large the result of one step may be.")
    ] = 1_000_000,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve Prometheus figures on this port of 127.0.0.1.")
    ] = None,
    otel: Annotated[
        bool, typer.Option("--otel", help="Make OpenTelemetry spans, for the exporter that OTEL_* names.")
    ] = False,
) -> None:
    """Work off instances until stopped. SIGTERM and Ctrl-C finish the step in hand."""
    from pgweave.runtime.http.ssrf import Policy
    from pgweave.runtime.target import prepared
    from pgweave.runtime.worker.service import Settings, Worker

    settings = Settings(
        concurrency=concurrency,
        lease_seconds=lease_seconds,
        poll_seconds=poll_seconds,
        step_seconds=step_seconds,
        loop_seconds=loop_seconds,
        max_result_bytes=max_result_bytes,
        http=Policy.allowing(*http_allow) if http_allow else Policy.of_environment(),
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    with prepared(dsn, say) as place, _listeners(metrics_port, otel=otel) as listener:
        working = Worker(place, settings, listener)

        def stop(number: int, frame: FrameType | None) -> None:
            say("stopping: the steps in hand are finished first")
            working.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        say(f"worker {working.name} is ready")
        working.run(once=once)
    say("worker stopped")


@contextmanager
def _listeners(metrics_port: int | None, *, otel: bool) -> Iterator[Listener]:
    """Who hears what the worker does: the log, and what was asked for."""
    from pgweave.runtime.worker.telemetry import Prometheus, Spans, several

    listeners: list[Listener] = [_narrate]
    if otel:
        listeners.append(Spans())
    if metrics_port is None:
        yield several(*listeners)
        return
    figures = Prometheus(metrics_port)
    say(f"figures: http://127.0.0.1:{figures.port}/metrics")
    try:
        yield several(*listeners, figures)
    finally:
        figures.close()


def _narrate(event: str, instance_id: str, node_id: str | None) -> None:
    # Ids only: neither values nor SQL text belong in a log.
    logging.getLogger("pgweave.worker").info(
        "%s instance=%s%s", event, instance_id, f" node={node_id}" if node_id else ""
    )
