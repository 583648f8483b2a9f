"""Which instance a signal is for: the one whose step waits for it, which may be a child of the one that people know."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.observe.sentences import waits
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from pgweave.observe.run_state import RunState


def receiver(state: RunState, name: str) -> str:
    """The instance that waits for this signal, else the first whose program will. PgweaveError when there is none."""
    if state.instance.ended:
        raise PgweaveError(f"{state.instance.id} is {state.status}: it waits for nothing.", "Start it again.")
    for wait in waits(state):
        if wait.kind == "signal" and wait.name == name:
            return wait.instance_id
    names: set[str] = set()
    for step in state.steps:
        if not isinstance(step.node, nodes.Signal):
            continue
        written = step.node.signal_name.value
        names.add(written)
        computed = "$" in written or "{" in written  # only the run knows its name
        if (computed or written == name) and step.instance is not None and not step.instance.ended:
            return step.instance.id
    if name in names:
        raise PgweaveError(f"The child that waits for {name!r} has not been started yet.", "Send it when it waits.")
    near = get_close_matches(name, names, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else f"It waits for: {', '.join(sorted(names))}." if names else ""
    raise PgweaveError(f"No step of this workflow waits for a signal {name!r}.", advice)
