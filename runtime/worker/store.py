"""The worker's half of the database, as Python sees it.

In: leases, node-runs and decisions of `advance`. Out: the functions df_internal.worker_*, on the worker's own session. Every
write names the lease's token; LeaseLost when another worker has taken over.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgweave.compiler.rows import Graph, Row
from pgweave.grammar.result_names import RESULT
from pgweave.runtime.errors import InstanceCancelled, LeaseLost
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.worker.advance import Run
from pgweave.runtime.worker.classify import LEASE_LOST, TO_BE_CANCELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from uuid import UUID

    import psycopg

    from pgweave.runtime.worker.advance import Decision, Key, Shown

SUSPECT = 3  # leases without progress. Workers died with the instance in hand, so it may be what kills them
_ROW_SET = re.compile(rf"{RESULT}\.\*")
FORMAT = 1  # the shape of rows this worker knows


@dataclass(frozen=True, slots=True)
class Lease:
    """An instance that this worker may work on for a while. role: None when the submitting role has been dropped.

    attempts: leases since the last progress, this one included.
    """

    instance_id: str
    token: UUID
    role: str | None
    database: str | None
    attempts: int

    @property
    def suspect(self) -> bool:
        """Whether it is to be worked on only while no other suspect is."""
        return self.attempts > SUSPECT


@dataclass(frozen=True, slots=True)
class Loaded:
    """What never changes about a leased instance. problem: why its graph, which is empty here then, cannot be run."""

    graph: Graph
    label: str | None
    variables: Mapping[str, str]
    format: int
    problem: str | None

    @property
    def reads_rows(self) -> bool:
        """Whether any step reads a row set, `$name.*`: then the types of results are of use."""
        return any(row.node_type == "SQL" and _ROW_SET.search(row.query or "") for row in self.graph.rows)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known now. wakes: to be shown when parking. cancel: the reason, if somebody asked for the end.

    due_in: when the first wait ends by itself, seconds from now on the database's clock; None when none does. more: waits
    are over that are held until a race is decided; settle again before anything else is done.
    """

    runs: dict[Key, Run]
    wakes: int
    cancel: str | None
    due_in: float | None
    more: bool


@dataclass(frozen=True, slots=True)
class InHand:
    """A step that is running. seconds: for how long already."""

    instance_id: str
    node_id: str
    iteration: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Permit:
    """What a request may do. allowed: whether the role may make it at all. attempts: this one included.

    secrets: values by name, those that are set.
    """

    allowed: bool
    attempts: int
    secrets: Mapping[str, str] = field(repr=False)


def unwatched(connection: psycopg.Connection[Any]) -> AbstractContextManager[None]:
    """An answer is waited for as long as it takes."""
    return nullcontext()


