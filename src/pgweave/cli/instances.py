"""The bodies of `pgweave ps`, `show`, `result`, `signal`, `cancel` and `wait`."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from pgweave.cli.options import FINDINGS, choice, coloured
from pgweave.cli.progress import Watch
from pgweave.observe import stored_json
from pgweave.observe.snapshot import take
from pgweave.observe.text_tables import ago, plain, readable
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.target import prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.runtime.client import Instance, NodeState


@contextmanager
def _client(dsn: str | None) -> Iterator[Client]:
    """A session with the database; the embedded server is started for it if it does not run."""
    with prepared(dsn) as place, Client(place) as client:
        yield client


def described(instance: Instance) -> dict[str, Any]:
    """An instance for scripts."""
    return {
        "instance_id": instance.id,
        "label": instance.label,
        "status": instance.status,
        "created_at": instance.created_at.isoformat(),
        "completed_at": instance.completed_at.isoformat() if instance.completed_at else None,
        "parent_instance_id": instance.parent_instance_id,
        "result": stored_json.read(instance.result) if instance.result else None,
        "error": instance.error,
    }


def _described_node(node: NodeState) -> dict[str, Any]:
    return {
        "node_id": node.id,
        "node_type": node.node_type,
        "query": node.query,
        "result_name": node.result_name,
        "status": node.run_status or node.status,
        "iteration": list(node.iteration or ()),
        "result": stored_json.read(node.result) if node.result else None,
        "error": node.run_error or node.error,
        "ran": node.ran,
        "attempts": node.attempts,
        "started_at": node.started_at.isoformat() if node.started_at else None,
        "finished_at": node.finished_at.isoformat() if node.finished_at else None,
    }


def print_json(value: object) -> None:
    """Print a value for scripts; results in it with their numbers and members as they are stored."""
    typer.echo(stored_json.written(value, "\n"))


STATUSES = ("pending", "running", "completed", "failed", "cancelled")


def ps(dsn: str | None, limit: int, status: list[str], label: str | None, *, as_json: bool) -> None:
    """List the newest `limit` instances. status: only those; empty: any. label: a part of it."""
    wanted = [choice("--status", one, STATUSES) for one in status]
    with _client(dsn) as client:
        # One more than is shown, to know whether there are more.
        found = client.instances(limit + 1, statuses=wanted, label=label)
    instances, more = found[:limit], len(found) > limit
    if as_json:
        print_json([described(instance) for instance in instances])
        return
    if not instances:
        typer.echo("No such instances." if status or label else "No instances.")
        return
    for instance in instances:
        parent = f"  child of {instance.parent_instance_id}" if instance.parent_instance_id else ""
        typer.echo(
            f"{instance.id}  {instance.status:<9}  {ago(instance.created_at):>8}  {plain(instance.label or '')}{parent}"
        )
    if more:
        typer.echo(f"There are more than these {limit}: --limit shows them, --status and --label choose.", err=True)


def show(instance_id: str, dsn: str | None, *, as_json: bool) -> None:
    """Show an instance and its children, step by step."""
    with _client(dsn) as client:
        instance = client.instance(instance_id)
        nodes = client.nodes(instance_id)
        if as_json:
            print_json({**described(instance), "nodes": [_described_node(node) for node in nodes]})
            return
        for line in Watch(client, [instance_id]).lines():
            typer.echo(line.text())
        failure = take(client, instance_id).failure if instance.status == "failed" else None
    if failure is not None:
        typer.echo(f"\n{failure.text(colour=coloured(sys.stdout))}")
    elif instance.error:
        typer.echo(f"\n{instance.error.get('message')}")


def result(instance_id: str, dsn: str | None, *, as_json: bool) -> None:
    """Print the result of a completed instance. Exits with 1 if it has none."""
    with _client(dsn) as client:
        instance = client.instance(instance_id)
    if as_json:
        print_json(described(instance))
    elif instance.result is not None:
        typer.echo(readable(instance.result))
    else:
        typer.echo(f"{instance_id} is {instance.status} and has no result.", err=True)
    # Also for a workflow that failed: `pgweave result ID && next` must not go on.
    if instance.result is None:
        raise typer.Exit(FINDINGS)


def signal(instance_id: str, name: str, payload: str, dsn: str | None, *, as_json: bool) -> None:
    """Send a signal. payload: JSON text."""
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="JSON") from error
    with _client(dsn) as client:
        waited_for = client.signal(instance_id, name, value)
    if as_json:
        print_json({"instance_id": instance_id, "sent": name, "waited_for": waited_for})
        return
    typer.echo(f"sent {name} to {instance_id}")
    if name not in waited_for:
        others = f" It waits for: {', '.join(map(plain, waited_for))}." if waited_for else ""
        typer.echo(f"Nothing waits for {plain(name)} yet; the signal is kept until something does.{others}", err=True)


def cancel(instance_id: str, reason: str, dsn: str | None, *, as_json: bool) -> None:
    """End an instance before its next step."""
    with _client(dsn) as client:
        answer = client.cancel(instance_id, reason)
        status = client.status(instance_id)
    print_json({"instance_id": instance_id, "status": status, "answer": answer}) if as_json else typer.echo(answer)


def wait(instance_id: str, timeout: int, dsn: str | None, *, as_json: bool) -> None:
    """Wait until an instance has ended, `timeout` seconds at the most. Exits with 1 unless it completed."""
    with _client(dsn) as client:
        try:
            client.wait(instance_id, timeout)
        except TimeoutError as error:
            raise PgweaveError(
                f"{instance_id} has not ended after {timeout} s.", "Is a worker running? `pgweave worker`"
            ) from error
        instance = client.instance(instance_id)
    print_json(described(instance)) if as_json else typer.echo(instance.status)
    if instance.status != "completed":
        raise typer.Exit(FINDINGS)
