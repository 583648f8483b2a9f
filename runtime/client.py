"""What people and programs do with workflows: start, watch, signal, cancel, read the result.

In: a connection string and a compiled graph. Out: what the database says, as Python values. Everything goes through
the SQL functions of schema df, with the rights of the role that is logged in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, cast

from pgweave.compiler.rows import Row
from pgweave.runtime.connect import ask, connect, still_there
from pgweave.runtime.errors import InstanceEnded, InstanceNotFound, StartRefused
from pgweave.runtime.migrate import require
from pgweave.runtime.queries import QUERIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    import psycopg

    from pgweave.runtime.connect import Connection

TERMINAL = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of df.instances. result: JSON text. error: `message` and what the server said."""

    id: str
    label: str | None
    status: str
    database: str | None
    created_at: datetime
    completed_at: datetime | None
    result: str | None
    error: Mapping[str, Any] | None
    parent_instance_id: str | None
    parent_node_id: str | None

    @property
    def ended(self) -> bool:
        """Whether the status is one of those that last for ever."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node with its latest run. ordinal: position in pre-order, from 0. ran: the SQL with its values."""

    instance_id: str
    id: str
    ordinal: int
    node_type: str
    query: str | None
    result_name: str | None
    left_node: str | None
    right_node: str | None
    status: str
    error: str | None
    run_status: str | None
    iteration: Sequence[int] | None
    result: str | None
    run_error: Mapping[str, Any] | None
    ran: str | None
    attempts: int | None
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None
    signal_name: str | None
    awaited_id: str | None

    @property
    def row(self) -> Row:
        """The row as the compiler knows it."""
        return Row(
            id=self.id, node_type=self.node_type, query=self.query, result_name=self.result_name,
            left_node=self.left_node, right_node=self.right_node,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeRun:
    """One run of one leaf: a step, or a wait. Of a loop the latest turn is kept.

    ordinal: of its node, in pre-order. iteration: turns of the enclosing loops, outermost first, from 1. status:
    waiting, running, completed, failed or cancelled; running is shown for steps that take longer than a third of a
    lease, from when that was noticed. due_at, signal_name, awaited_id: what it waits, or waited, for.
    """

    instance_id: str
    node_id: str
    ordinal: int
    node_type: str
    iteration: Sequence[int]
    status: str
    attempts: int
    started_at: datetime
    completed_at: datetime | None
    due_at: datetime | None
    signal_name: str | None
    awaited_id: str | None


@dataclass(frozen=True, slots=True)
class PresentState:
    """What a node is now, inferred from all that is known. state: pending, running, completed, failed or skipped."""

    instance_id: str
    node_id: str
    iteration: Sequence[int]
    state: str


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker. leases: how many instances it had in hand when it was last heard of."""

    name: str
    started_at: datetime
    seen_at: datetime
    concurrency: int
    version: str
    leases: int


class Client:
    """A session with a prepared database. Close it, or use it in a `with` statement."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection = connect(dsn, application_name="pgweave client")
        self._lock = Lock()
        self._listens = False
        try:
            require(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def start(
        self,
        graph: str,
        label: str | None = None,
        *,
        database: str | None = None,
        transaction_mode: str = "caller",
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Start a workflow from its graph (JSON text, or plain SQL) and return the instance id.

        variables: for this start and its children alone, before those of the role (`setvar`).
        """
        import psycopg

        try:
            return str(self._one("start", graph, label, database, transaction_mode, json.dumps(variables or {})))
        except psycopg.DatabaseError as error:
            raise _refused(error) from error

    def evaluate(self, expression: str, label: str | None = None, *, variables: Mapping[str, str] | None = None) -> str:
        """Start a workflow from an expression of the language, evaluated by the database with this role's rights.

        variables: as for `start`.
        """
        import psycopg
        from psycopg import sql

        # The expression is SQL by intention: it runs with the rights of this role, which could send it by
        # itself.
        graph = sql.SQL(QUERIES["evaluate"].decode()).format(sql.SQL(expression))
        try:
            with self._lock:
                row = self._session().execute(graph).fetchone()
        except psycopg.DatabaseError as error:
            raise _refused(error) from error
        assert row is not None
        return self.start(row[0], label, variables=variables)

    def setvar(self, name: str, value: str) -> None:
        """Set a variable for the workflows this role starts from here on."""
        self._one("setvar", name, value)

    def status(self, instance_id: str) -> str:
        """The status word. InstanceNotFound for an id this role cannot see."""
        found = self._one("status", instance_id)
        if found is None:
            raise InstanceNotFound(f"There is no instance {instance_id}.", "List the instances with `pgweave ps`.")
        return str(found)

    def instance(self, instance_id: str) -> Instance:
        """Everything about one instance. InstanceNotFound for an id this role cannot see."""
        for row in self._rows("instance", instance_id):
            return Instance(*row)
        raise InstanceNotFound(f"There is no instance {instance_id}.", "List the instances with `pgweave ps`.")

    def instances(self, limit: int = 100, *, statuses: Sequence[str] = (), label: str | None = None) -> list[Instance]:
        """The newest instances first. statuses: only those; empty: any. label: only those whose label contains it."""
        return [Instance(*row) for row in self._rows("instances", list(statuses), label or "", limit)]

    def family(self, instance_id: str) -> list[Instance]:
        """An instance and everything its steps started, parents before children."""
        return [Instance(*row) for row in self._rows("family", instance_id)]

    def nodes(self, *instance_ids: str) -> list[NodeState]:
        """The nodes of some instances, each in pre-order."""
        return [NodeState(*row) for row in self._rows("nodes", list(instance_ids))]

    def runs(self, instance_id: str) -> list[NodeRun]:
        """What the steps of an instance and of its children did, and when, in the order in which they began."""
        return [NodeRun(*row) for row in self._rows("runs", instance_id)]

    def states(self, *instance_ids: str) -> list[PresentState]:
        """What the nodes of some instances are now: of a loop, in its present turn."""
        rows = self._rows("states", list(instance_ids))
        return [PresentState(instance_id, node_id, tuple(turn), state) for instance_id, node_id, turn, state in rows]

    def pulse(self, *instance_ids: str) -> str:
        """A text that changes whenever anything changes about these instances; it costs less than to look at them."""
        return str(self._one("pulse", list(instance_ids)))

    def listen(self) -> int:
        """Have the server tell this session what the workers are told: of a start, a signal, an end.

        Returns the socket that becomes readable then, for `select`; `heard` takes what is there.
        """
        self._connection.execute(QUERIES["listen"])
        self._listens = True
        return self._connection.fileno()

    def heard(self) -> bool:
        """Whether anything has been said since `listen` or since this was asked the last time."""
        return bool(list(self._connection.notifies(timeout=0)))

    def workers(self) -> list[WorkerState]:
        """Which workers there are, those heard of last first. Only the owner of the schema sees them."""
        return [WorkerState(*row) for row in self._rows("workers")]

    def worker_rights(self) -> tuple[bool, bool]:
        """Whether this role sees the workers, and whether it may be one."""
        ((sees, may),) = self._rows("worker_rights")
        return bool(sees), bool(may)

    def now(self) -> datetime:
        """The database's time."""
        return cast("datetime", self._one("clock"))

    def result(self, instance_id: str) -> object:
        """The result of a completed instance as Python values, numbers exact; None for any other."""
        text = self.instance(instance_id).result
        return None if text is None else json.loads(text, parse_float=Decimal)

    def wait(self, instance_id: str, timeout_seconds: float = 30) -> str:
        """Block until the instance has ended; return its status. TimeoutError when it takes longer.

        Asks in short statements: one long one would hold a snapshot, and with it up VACUUM and CREATE INDEX
        CONCURRENTLY, of a step even.
        """
        # 5 ms at first, for workflows that end at once, growing to 0.1 s.
        deadline, pause = monotonic() + timeout_seconds, 0.005
        while True:
            if (instance := self.instance(instance_id)).ended:
                return instance.status
            if monotonic() >= deadline:
                raise TimeoutError(f"instance {instance_id} has not ended after {timeout_seconds} s: {instance.status}")
            sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def signal(self, instance_id: str, name: str, payload: object = None) -> list[str]:
        """Send a signal; it is kept until a wait takes it. payload: anything JSON can say.

        Returns the names that the instance waited for at that moment. Where `name` is not among them a wait may still
        come, or the name is misspelt. InstanceEnded when the instance has ended.
        """
        status = self.status(instance_id)
        if status in TERMINAL:
            raise InstanceEnded(
                f"Instance {instance_id} is {status}; a signal does not reach it any more.", "Start the workflow again."
            )
        # Before the signal is sent: afterwards the wait may be over.
        waiting = [node.signal_name for node in self.nodes(instance_id) if node.run_status == "waiting"]
        self._steer("signal", instance_id, name, json.dumps({} if payload is None else payload))
        return sorted({found for found in waiting if found is not None})

    def cancel(self, instance_id: str, reason: str = "Cancelled by user") -> str:
        """End an instance before its next step. Returns what has come of it, in words."""
        answer = str(self._steer("cancel", instance_id, reason))
        # The answer was given before the commit, which waits for an end that is just being written.
        status = self.status(instance_id)
        return f"Instance {instance_id} is already {status}" if status in TERMINAL - {"cancelled"} else answer

    def _steer(self, query: str, instance_id: str, *arguments: object) -> object:
        import psycopg

        try:
            return self._one(query, instance_id, *arguments)
        except psycopg.errors.NoDataFound as error:
            raise InstanceNotFound(
                f"There is no instance {instance_id}.", "List the instances with `pgweave ps`."
            ) from error
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            raise InstanceEnded(f"{error.diag.message_primary}.", "Start the workflow again.") from error

    def _one(self, query: str, *arguments: object) -> object:
        return next((row[0] for row in self._rows(query, *arguments)), None)

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        # One statement at a time: what it sends in one round trip must not mix with that of another thread.
        with self._lock:
            return ask(self._session(), query, arguments)

    def _session(self) -> Connection:
        """The session; another one where the server has ended it while it was idle (idle_session_timeout, a restart).

        Nothing was under way on it, so nothing is repeated. Not where somebody listens: what was said meanwhile is lost,
        and they have to know.
        """
        if not self._listens and not self._connection.closed and not still_there(self._connection):
            self._connection = connect(self._dsn, application_name="pgweave client")
        return self._connection

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _refused(error: psycopg.DatabaseError) -> StartRefused:
    said = error.diag.message_primary or str(error)
    return StartRefused(f"The database refused to start the workflow: {said}", error.diag.message_hint or "")
