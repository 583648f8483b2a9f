"""`ps`, `show`, `result`, `signal`, `cancel`, `wait`: look at instances and control them."""

from __future__ import annotations

from typing import Annotated

import typer

from pgweave.cli.options import AsJson, Dsn

InstanceId = Annotated[str, typer.Argument(metavar="ID", help="An instance id, as `pgweave ps` lists them.")]


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    for command in (ps, show, result, signal, cancel, wait):
        app.command()(command)


def ps(
    dsn: Dsn = None,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only those: pending, running, completed, failed or cancelled. Repeatable."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Only those whose label contains this.")] = None,
) -> None:
    """List instances."""
    from pgweave.cli import instances  # lazy: start-up

    instances.ps(dsn, limit, status or [], label, as_json=as_json)


def show(instance_id: InstanceId, dsn: Dsn = None, as_json: AsJson = False) -> None:
    """Show an instance and its children, step by step."""
    from pgweave.cli import instances  # lazy: start-up

    instances.show(instance_id, dsn, as_json=as_json)


def result(instance_id: InstanceId, dsn: Dsn = None, as_json: AsJson = False) -> None:
    """Print the result of a completed instance. Exits with 1 if it has none."""
    from pgweave.cli import instances  # lazy: start-up

    instances.result(instance_id, dsn, as_json=as_json)


def signal(
    instance_id: InstanceId,
    name: Annotated[str, typer.Argument(help="Name of the signal.")],
    payload: Annotated[str, typer.Argument(metavar="[JSON]", help="Payload of the signal, as JSON.")] = "{}",
    dsn: Dsn = None,
    as_json: AsJson = False,
) -> None:
    """Send a signal. It is kept until a wait of that name takes it."""
    from pgweave.cli import instances  # lazy: start-up

    instances.signal(instance_id, name, payload, dsn, as_json=as_json)


def cancel(
    instance_id: InstanceId,
    why: Annotated[str | None, typer.Argument(metavar="[REASON]", help="Why; stored with the instance.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="The reason, as an option.")] = None,
    dsn: Dsn = None,
    as_json: AsJson = False,
) -> None:
    """End an instance before its next step."""
    from pgweave.cli import instances  # lazy: start-up

    if why is not None and reason is not None:
        raise typer.BadParameter("the reason is given twice.", param_hint="--reason")
    instances.cancel(instance_id, why or reason or "Cancelled by user", dsn, as_json=as_json)


def wait(
    instance_id: InstanceId,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait at the most.")] = 3600,
    dsn: Dsn = None,
    as_json: AsJson = False,
) -> None:
    """Wait until an instance has ended. Exits with 1 unless it completed."""
    from pgweave.cli import instances  # lazy: start-up

    instances.wait(instance_id, timeout, dsn, as_json=as_json)
