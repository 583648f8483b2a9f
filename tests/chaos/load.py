"""The people of a chaos run: they start workflows of every kind, send them signals and cancel some.

What they do is written down in the transaction that does it (schema.sql), so an answer that got lost is looked up and
nothing is done twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from threading import Event, Thread
from time import sleep
from typing import TYPE_CHECKING, Any

import psycopg
from chaos.shapes import BY_NAME, SHAPES
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.shapes import Shape

PAUSE_SECONDS = 0.05
LIVE = "select count(*), count(*) filter (where token is not null or ready_at <= df.clock()) from df.queue"
ENDED = "('completed', 'failed', 'cancelled')"


@dataclass
class Errand:
    """A signal that is to be sent, or a cancel (payload None), to one instance, at a moment of the load's clock."""

    at: int
    tag: int
    shape: Shape
    payload: str | None


@dataclass
class Load:
    """Keeps so many instances busy, and not more than so many alive, until `stop`. dsn: of the superuser, at the moment."""

    dsn: Callable[[], str]
    url: str
    seed: int
    busy: int = 24
    alive: int = 120
    schedules: int = 2
    acknowledged: set[int] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    _errands: list[Errand] = field(default_factory=list)
    _sessions: dict[str, psycopg.Connection[Any]] = field(default_factory=dict)
    _stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)
        self._next = 1
        self._moment = 0
        self._thread = Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start nothing new; what was started still gets its signals and cancels. See `finish`."""
        self._stop.set()
        self._thread.join(300)
        if self._thread.is_alive():
            self.troubles.append("the load did not come to its end")

    def _run(self) -> None:
        for _ in range(self.schedules):
            self._insist(lambda: self._start(BY_NAME["schedule"]))
        while not self._stop.wait(PAUSE_SECONDS):
            self._moment += 1
            self._try(self._top_up)
            self._run_errands()
        self._errands = []
        while not (self._try(self._last_errands) and not self._errands):
            self._moment += 1
            self._run_errands()
            sleep(PAUSE_SECONDS)
        for session in self._sessions.values():
            session.close()

    def _last_errands(self) -> None:
        """What live instances still wait for; also of starts whose answer was lost."""
        live = self._session("postgres").execute(
            "select p.tag, p.shape from chaos.programs as p join df.instances as i on i.id = p.instance_id"
            f" where i.status not in {ENDED} and not exists (select from chaos.cancels as c where c.instance_id = i.id)"
            "  and not exists (select from chaos.sent as s where s.tag = p.tag and s.payload = p.tag || '-last')"
        )
        self._errands = [errand for tag, name in live for errand in self._needs(tag, BY_NAME[name], last=True)]

    def _needs(self, tag: int, shape: Shape, *, last: bool = False) -> list[Errand]:
        names = [str(n) for n in range(shape.signals[1])] if shape.signals is not None else []
        payloads: list[str | None] = [f"{tag}-{name}" for name in [*names, "last"][: len(names) + last if names else 0]]
        if shape.patient:
            payloads.append(None)
        return [Errand(self._moment + (0 if last else self._later()), tag, shape, payload) for payload in payloads]

    def _top_up(self) -> None:
        ((live, busy),) = self._session("postgres").execute(LIVE).fetchall()
        for _ in range(min(4, self.alive - live, self.busy - busy)):
            self._start(self._chance.choices(SHAPES, [shape.weight for shape in SHAPES])[0])

    def _start(self, shape: Shape) -> None:
        tag, self._next = self._next, self._next + 1
        connection = self._session(shape.role)
        self._errands += self._needs(tag, shape)  # first: the answer to the commit may get lost
        with connection.transaction():
            (instance,) = connection.execute(f"select df.start({shape.text(tag, self.url)})".encode()).fetchone() or (
                "",
            )
            connection.execute(
                "insert into chaos.programs (tag, shape, instance_id) values (%s, %s, %s)", [tag, shape.name, instance]
            )
        self.acknowledged.add(tag)

    def _later(self) -> int:
        return self._chance.choice((0, 0, 1, 5, 15, 22, 40))

    def _run_errands(self) -> None:
        for errand in [errand for errand in self._errands if errand.at <= self._moment]:
            if self._try(lambda errand=errand: self._do(errand)):  # type: ignore[misc]
                self._errands.remove(errand)

    def _do(self, errand: Errand) -> None:
        connection = self._session(errand.shape.role)
        found = connection.execute(
            "select i.id, i.status from chaos.programs as p join df.instances as i on i.id = p.instance_id where tag = %s",
            [errand.tag],
        ).fetchone()
        if found is None:
            return  # it was not started
        instance, status = found
        ended = status in {"completed", "failed", "cancelled"}
        if errand.payload is None:
            if not ended:
                connection.execute("select df.cancel(%s)", [instance])
            connection.execute(
                f"insert into chaos.cancels select id from df.instances where id = %s and status not in {ENDED}".encode(),
                [instance],
            )
            return
        sent = connection.execute(
            "select 1 from chaos.sent where tag = %s and payload = %s", [errand.tag, errand.payload]
        )
        if ended or sent.fetchone() or errand.shape.signals is None:
            return
        name = errand.shape.signals[0]
        with connection.transaction():
            connection.execute("select df.signal(%s, %s, to_jsonb(%s::text)::text)", [instance, name, errand.payload])
            connection.execute(
                "insert into chaos.sent select max(b.id), %s, %s, %s from df.inbox as b"
                " where b.instance_id = %s and b.kind = 'signal'",
                [errand.tag, instance, errand.payload, instance],
            )

    def _session(self, role: str) -> psycopg.Connection[Any]:
        found = self._sessions.get(role)
        if found is None or found.closed:
            found = psycopg.connect(make_conninfo(self.dsn(), user=role), autocommit=True)
            self._sessions[role] = found
        return found

    def _try(self, act: Callable[[], None]) -> bool:
        """Whether it was done. A server that is away or full is for later; anything else is on record."""
        try:
            act()
        except psycopg.Error as error:
            state = error.sqlstate or ""
            if not (state == "" or state.startswith(("08", "40", "53", "55", "57", "58", "25006"))):
                self.troubles.append(f"{type(error).__name__}: {error}")
            for role, session in list(self._sessions.items()):
                if session.closed or not isinstance(error, psycopg.errors.ObjectNotInPrerequisiteState):
                    session.close()
                    del self._sessions[role]
            # An instance that has ended in the meantime needs no signal any more.
            return isinstance(error, psycopg.errors.ObjectNotInPrerequisiteState)
        return True

    def _insist(self, act: Callable[[], None]) -> None:
        while not self._try(act) and not self._stop.wait(PAUSE_SECONDS):
            pass