class Store:
    """One worker's view of the database.

    connection: lends a session in autocommit, one per call. watched: what surrounds the wait for an answer.
    """

    def __init__(
        self,
        connection: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
        watched: Callable[[psycopg.Connection[Any]], AbstractContextManager[None]] = unwatched,
    ) -> None:
        self._connection = connection
        self._watched = watched

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._connection() as connection, fenced(), self._watched(connection):
            # Binary: times then do not depend on the DateStyle of the database or the role.
            cursor = connection.execute(QUERIES[query], arguments, binary=True)
            return cursor.fetchall() if cursor.description else []

    def _call(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - the type is that of the SQL function
        ((value,),) = self._rows(query, *arguments)
        return value

    def ring(self) -> None:
        """Wake every listener."""
        self._rows("ring")

    def claim(
        self, worker: str, limit: int, lease_seconds: float, in_hand: Iterable[str] = (), reserve: int = 0
    ) -> list[Lease]:
        """Lease instances that want a worker: up to `limit`, and of `reserve` for roles that have few of those in hand."""
        return [Lease(*row) for row in self._rows("claim", worker, limit, lease_seconds, list(in_hand), reserve)]

    def beat(self, worker: str, concurrency: int, version: str, leases: int, lock_key: int | None) -> None:
        """Say that a worker is alive. lock_key: the advisory lock that one of its sessions has."""
        self._call("beat", worker, concurrency, version, leases, lock_key)

    def end_vanished(self, worker: str) -> bool:
        """End the leases of other workers whose session the server no longer has. Whether there are others."""
        return bool(self._call("end_vanished", worker))

    def keeps(self, worker: str, tokens: Iterable[UUID]) -> int:
        """End the leases of this worker but for these; how many those were."""
        return int(self._call("keeps", worker, list(tokens)))

    def silent(self, pids: Iterable[int]) -> set[int]:
        """Which of these server processes have no statement in hand."""
        return {pid for (pid,) in self._rows("silent", list(pids))}

    def gone(self, worker: str) -> None:
        """Say that a worker has stopped in good order."""
        self._call("gone", worker)

    def prune(self) -> int:
        """Remove instances that have outlived their retention; how many went."""
        return int(self._call("prune"))

    def renew(self, leases: Iterable[Lease], running: Iterable[InHand], lease_seconds: float) -> set[UUID]:
        """Keep leases and show steps as running. Returns the tokens of those that were kept."""
        shown = [asdict(step) for step in running]
        leases = list(leases)
        ids, tokens = [lease.instance_id for lease in leases], [lease.token for lease in leases]
        return set(self._call("renew", ids, tokens, json.dumps(shown), lease_seconds))

    def load(self, lease: Lease) -> Loaded:
        """Read the graph and mark the instance as running."""
        # One JSON document: a graph of 10,000 rows is one value on the wire.
        found = json.loads(self._call("load", lease.instance_id, lease.token))
        graph = Graph(rows=tuple(Row(**node) for node in found["nodes"]))
        return Loaded(graph, found["label"], found["variables"], found["format"], found["problem"])

    def settle(self, lease: Lease, *, decided: bool = False) -> Situation:
        """End the waits that have come to something; then say all that is known.

        decided: `advance` has been asked since the last settle, and no race is to be decided.
        """
        found = json.loads(self._call("settle", lease.instance_id, lease.token, decided))
        now = _seconds(found["now"])
        # On the database's clock, like `now`: this machine's may differ.
        due = [_seconds(run["due_at"]) for run in found["runs"] if run["status"] == "waiting" and run["due_at"]]
        return Situation(
            runs={
                (run["node_id"], tuple(run["iteration"])): Run(
                    run["status"],
                    run["result"],
                    run["error"],
                    _seconds(run["finished_at"]) if run["finished_at"] else 0.0,
                    _seconds(run["started_at"]),
                    run["columns"],
                )
                for run in found["runs"]
            },
            wakes=found["wakes"],
            cancel=found["cancel"],
            # A wait that is due may be held until a race is decided, see `more`.
            due_in=max(0.0, min(due) - now) if due else None,
            more=found["more"],
        )

    def wait(self, lease: Lease, waits: list[dict[str, object]]) -> None:
        """Begin waits: objects with node_id, iteration and seconds, due_at, signal_name or awaited_id."""
        self._call("wait", lease.instance_id, lease.token, json.dumps(waits))

    def decide(self, lease: Lease, decision: Decision) -> None:
        """Record the winner of a race or the next turn of a loop."""
        node_id, iteration = decision.key
        self._call(
            "decide", lease.instance_id, lease.token, node_id, list(iteration), decision.result, decision.final,
            _keys(decision.forget), _keys(decision.abandoned), sorted(decision.lost),
        )  # fmt: skip

    def fail(
        self,
        lease: Lease,
        key: Key,
        error: Mapping[str, object],
        *,
        query: str | None = None,
        attempts: int = 1,
        elapsed_seconds: float = 0.0,
    ) -> Run:
        """Record that a step has failed for good."""
        node_id, iteration = key
        finished_at = self._call(
            "fail", lease.instance_id, lease.token, node_id, list(iteration), json.dumps(error), query, attempts,
            elapsed_seconds,
        )  # fmt: skip
        return Run("failed", error=error, finished_at=finished_at.timestamp())

    def record(
        self,
        lease: Lease,
        key: Key,
        result: str,
        *,
        query: str,
        attempts: int,
        elapsed_seconds: float,
        columns: str | None = None,
    ) -> Run:
        """Record the result of a step that ran outside of our transactions. columns: as in `Run`."""
        node_id, iteration = key
        finished_at = self._call(
            "record", lease.instance_id, lease.token, node_id, list(iteration), result, query, attempts,
            elapsed_seconds, columns,
        )  # fmt: skip
        return Run("completed", result, finished_at=finished_at.timestamp(), columns=columns)

    def shown(self, lease: Lease, key: Key) -> None:
        """Show the end of a step whose own transaction could not."""
        node_id, iteration = key
        self._call("shown", lease.instance_id, lease.token, node_id, list(iteration))

    def request(self, lease: Lease, key: Key, secrets: list[str]) -> Permit:
        """Say that an HTTP request is about to be made, with these secrets."""
        node_id, iteration = key
        found = self._call("request", lease.instance_id, lease.token, node_id, list(iteration), secrets)
        return Permit(**json.loads(found))

    def cancelled(self, instance_ids: Iterable[str]) -> set[str]:
        """Which of these instances are to be cancelled."""
        return set(self._call("cancelled", list(instance_ids)))

    def run(self, lease: Lease, key: Key) -> Run | None:
        """One node-run as it is recorded; None when it is not."""
        node_id, iteration = key
        for status, result, error, finished_at, columns in self._rows(
            "run", lease.instance_id, lease.token, node_id, list(iteration)
        ):
            return Run(status, result, error, finished_at.timestamp(), columns=columns)
        return None

    def obstacle(self, role: str, database: str | None) -> str | None:
        """Why a role cannot have a session in a database (None: this one) until that is fixed; None if it may."""
        found = self._call("obstacle", role, database)
        return None if found is None else str(found)

    def park(self, lease: Lease, wakes: int, shown: Mapping[str, Shown], delay_seconds: float | None = None) -> bool:
        """Give the lease back until something happens, or the delay is over.

        False when something has happened meanwhile: look again.
        """
        return bool(self._call("park", lease.instance_id, lease.token, wakes, _shown(shown), delay_seconds))

    def release(self, lease: Lease) -> None:
        """Give the lease back in the middle of the work."""
        self._call("release", lease.instance_id, lease.token)

    def defer(self, lease: Lease, delay_seconds: float, *, attempts: int = 0) -> None:
        """Give the lease back; no worker takes the instance before the delay is over.

        attempts: what `Lease.attempts` counts from, at least; 0: this lease does not count.
        """
        self._call("defer", lease.instance_id, lease.token, delay_seconds, attempts)

    @contextmanager
    def quarantine(self) -> Iterator[bool]:
        """Whether a suspect may be worked on while the block lasts: one may at a time, over all workers."""
        import psycopg

        with self._connection() as connection:
            # The lock is that of a transaction: it ends with the session, however that ends.
            connection.execute(QUERIES["begin"])
            row = connection.execute(QUERIES["quarantine"]).fetchone()
            assert row is not None
            try:
                yield bool(row[0])
            finally:
                with suppress(psycopg.Error):  # the session may have been lost meanwhile, and the lock with it
                    connection.execute(QUERIES["rollback"])

    def finish(
        self,
        lease: Lease,
        status: str,
        result: str | None,
        error: Mapping[str, object] | None,
        shown: Mapping[str, Shown],
    ) -> str:
        """End the instance for ever. Returns the status it has: a cancel may have come first."""
        return str(
            self._call(
                "finish", lease.instance_id, lease.token, status, result,
                None if error is None else json.dumps(error), _shown(shown),
            )
        )  # fmt: skip

    def now(self) -> datetime:
        """The database's time."""
        found = self._call("clock")
        assert isinstance(found, datetime)
        return found


@contextmanager
def fenced() -> Iterator[None]:
    """Turn the database's refusals into LeaseLost and InstanceCancelled."""
    import psycopg

    try:
        yield
    except psycopg.DatabaseError as error:
        if error.sqlstate == LEASE_LOST:
            raise LeaseLost(error.diag.message_primary or "lease lost") from error
        if error.sqlstate == TO_BE_CANCELLED:
            raise InstanceCancelled(error.diag.message_primary or "cancelled") from error
        raise


def _seconds(text: str) -> float:
    # df.sleep with more seconds than timestamptz has room for is due at infinity.
    return datetime.fromisoformat(text).timestamp() if text != "infinity" else float("inf")


def _keys(keys: Iterable[Key]) -> str:
    return json.dumps([{"node_id": node_id, "iteration": list(iteration)} for node_id, iteration in keys])


def _shown(shown: Mapping[str, Shown]) -> str:
    return json.dumps(
        [
            {"id": node_id, "status": node.status, "result": node.result, "error": node.error}
            for node_id, node in shown.items()
        ]
    )
