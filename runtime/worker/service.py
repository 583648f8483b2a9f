"""The worker: lease an instance, ask `advance` what is next, carry it out, write it down, park when all of it waits.

In: rows that df.start wrote. Out: rows of df.runs, one per finished step, each in the step's own transaction. The
worker decides nothing about the language and remembers nothing that matters: kill it anywhere and another one goes
on from the rows. Threads and blocking psycopg, because a step is one round trip and most of a worker's life is waiting
for the database.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import version
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from pgweave.runtime.connect import ACQUIRE_SECONDS, RECONNECT_SECONDS, ask, connect, lent, own_conninfo
from pgweave.runtime.errors import ConnectionFailed, Deferred, LeaseLost, WorkerRefused
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.worker.classify import READ_ONLY, Meaning, Whose, meaning
from pgweave.runtime.worker.direct import checks_clients, require_direct, require_worker
from pgweave.runtime.worker.drive import Drive
from pgweave.runtime.worker.failpoints import failpoint
from pgweave.runtime.worker.sessions import Sessions
from pgweave.runtime.worker.settings import Settings
from pgweave.runtime.worker.step_threads import StepThreads
from pgweave.runtime.worker.store import SUSPECT, InHand, Lease, Store
from pgweave.runtime.worker.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from pgweave.runtime.worker.advance import Iteration
    from pgweave.runtime.worker.sessions import Tag

__all__ = ["Settings", "Worker", "working"]

log = logging.getLogger("pgweave.worker")

MIN_POLL_SECONDS = 0.01  # between two claims of which the first found nothing, however many notifications come
FREE_LOOKS = 8.0  # claims that may follow each other faster

MAX_PAUSE_SECONDS = 1.0  # between two looks while the database refuses; work may wait so long once it is back

# Longer than the server lets our statements run (OWN_SETTINGS): what it says comes first.
ANSWER_SECONDS = 40.0

DEFER_SECONDS = (0.2, 1.0)  # at random between the two, so that those deferred together do not come back together

CHECK_SECONDS = 1.0  # how often the server looks, while a statement runs, whether its worker is still there

LISTEN_AGAIN_SECONDS = 0.2  # less than the grace of df_internal.worker_end_vanished

# Between two looks at the other workers, where there are any. With the grace of df_internal.worker_end_vanished it makes
# the second within which the instances of a worker that has died are taken over.
OTHERS_SECONDS = 0.25

SILENT_SECONDS = 10.0  # a step takes so long before the server is asked whether it works on it

INTERNAL_ATTEMPTS = 3  # of an instance that runs into a bug in pgweave

REFUSED_CLAIMS = 5  # one after the other, for a reason that does not pass, before the worker stops

REMIND_SECONDS = 60.0  # between two log lines that say the same of a claim

MIN_SHOWN_SECONDS = 1.0  # a step is shown as running when it has been for so long

PRUNE_SECONDS = 60.0  # between two looks for instances that have outlived their retention


class Worker:
    """Works off the instances of one database. `run` blocks until `stop`; both may be called from any thread.

    on_event: told what happens as (event, instance id, node id or None): "claimed", "step", "checkpointed", "waiting",
    "parked", "released" (in the middle of the work), "finished". Tests wait for these and the command line draws them; it must return quickly.
    """

    def __init__(
        self,
        dsn: str,
        settings: Settings | None = None,
        on_event: Callable[[str, str, str | None], None] = lambda event, instance, node: None,
    ) -> None:
        self.dsn = dsn
        self.settings = settings or Settings()
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.emit = on_event
        self.store: Store  # these three exist while `run` does
        self.sessions: Sessions
        self.steps: StepThreads
        # Steps in flight, for people who watch: (instance id, node id) -> (iteration, when it began).
        self.running: dict[tuple[str, str], tuple[Iteration, float]] = {}
        self._stop = Event()  # begin nothing new
        self._closed = Event()  # nothing is leased any more
        self._bell = Event()
        self._leases: dict[str, Lease] = {}
        self._lost: set[Any] = set()
        # Leases to give back once the database can be reached, with the attempts that count.
        self._pending_releases: list[tuple[Lease, int]] = []
        self._lock = Lock()
        self._refusals: list[str] = []  # SQLSTATEs of claims since the last one that worked, if they do not pass
        self._said: dict[str, float] = {}  # when it was last logged that a claim failed so, by SQLSTATE
        self._watchdog = Watchdog()
        self._lock_key: int | None = None  # of the advisory lock that the listener has
        self._knows_pids = False
        self._looked_for_vanished = 0.0
        self._has_others = False
        self._was_away = Event()  # the server may have forgotten what it was told last
        self._silent: set[tuple[int, Tag]] = set()  # long steps whose server process was idle at the last look
        self.ready = Event()  # it can work: schema, role and connection are in order

    def stop(self) -> None:
        """Finish the steps in hand, give the leases back, return from `run`."""
        self._stop.set()
        self._bell.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` has been called."""
        return self._stop.is_set()

    def run(self, *, once: bool = False, on_ready: Callable[[], None] = lambda: None) -> None:
        """Work until stopped. once: until nothing is due any more. on_ready: called once this role is known to be allowed to work.

        Errors about the schema and about the rights of this role (WorkerRefused) are raised; a database that goes away is
        waited for.
        """
        import psycopg
        from psycopg_pool import PoolTimeout

        own, checked = self._introduced()
        on_ready()
        helpers = [
            Thread(target=work, daemon=True, name=work.__name__)
            for work in (self._listen, self._renew, self._watch, self._end_silent_connections)
        ]
        # The statement of a worker that is gone must not lock its instance for long; the lease is over soon after.
        check = min(self.settings.lease_seconds / 2, CHECK_SECONDS) if checked else 0.0
        with (
            self._pool() as store,
            Sessions(
                self.dsn, own, self.settings.sessions, step_seconds=self.settings.step_seconds, check_seconds=check
            ) as sessions,
        ):
            self.store, self.sessions = store, sessions
            with suppress(psycopg.Error):  # a server that is read-only yet; said again with every renewal
                store.beat(self.name, self.settings.concurrency, version("pgweave"), 0, None)
            for helper in helpers:
                helper.start()
            self.ready.set()
            try:
                shared = self.settings.branches * 2  # so that a role alone has enough for a wide join
                with (
                    ThreadPoolExecutor(self.settings.slots, "instance") as instances,
                    ThreadPoolExecutor(self.settings.slots + shared, "step") as steps,
                ):
                    self.steps = StepThreads(steps, shared)
                    try:
                        self._work(instances, once=once)
                    finally:
                        self._stop.set()  # what is leased is given back, also when `_work` ends with an error
            finally:
                self._closed.set()
                with suppress(psycopg.Error, PoolTimeout):
                    store.gone(self.name)
                    store.ring()  # our own listener would else sleep on for a while
                for helper in helpers:
                    helper.join()

    def _introduced(self) -> tuple[tuple[str, str], bool]:
        """Check that this role may work here. (Its name, the database), and whether the server notices that a client has gone."""
        import psycopg

        while True:
            try:
                with connect(self.dsn, application_name="pgweave worker") as connection:
                    require_worker(connection)
                    self._knows_pids = require_direct(connection, self.dsn)
                    ((role, database),) = ask(connection, "who_am_i")
                    return (role, database), checks_clients(connection)
            except psycopg.Error as error:
                # The server was reached, and ends sessions: it restarts, or an administrator does it. That passes.
                if meaning(error, Whose.OWN) is not Meaning.PASSING or self._stop.wait(self.settings.poll_seconds):
                    raise

    @contextmanager
    def _pool(self) -> Iterator[Store]:
        from psycopg_pool import ConnectionPool

        with ConnectionPool(
            own_conninfo(self.dsn),
            kwargs={"autocommit": True},
            min_size=1,
            max_size=self.settings.slots + 2,
            timeout=ACQUIRE_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            num_workers=1,
        ) as pool:
            yield Store(
                lambda: lent(pool), lambda connection: self._watchdog.expects_answer(connection, ANSWER_SECONDS)
            )

    def _work(self, instances: ThreadPoolExecutor, *, once: bool) -> None:
        """Claim as much as there is room for; sleep until notified, or for the poll interval."""
        import psycopg

        pending: set[Future[None]] = set()
        pause, looked_at, free_looks = self.settings.poll_seconds, monotonic(), FREE_LOOKS
        while not self.stopping:
            # A flood of notifications must not become a flood of claims; one that comes now and then is answered at once.
            # FREE_LOOKS is a token bucket: 8 claims at once, then one every MIN_POLL_SECONDS.
            free_looks = min(FREE_LOOKS, free_looks + (monotonic() - looked_at) / MIN_POLL_SECONDS)
            if free_looks < 1:
                self._stop.wait((1 - free_looks) * MIN_POLL_SECONDS)
            self._bell.clear()
            pending = {future for future in pending if not future.done()}
            free = self.settings.slots - len(pending)
            failpoint("before_claim")
            self._release_pending()
            try:
                self._keep_known()
                self._end_vanished()
                leases = self._claim(len(pending)) if free else []
                pause = (
                    min(self.settings.poll_seconds, OTHERS_SECONDS) if self._has_others else self.settings.poll_seconds
                )
                self._refusals.clear()
            except psycopg.Error as error:
                self._cannot_claim(error)
                leases, pause = [], min(pause * 2, MAX_PAUSE_SECONDS)
            looked_at = monotonic()
            if leases:
                failpoint("after_claim")
            else:
                free_looks -= 1
            for lease in leases:
                with self._lock:
                    self._leases[lease.instance_id] = lease
                pending.add(instances.submit(self._instance, lease))
            if once and not pending and not leases:
                return
            # As many as there was room for: there may be more, so claim again at once.
            if len(leases) < free or not free:
                self._bell.wait(pause)

    def _claim(self, used: int) -> list[Lease]:
        """Lease what there are slots for. used: how many are."""
        with self._lock:
            in_hand = list(self._leases)
        settings = self.settings
        return self.store.claim(
            self.name, settings.concurrency - used, settings.lease_seconds, in_hand, settings.reserved
        )

    def _keep_known(self) -> None:
        """After a time without the server: end the leases it believes us to have. Only this thread claims new ones."""
        if not self._was_away.is_set():
            return
        with self._lock:
            known = [lease.token for lease in self._leases.values()]
            known += [lease.token for lease, _ in self._pending_releases]
        self._was_away.clear()
        try:
            freed = self.store.keeps(self.name, known)
        except BaseException:
            self._was_away.set()
            raise
        if freed:
            log.warning("%d leases that the server remembered and this worker did not", freed)

    def _end_vanished(self) -> None:
        """Free the leases of workers that are gone."""
        if monotonic() - self._looked_for_vanished >= OTHERS_SECONDS:
            self._looked_for_vanished = monotonic()
            self._has_others = self.store.end_vanished(self.name)

    def _cannot_claim(self, error: psycopg.Error) -> None:
        """Say why, now and then. PgweaveError when the reason is this worker, its role or the schema: then it stops."""
        state, now = error.sqlstate or "", monotonic()
        if meaning(error, Whose.OWN) is Meaning.WORKER:
            with connect(self.dsn, application_name="pgweave worker") as connection:
                require_worker(connection)
            self._refusals.append(state)
            if len(self._refusals) >= REFUSED_CLAIMS:
                raise WorkerRefused(
                    f"The database refuses this worker: {error.diag.message_primary}",
                    "The schema may be damaged; `pgweave db status` compares it with this version.",
                ) from error
        if self._said.get(state, -REMIND_SECONDS) <= now - REMIND_SECONDS:
            self._said[state] = now
            why = (
                ": the server is a standby or set to read-only; waiting until it takes writes"
                if state == READ_ONLY
                else ""
            )
            log.warning("cannot claim: %s%s", type(error).__name__, why)

    def _instance(self, lease: Lease) -> None:
        """Work on one leased instance. Never raises: one bad instance must not stop the others."""
        import psycopg

        self.emit("claimed", lease.instance_id, None)
        drive = Drive(self, lease)
        try:
            drive.run()
        except LeaseLost:
            log.warning("lease lost: instance %s", lease.instance_id)
        except Deferred as error:
            log.warning("deferred: instance %s: %s", lease.instance_id, error)
            self._give_back(lease, SUSPECT if error.suspect else 0)
        except (psycopg.Error, ConnectionFailed) as error:
            # Some worker, perhaps this one, goes on from the rows. What does not pass by itself counts as an attempt.
            log.warning("database trouble: instance %s: %s", lease.instance_id, type(error).__name__)
            passing = isinstance(error, ConnectionFailed) or meaning(error, Whose.OWN) is Meaning.PASSING
            self._give_back(lease, 0 if passing else lease.attempts)
        except Exception as error:
            log.exception("internal error: instance %s", lease.instance_id)
            self._internal_error(drive, error)
        finally:
            with self._lock:
                self._leases.pop(lease.instance_id, None)
            self.sessions.forget(lease.instance_id)
            self._bell.set()

    def _internal_error(self, drive: Drive, error: Exception) -> None:
        """A bug in pgweave. It may pass, so try again; but only a few times, and record the reason."""
        import psycopg

        lease = drive.lease
        if lease.attempts < INTERNAL_ATTEMPTS:
            self._give_back(lease, lease.attempts)
            return
        try:
            drive.give_up(f"Internal error of the worker: {type(error).__name__}: {error}".replace("\0", ""))
        except (psycopg.Error, LeaseLost):
            self._give_back(lease, lease.attempts)

    def _give_back(self, lease: Lease, attempts: int) -> None:
        """Defer the instance. attempts: see `Store.defer`."""
        self.emit("released", lease.instance_id, None)
        with self._lock:
            self._pending_releases.append((lease, attempts))
        self._release_pending()

    def _release_pending(self) -> None:
        """Give back the leases of what could not be done. Where that fails too, the lease runs out and counts as an attempt."""
        import psycopg

        with self._lock:
            pending, self._pending_releases = self._pending_releases, []
        while pending:
            lease, attempts = pending[-1]
            try:
                self.store.defer(lease, random.uniform(*DEFER_SECONDS), attempts=attempts)  # noqa: S311
            except LeaseLost:
                pass
            except psycopg.Error:
                break
            pending.pop()
        with self._lock:
            self._pending_releases += pending

    def _listen(self) -> None:
        """Wake the loop on every notification. One that is lost costs a poll interval and nothing else."""
        import psycopg

        while not self._closed.is_set():
            try:
                with connect(self.dsn, application_name="pgweave listener") as connection:
                    connection.execute(QUERIES["listen"])
                    self._show_life(connection)
                    self._was_away.set()
                    self._bell.set()
                    while not self._closed.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            self._bell.set()
            except (psycopg.Error, ConnectionFailed):
                # Soon: until this session is back, the worker looks as if it were gone.
                self._lock_key = None
                self._closed.wait(LISTEN_AGAIN_SECONDS)

    def _show_life(self, connection: psycopg.Connection[Any]) -> None:
        """Take a lock that the server drops when this session ends, and say which.

        A new one each time: of the old one the server may not know yet that its session is gone.
        """
        key = secrets.randbits(63)
        connection.execute(QUERIES["show_life"], [key])
        self._lock_key = key
        with self._lock:
            leases = len(self._leases)
        self._beat(leases)

    def _beat(self, leases: int) -> None:
        self.store.beat(self.name, self.settings.concurrency, version("pgweave"), leases, self._lock_key)

    def _renew(self) -> None:
        """Renew every lease, show long steps as running, say that this worker is alive, remove old instances."""
        import psycopg

        pruned_at = monotonic()
        while not self._closed.wait(self.settings.lease_seconds / 3):
            with self._lock:
                leases = list(self._leases.values())
            try:
                if monotonic() - pruned_at > PRUNE_SECONDS:
                    pruned_at = monotonic()
                    self.store.prune()
                self._beat(len(leases))
                if not leases:
                    continue
                kept = self.store.renew(leases, self._long_steps(), self.settings.lease_seconds)
            except psycopg.Error as error:
                log.warning("cannot renew: %s", type(error).__name__)
                continue
            self._lost.update(lease.token for lease in leases if lease.token not in kept)

    def _end_silent_connections(self) -> None:
        self._watchdog.run(self._closed)

    def _long_steps(self) -> list[InHand]:
        now = monotonic()
        return [
            InHand(instance_id, node_id, iteration, now - began)
            for (instance_id, node_id), (iteration, began) in list(self.running.items())
            if now - began > MIN_SHOWN_SECONDS
        ]

    def _watch(self) -> None:
        """Interrupt the steps of instances that are to be cancelled, and let go of those that no session works on."""
        import psycopg

        while not self._closed.wait(self.settings.poll_seconds):
            busy = {instance_id for instance_id, _ in list(self.running)}
            if not busy:
                continue
            try:
                cancelled = self.store.cancelled(busy)
                self._end_silent_steps()
            except psycopg.Error as error:
                log.warning("cannot look for cancels: %s", type(error).__name__)
                continue
            if cancelled:
                self.sessions.interrupt(lambda tag, cancelled=cancelled: tag[0] in cancelled)  # type: ignore[misc]

    def _end_silent_steps(self) -> None:
        """Let go of steps whose session has nothing to do: their request or their answer was lost on the way.

        Twice in a row, because between two transactions of a procedure there is none. A step that was in fact running
        and has lost its session so is found in the rows, or runs once more.
        """
        waits = self.sessions.long_waits(SILENT_SECONDS) if self._knows_pids else {}
        silent = {(pid, waits[pid]) for pid in self.store.silent(waits)} if waits else set()
        for pid, tag in silent & self._silent:
            log.warning("silent session: instance %s", tag[0])
            self.sessions.hang_up(pid, tag)
        self._silent = silent

    def keeps(self, lease: Lease) -> bool:
        """Whether the lease was still ours at the last renewal; if not, nothing new may be begun for it."""
        return lease.token not in self._lost


@contextmanager
def working(
    dsn: str,
    settings: Settings | None = None,
    on_event: Callable[[str, str, str | None], None] = lambda event, instance, node: None,
) -> Iterator[Worker]:
    """A worker on a thread of its own for as long as the block lasts; it ends with its steps in flight finished.

    Raises what `Worker.run` raises at its start, before the block begins.
    """
    worker = Worker(dsn, settings, on_event)
    with ThreadPoolExecutor(1, "worker") as thread:
        running = thread.submit(worker.run)
        while not worker.ready.wait(0.05):
            if running.done():
                running.result()  # it cannot work: say so before anything is started that would wait for it
        try:
            yield worker
        finally:
            worker.stop()
            running.result()
