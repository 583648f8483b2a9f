"""Watching instances: what each step of a workflow and of its children is doing, from the rows alone.

In: a client and the instances to watch. Out: lines, drawn again and again on a terminal, or written once per change
elsewhere. The rows say everything but which short step is running this very moment; a worker in the same process
adds that.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pgweave.compiler.pictures.step_words import describe_row
from pgweave.compiler.rows import Graph
from pgweave.grammar.shortened import plain
from pgweave.observe.run_state import MARKS, state_of
from pgweave.observe.text_tables import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from rich.console import RenderableType

    from pgweave.compiler.rows import Row
    from pgweave.runtime.client import Client, Instance, NodeState, PresentState

STYLES = {
    "pending": "dim", "running": "bold cyan", "waiting": "yellow", "completed": "green", "failed": "bold red",
    "cancelled": "dim", "skipped": "dim",
}  # fmt: skip
REFRESH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Line:
    """One line: an instance, or one of its steps. seconds: how long it took, or has taken so far."""

    key: tuple[str, str]
    indent: int
    state: str
    words: str
    seconds: float | None = None

    def text(self) -> str:
        """The line as plain text."""
        taken = f"  {seconds(self.seconds)}" if self.seconds is not None else ""
        return f"{'  ' * self.indent}{MARKS[self.state]} {self.words}{self._verb()}{taken}"

    def _verb(self) -> str:
        return {"running": "  running", "waiting": "  waiting", "skipped": "  skipped"}.get(self.state, "")


class Watch:
    """The present state of some instances and of everything they started."""

    def __init__(self, client: Client, roots: list[str], running: Callable[[], set[tuple[str, str]]] = set) -> None:
        self._client = client
        self._roots = roots
        self._running = running
        self.ended = False

    def lines(self) -> list[Line]:
        """Look, and describe what there is. Sets `ended` once every root has ended."""
        families = [self._client.family(root) for root in self._roots]
        instances = {instance.id: instance for family in families for instance in family}
        # The roots only: a child may outlive its parent, and is not waited for.
        self.ended = all(instances[root].ended for root in self._roots if root in instances)
        # Before the runs are read: a step that ends in between would else be "completed" without the time it took, and its
        # line is written once.
        present = {(state.instance_id, state.node_id): state for state in self._client.states(*instances)}
        nodes: dict[str, list[NodeState]] = {identifier: [] for identifier in instances}
        for node in self._client.nodes(*instances):
            nodes[node.instance_id].append(node)
        view = _View(instances, nodes, present, self._running(), self._client.now())
        return [line for root in self._roots if root in instances for line in view.instance(instances[root], 0)]


class _View:
    def __init__(
        self,
        instances: Mapping[str, Instance],
        nodes: Mapping[str, list[NodeState]],
        present: Mapping[tuple[str, str], PresentState],
        running: set[tuple[str, str]],
        now: datetime,
    ) -> None:
        self.instances, self.nodes, self.present, self.running, self.now = instances, nodes, present, running, now

    def instance(self, instance: Instance, indent: int) -> Iterator[Line]:
        """An instance, its steps below it, children below the step that started them."""
        taken = ((instance.completed_at or self.now) - instance.created_at).total_seconds()
        words = f"{plain(instance.label or 'workflow')} {instance.id}"
        yield Line((instance.id, ""), indent, instance.status, words, taken)
        if nodes := {node.id: node for node in self.nodes[instance.id]}:
            graph = Graph(rows=tuple(node.row for node in nodes.values()))
            yield from self._node(instance, nodes, graph, graph.root, indent + 1)

    def _node(
        self, instance: Instance, nodes: Mapping[str, NodeState], graph: Graph, row: Row, indent: int
    ) -> Iterator[Line]:
        """A node and what it holds, in the order in which it runs. A sequence is no line of its own."""
        node = nodes[row.id]
        inner_indent = indent if row.node_type == "THEN" else indent + 1
        inner = [
            line for below in _in_order(graph, row) for line in self._node(instance, nodes, graph, below, inner_indent)
        ]
        if row.node_type != "THEN":
            own = self._step(instance, node, indent)
            # Until a step is recorded, only this process' worker knows that it runs: so do the blocks around it.
            begun = own.state == "pending" and any(line.state != "pending" for line in inner)
            yield replace(own, state="running") if begun else own
        yield from inner
        # By the node that started it: a child stands below its step, in whatever order the rows came.
        for child in self.instances.values():
            if child.parent_instance_id == instance.id and child.parent_node_id == node.id:
                yield from self.instance(child, indent + 1)

    def _step(self, instance: Instance, node: NodeState, indent: int) -> Line:
        # From the present state and the latest run; see run_state.state_of for which counts when.
        state = state_of(instance, node, self.present, self.running)
        taken = None
        if node.started_at is not None and state in {"completed", "failed", "waiting"}:
            taken = ((node.finished_at or self.now) - node.started_at).total_seconds()
        turn = f"  (turn {'.'.join(map(str, node.iteration))})" if node.iteration else ""
        words = describe_row(node.node_type, node.query, node.result_name, node.awaited_id)
        return Line((instance.id, node.id), indent, state, words + turn, taken)


def _in_order(graph: Graph, row: Row) -> tuple[Row, ...]:
    """The children of a node in the order in which they run: a condition before the branches, but after a loop's body."""
    match row.node_type:
        case "THEN":
            return (graph.left(row), graph.right(row))
        case "JOIN" | "RACE":
            return graph.branches(row)
        case "IF" | "LOOP":
            condition = graph.condition(row)
            tested = () if condition is None else (condition,)
            branches = tuple(graph.by_id[child] for child in (row.left_node, row.right_node) if child is not None)
            return (*tested, *branches) if row.node_type == "IF" else (*branches, *tested)
        case _:
            return ()


def follow(watch: Watch) -> None:
    """Show progress on standard error until everything has ended: drawn live on a terminal, else a line per change."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        _draw(watch)
    else:
        _write(watch)


def _draw(watch: Watch) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            live.update(_picture(watch.lines()), refresh=True)
            if watch.ended:
                return
            time.sleep(REFRESH_SECONDS)


def _picture(lines: list[Line]) -> RenderableType:
    from rich.text import Text

    return Text("\n").join(
        Text(line.text(), style=STYLES[line.state], overflow="ellipsis", no_wrap=True) for line in lines
    )


def _write(watch: Watch) -> None:
    before: dict[tuple[str, str], str] = {}
    while True:
        for line in watch.lines():
            # A line per change: a log of a CI run shows each step when it begins and when it ends.
            if line.state not in {"pending", before.get(line.key)}:
                sys.stderr.write(line.text() + "\n")
            before[line.key] = line.state
        sys.stderr.flush()
        if watch.ended:
            return
        time.sleep(REFRESH_SECONDS)
