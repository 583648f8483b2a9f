"""A failed workflow in words, on a terminal: which step, what the server said, and a caret in the program's text."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.observe.snapshot import take

if TYPE_CHECKING:
    from pgweave.runtime.client import Client, Instance
    from pgweave.workflow import Workflow


def explain_failure(client: Client, workflow: Workflow, instance: Instance) -> str:
    """Say why an instance of `workflow` did not complete."""
    message = str((instance.error or {}).get("message", ""))
    if instance.status == "cancelled":
        return f"Instance {instance.id} was cancelled: {message}"
    snapshot = take(client, instance.id, workflow)
    failure = snapshot.failure
    if failure is None or snapshot.workflow is not workflow:  # the database's own evaluation: no place in the file
        return f"Instance {failure.instance_id if failure else instance.id} failed: {message or 'it failed'}"
    advice = failure.finding.help or f"See what ran: pgweave show {failure.instance_id}"
    shown = replace(failure, finding=replace(failure.finding, help=advice))
    return shown.text(colour=sys.stderr.isatty())
