"""The bodies of `pgweave db` and `pgweave worker`."""

from __future__ import annotations

import json
import logging
import shlex
import signal
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from pgweave.cli.options import FINDINGS, say
from pgweave.runtime import enrolment, migrate
from pgweave.runtime.errors import SchemaMissing
from pgweave.runtime.http.ssrf import Policy
from pgweave.runtime.server import embedded
from pgweave.runtime.target import named, prepared
from pgweave.runtime.worker.service import Settings, Worker
from pgweave.runtime.worker.telemetry import Prometheus, Spans, several

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from pgweave.runtime.worker.telemetry import Listener


@contextmanager
def _place(dsn: str | None) -> Iterator[str]:
    """The database to work on, as it is: nothing is installed here."""
    # Neither installed nor checked, unlike `prepared`: these commands are what installs it.
    if (given := named(dsn)) is not None:
        yield given
        return
    with embedded.start(progress=say) as server:
        yield server.dsn


def install(dsn: str | None, operator_schema: str) -> None:
    """Install the df schema, or bring it up to date."""
    with _place(dsn) as place:
        ran = migrate.install(place, operator_schema)
        say(
            f"The df schema is at version {migrate.status(place).installed}; {ran or 'no'} migration{'s' if ran != 1 else ''} ran."
        )


def upgrade(dsn: str | None, operator_schema: str) -> None:
    """Run the migrations that are missing. Running instances are carried over."""
    with _place(dsn) as place:
        if migrate.status(place).installed is None:
            raise SchemaMissing(
                "This database has no df schema to upgrade.", "Run `pgweave db install` with the same --dsn."
            )
        install(place, operator_schema)


def status(dsn: str | None, *, as_json: bool) -> None:
    """Show which version of the df schema a database has; of the embedded server also how psql reaches it."""
    with _place(dsn) as place:
        found = migrate.status(place)
    if as_json:
        typer.echo(json.dumps({"state": found.state, **asdict(found), "pending": found.pending}))
    elif found.installed is None:
        typer.echo("No df schema. Install it with `pgweave db install`.")
    elif found.pending > 0:
        typer.echo(f"Version {found.installed}; {found.pending} migrations behind. Run `pgweave db upgrade`.")
    elif found.pending < 0:
        works = ", and works with it" if found.works else ""
        typer.echo(f"Version {found.installed}, newer than this pgweave ({found.available}){works}. Upgrade pgweave.")
    else:
        typer.echo(f"Version {found.installed}, up to date.")
    if named(dsn) is None and not as_json:
        say(f"Connect to it: psql {shlex.quote(place)}")
    # For scripts: `pgweave db status || pgweave db upgrade`.
    if found.state != "current":
        raise typer.Exit(FINDINGS)


def uninstall(dsn: str | None, *, ask: bool) -> None:
    """Drop the df schema with every instance in it."""
    with _place(dsn) as place:
        if ask and not typer.confirm("This drops schema df with every instance, running ones included. Go on?"):
            raise typer.Exit(1)
        migrate.uninstall(place)
        say("The df schema is gone.")


def enrol(role: str, dsn: str | None, *, http: bool, as_worker: bool) -> None:
    """Let a role start workflows (or run them), and see whether workers can log in as it."""
    with _place(dsn) as place:
        for line in enrolment.enrol(place, role, http=http, as_worker=as_worker):
            say(line)


def stop() -> None:
    """Stop the embedded server. Its data stays."""
    server = embedded.find()
    if server is None:
        typer.echo(f"No server runs on {embedded.default_data_dir()}.")
        return
    server.stop()
    typer.echo(f"The server on {server.data_dir} has been stopped; its data stays.")


def settings(
    concurrency: int,
    reserve: int | None,
    lease_seconds: float,
    poll_seconds: float,
    step_seconds: float,
    loop_seconds: float,
    max_result_bytes: int,
    http_allow: list[str],
) -> Settings:
    """Settings of a worker. http_allow: what HTTP steps may reach; empty: what the environment says."""
    return Settings(
        concurrency=concurrency,
        reserve=reserve,
        lease_seconds=lease_seconds,
        poll_seconds=poll_seconds,
        step_seconds=step_seconds,
        loop_seconds=loop_seconds,
        max_result_bytes=max_result_bytes,
        http=Policy.allowing(*http_allow) if http_allow else Policy.of_environment(),
    )


def work(dsn: str | None, settings: Settings, *, once: bool, metrics_port: int | None, otel: bool) -> None:
    """Run instances until stopped, or `once`: until nothing is due. metrics_port: for Prometheus. otel: make spans."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    with prepared(dsn, say) as place, _listeners(metrics_port, otel=otel) as listener:
        working = Worker(place, settings, listener)

        def stop(number: int, frame: FrameType | None) -> None:
            say("stopping: the running steps finish first")
            working.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            # The second Ctrl-C does no more than the first: a step that is running has to be recorded.
            signal.signal(number, stop)
        working.run(once=once, on_ready=lambda: say(f"worker {working.name} is ready"))
    say("worker stopped")


@contextmanager
def _listeners(metrics_port: int | None, *, otel: bool) -> Iterator[Listener]:
    """What the worker reports its events to: the log, and what was asked for."""
    listeners: list[Listener] = [_log_event]
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


def _log_event(event: str, instance_id: str, node_id: str | None) -> None:
    # Ids only: neither values nor SQL text belong in a log.
    logging.getLogger("pgweave.worker").info(
        "%s instance=%s%s", event, instance_id, f" node={node_id}" if node_id else ""
    )
