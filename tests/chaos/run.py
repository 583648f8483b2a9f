"""One chaos run: servers, workers, load and faults together, a checker beside them and at the end.

faults for `seconds` -> workers killed one by one in calm, to measure the takeover -> everything ends -> the checker
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from chaos import summary
from chaos.checker import Violation, check
from chaos.faults import Injector, plan
from chaos.load import Load
from chaos.recovery import Recovery
from chaos.relay import Relays
from chaos.servers import Servers, servers
from chaos.workers import LEASE_SECONDS, Worker, workers
from support import http_server

from pgweave.runtime import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = Path(__file__).with_name("schema.sql")
# After the last fault: leases end, what was deferred comes back, silent sessions are noticed, a minute for the schedules.
END_SECONDS = 120.0
CHECK_SHARE = 0.25  # of the time, at most, goes to the checker while the run goes on

CHECK_SECONDS = 10.0  # the longest pause between two checks


@dataclass(frozen=True)
class Plan:
    """What to do. faults_per_second: fast ones. slow_every: seconds from one slow fault to the next. busy: instances
    that are not parked. kills: in calm."""

    seconds: float
    seed: int
    faults_per_second: float = 4.0
    slow_every: float = 5.0
    workers: int = 4
    busy: int = 24
    kills: int = 5


@dataclass
class Run:
    """The parts of a run while it lasts."""

    plan: Plan
    servers: Servers
    say: Callable[[str], None]
    folder: Path
    violations: dict[Violation, float] = field(default_factory=dict)  # when each was first seen
    takeovers: list[float] = field(default_factory=list)
    log: list[tuple[float, str]] = field(default_factory=list)  # of the faults
    checks: int = 0

    def __post_init__(self) -> None:
        self.relays = Relays(lambda: self.servers.socket)
        self.recovery = Recovery(lambda: self.servers.dsn)
        self.over = Event()

    def go(self) -> dict[str, Any]:
        """All of it. The summary."""
        self._install()
        with ExitStack() as stack:
            stack.callback(self.relays.close)
            http = stack.enter_context(http_server.serving())
            url = http.on("/call", http_server.answer('"done"', content_type="application/json"))
            self.workers: list[Worker] = workers(self.plan.workers, self.relays, self.folder)
            stack.callback(self._kill_all)
            stack.callback(self.over.set)
            self.load = Load(lambda: self.servers.dsn, url, self.plan.seed, busy=self.plan.busy)
            self.injector = Injector(self.servers, self.workers, self.recovery, self.plan.seed, self.log)
            self._wait_for_workers()
            helpers = [Thread(target=work, daemon=True) for work in (self._look_after, self._check_again_and_again)]
            for helper in helpers:
                helper.start()
            self.recovery.start(self.injector.note)
            self.load.start()
            self.injector.run(*plan(self.plan.seed, self.plan.seconds, self.plan.faults_per_second,
                                    self.plan.workers, self.plan.slow_every))  # fmt: skip
            self.say(f"{sum(self.injector.counted.values())} faults; now without")
            self.servers.ensure()
            self._measure_takeover()
            self.say("the takeover is measured; now all of it ends")
            self.load.stop()
            ended = self._wait_for_the_end()
            self.say(f"everything has ended after {ended:.1f} s; now the checker")
            self.over.set()
            for helper in helpers:
                helper.join(60)
            self.recovery.stop()
            self._look(at_end=True)
            self._stop_workers()
            self._look(at_end=True)
            return self._summary(ended, self._calls(http))

    def _install(self) -> None:
        migrate.install(self.servers.dsn)
        with psycopg.connect(self.servers.dsn, autocommit=True) as connection:
            connection.execute(SCHEMA.read_text().encode())

    def _wait_for_workers(self) -> None:
        until = monotonic() + 60
        while not self._true("select count(*) >= %s from df.workers", self.plan.workers):
            if monotonic() > until:
                raise RuntimeError(f"the workers do not start: {self.workers[0].last_words()}")
            Event().wait(0.05)

    def _look_after(self) -> None:
        """The supervisor of the workers."""
        while not self.over.wait(0.2):
            for worker in self.workers:
                if said := worker.look_after():
                    self._see(Violation("a worker ended by itself", "", "", said))

    def _check_again_and_again(self) -> None:
        while not self.over.wait(1.0):
            asked = monotonic()
            try:
                self._look(at_end=False)
            except psycopg.OperationalError:
                pass  # the server is away
            except Exception as error:
                self.injector.troubles.append(f"the checker: {type(error).__name__}: {error}")
            self.over.wait(min((monotonic() - asked) / CHECK_SHARE, CHECK_SECONDS))

    def _look(self, *, at_end: bool) -> None:
        with psycopg.connect(self.servers.dsn) as connection:
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local search_path = df, pg_catalog")
            found = check(
                connection,
                at_end=at_end,
                steady_clock=not self.injector.clock_went_back,
                clock_is_behind=self.injector.now < self.injector.clock_is_behind_until,
                cancelled_by_hand=self.injector.counted.get("cancel", 0) > 0,
                acknowledged=self.load.acknowledged if at_end else (),
            )
        self.checks += 1
        for violation in found:
            self._see(violation)

    def _see(self, violation: Violation) -> None:
        if violation not in self.violations:
            self.violations[violation] = self.injector.now
            self.say(f"violation after {self.injector.now:.1f} s: {violation}")

    def _measure_takeover(self) -> None:
        """Kill one worker after the other, with the load on and nothing else out of order."""
        for n in range(self.plan.kills):
            self._wait_for_workers_of_now()
            worker = self.workers[1 + n % (len(self.workers) - 1)]
            until, held = monotonic() + 20, frozenset[str]()
            while not held and monotonic() < until:
                held = (self.injector.in_hand() or {}).get(worker.pid, held)
            pid = worker.pid
            worker.kill()
            self.injector.note(f"kill -9 in calm: worker {worker.number} ({pid}), has {len(held)}")
            killed = monotonic()
            while held and monotonic() < killed + 3 * LEASE_SECONDS:
                if (in_hand := self.injector.in_hand()) is not None:
                    still = held & in_hand.get(pid, frozenset())
                    self.takeovers += [monotonic() - killed] * len(held - still)
                    held = still
                Event().wait(0.01)
            self.takeovers += [monotonic() - killed] * len(held)

    def _wait_for_workers_of_now(self) -> None:
        pids = [worker.pid for worker in self.workers]
        until = monotonic() + 30
        there = "select count(*) >= %s from df.workers where split_part(name, ':', 2)::integer = any (%s) and vanished_at is null"
        while not self._true(there, len(pids), pids) and monotonic() < until:
            Event().wait(0.05)

    def _wait_for_the_end(self) -> float:
        """Seconds until every instance has ended; those that are left at the bound are violations."""
        began = monotonic()
        while monotonic() < began + END_SECONDS:
            with suppress(psycopg.Error), psycopg.connect(self.servers.dsn, autocommit=True) as connection:
                connection.execute(
                    "insert into df.inbox (instance_id, kind, payload) select i.id, 'cancel', '\"over\"' from df.instances as i"
                    " where i.submitted_by = 'mallory'::regrole and i.completed_at is null and not exists"
                    " (select from df.inbox as b where b.instance_id = i.id and b.kind = 'cancel')"
                )
                if not connection.execute("select 1 from df.queue limit 1").fetchone():
                    break
            Event().wait(0.1)
        return monotonic() - began

    def _stop_workers(self) -> None:
        for worker in self.workers:
            if code := worker.terminate():
                words = f"worker {worker.number} was told to stop, and ended with {code}: {worker.last_words()}"
                self._see(Violation("a worker ended by itself", "", "", words))

    def _kill_all(self) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.kill()

    def _calls(self, http: http_server.Server) -> list[Violation]:
        """Each HTTP step that has ended was asked for at least once, with one key."""
        keys: dict[int, set[str | None]] = {}
        for request in list(http.requests):
            keys.setdefault(int(request.target.rpartition("=")[2]), set()).add(request.header("Idempotency-Key"))
        with psycopg.connect(self.servers.dsn) as connection:
            ended = connection.execute(
                "select p.tag, p.instance_id from chaos.programs as p join df.instances as i on i.id = p.instance_id"
                " where p.shape = 'HTTP' and i.status = 'completed'"
            ).fetchall()
        found = [
            Violation("an HTTP step has ended without a request", i, "", f"tag {tag}")
            for tag, i in ended
            if tag not in keys
        ]
        found += [
            Violation("the requests of one HTTP step have several keys", i, "", str(keys[tag]))
            for tag, i in ended if len(keys.get(tag, ())) > 1 or None in keys.get(tag, ())
        ]  # fmt: skip
        return found

    def _true(self, question: str, *arguments: object) -> bool:
        with suppress(psycopg.Error), psycopg.connect(self.servers.dsn) as connection:
            row = connection.execute(question.encode(), arguments).fetchone()
            return row is not None and bool(row[0])
        return False

    def _summary(self, ended: float, calls: list[Violation]) -> dict[str, Any]:
        injector = self.injector
        for violation in calls:
            self._see(violation)
        for promise, said in (
            ("the load met an error that does not pass", self.load.troubles),
            ("a fault could not be carried out", injector.troubles),
        ):
            for line in said:
                self._see(Violation(promise, "", "", line))
        with psycopg.connect(self.servers.dsn) as connection:
            (version, instances, by_status, runs, marks, lasted) = (
                connection.execute(
                    "select current_setting('server_version'), (select count(*) from chaos.programs),"
                    " (select jsonb_object_agg(status, n) from (select status, count(*) as n from df.instances group by 1) as s),"
                    " (select count(*) from df.runs where status = 'completed'), (select count(*) from chaos.fx),"
                    " (select sum(attempts - 1) from df.runs)"
                ).fetchone()
                or ()
            )
        return {
            "seed": self.plan.seed,
            "seconds": self.plan.seconds,
            "postgresql": version,
            "workers": self.plan.workers,
            "faults": sum(injector.counted.values()),
            "faults_by_kind": dict(sorted(injector.counted.items())),
            "skipped": injector.skipped,
            "instances": instances,
            "instances_by_status": by_status,
            "node_runs": runs,
            "effects": marks,
            "attempts_more_than_one": lasted,
            "worker_starts_refused": sum(worker.refused for worker in self.workers),
            "checks": self.checks,
            "ended_after_seconds": round(ended, 2),
            "violations": [summary.told(violation, injector.log, at) for violation, at in self.violations.items()],
            "recovery_seconds": {kind: summary.figures(values) for kind, values in sorted(self.recovery.seconds.items())},
            "takeover_after_kill_seconds": summary.takeover(self.takeovers),
            "memory": summary.memory({worker.number: worker.rss for worker in self.workers}),
        }  # fmt: skip


def run(what: Plan, say: Callable[[str], None] = lambda said: None, *, keep: Path | None = None) -> dict[str, Any]:
    """Run it. The summary as JSON can hold it. keep: where the workers' logs and the faults' log are left."""
    folder = keep or Path(tempfile.mkdtemp(prefix="pgweave-chaos-logs-"))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.log"):
        old.unlink()
    try:
        with servers(folder) as pair:
            say("a primary and its standby run")
            running = Run(what, pair, say, folder)
            try:
                return running.go()
            finally:
                (folder / "faults.log").write_text("".join(f"{at:8.2f}  {text}\n" for at, text in running.log))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
