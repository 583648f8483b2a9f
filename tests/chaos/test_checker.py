"""The checker of chaos runs goes red: each bug is planted by hand in the rows of instances that ended well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from chaos.checker import check
from chaos.relay import backend_pid
from chaos.shapes import BY_NAME
from support.work import with_worker

from pgweave.runtime import migrate
from pgweave.runtime.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = Path(__file__).with_name("schema.sql")
STARTED = {1: "chain", 2: "loop", 3: "race with a signal", 4: "failure", 5: "rows"}


def prepare(dsn: str) -> None:
    """Five instances that have ended as they had to, and one (6) that waits for a signal."""
    migrate.install(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SCHEMA.read_text().encode())
    with with_worker(dsn) as place:
        ids = {}
        for tag, name in (STARTED | {6: "race with a signal"}).items():
            ids[tag] = place.start(BY_NAME[name].text(tag, ""))
            place.sql("insert into chaos.programs (tag, shape, instance_id) values (%s, %s, %s)", tag, name, ids[tag])
        for n in range(2):
            send(place.dsn, 3, ids[3], f"3-{n}")
        for tag in STARTED:
            place.ended(ids[tag])
        # Its first wait has timed out, and the second one is parked.
        place.until(
            f"exists (select from chaos.fx where tag = 6) and exists (select from df.queue where instance_id = '{ids[6]}' and token is null)"
        )


def send(dsn: str, tag: int, instance: str, payload: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("select df.signal(%s, 'go', to_jsonb(%s::text)::text)", [instance, payload])
        connection.execute("insert into chaos.sent select max(id), %s, %s, %s from df.inbox", [tag, instance, payload])


@pytest.fixture(scope="module")
def ended() -> Iterator[str]:
    """DSN of the database with these instances, on a server of its own, because the schema of a run makes roles."""
    with embedded.temporary() as server:
        prepare(server.dsn)
        yield server.dsn


@pytest.fixture
def place(ended: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A transaction, rolled back in the end."""
    with psycopg.connect(ended) as connection:
        yield connection
        connection.rollback()


def test_what_went_well_is_no_violation(place: psycopg.Connection[tuple[object, ...]]) -> None:
    assert check(place, at_end=False) == []
    (left,) = check(place, at_end=True)
    assert left.promise == "an instance has not ended"
    assert "SIGNAL go" in left.node


BUGS = {
    "a duplicated effect":
        ("insert into chaos.fx (tag, step, turn) select tag, step, turn from chaos.fx where tag = 1 and step = 'c'",
         "a step had its effect more than once"),
    "a lost effect":
        ("delete from chaos.fx where tag = 1 and step = 'c'", "a step is recorded and its effect is not there"),
    "a lost effect of a turn":
        ("delete from chaos.fx where tag = 2 and turn = 3", "an instance has ended without an effect, or with one too many"),
    "a duplicated turn":
        ("insert into chaos.fx (tag, step, turn) values (2, 'turn', 3)", "a step had its effect more than once"),
    "an effect whose record is lost":
        ("delete from df.runs where query like '%chaos.mark(1, ''b''%'", "an effect is there and its step is not recorded"),
    "a step after a failure":
        ("insert into chaos.fx (tag, step, turn) values (4, 'never', 0)",
         "an instance has ended without an effect, or with one too many"),
    "rows that were lost on the way":
        ("update chaos.fx set turn = 418 where tag = 5", "an instance has ended without an effect, or with one too many"),
    "a lost signal":
        ("insert into chaos.sent select 4711, tag, instance_id, '6-0' from chaos.programs where tag = 6", "a signal is gone"),
    "a signal with a branch that has lost":
        (("insert into df.inbox (instance_id, kind, name, payload, consumed_by) select p.instance_id, 'signal', 'go', '1', n.id"
         " from chaos.programs as p join df.nodes as n on n.instance_id = p.instance_id and n.node_type = 'SIGNAL'"
         " where tag = 6 order by n.ordinal limit 1"), "a signal is with a branch that has lost its race"),
    "signals in the wrong order":
        ("update chaos.fx set payload = '3-1' where tag = 3 and payload = '3-0'",
         "signals were not taken in the order in which they came"),
    "a stuck instance":
        (("insert into df.inbox (instance_id, kind, name, payload, seen) select instance_id, 'signal', 'go', '1', true"
         " from chaos.programs where tag = 6"), "a wait is over and its parked instance is not due"),
    "an instance that waits for nothing":
        ("delete from df.runs where status = 'waiting'", "a parked instance waits for nothing"),
    "an instance that nothing will ever look at":
        ("delete from df.queue", "a live instance is stranded: nothing will ever look at it"),
    "work that nobody takes":
        ("update df.queue set ready_at = '-infinity'", "work is left that nobody takes"),
    "a cancel that was not honoured":
        ("insert into chaos.cancels select instance_id from chaos.programs where tag = 1",
         "an instance was cancelled while it was live, and did not end so"),
    "an end that was taken back":
        (("insert into chaos.audit (instance_id, old_status, new_status) select instance_id, 'completed', 'running'"
         " from chaos.programs where tag = 1"), "a status was changed that is for ever"),
    "a status that went backwards":
        (("insert into chaos.audit (instance_id, old_status, new_status) select instance_id, 'running', 'pending'"
         " from chaos.programs where tag = 6"), "a status went backwards"),
    "a result that was changed after the end":
        (("set local session_replication_role = replica; update df.instances set result = '[]'"
         " where id = (select instance_id from chaos.programs where tag = 1)"), "what has ended was changed later"),
    "an instance that ended otherwise":
        ("update chaos.programs set shape = 'chain' where tag = 4", "an instance ended otherwise than it had to"),
    "a start that is gone":
        ("insert into chaos.programs (tag, shape, instance_id) values (7, 'chain', '00000000')", "a start is gone"),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_the_checker_sees(place: psycopg.Connection[tuple[object, ...]], bug: str) -> None:
    plant, promise = BUGS[bug]
    place.execute(plant.encode())
    assert promise in {violation.promise for violation in check(place, at_end=True)}


def test_a_start_that_was_acknowledged_and_is_gone_is_seen(place: psycopg.Connection[tuple[object, ...]]) -> None:
    found = check(place, at_end=False, acknowledged=[1, 2, 99])
    assert [(violation.promise, violation.what) for violation in found] == [("an acknowledged start is gone", "tag 99")]


def test_an_ended_instance_of_which_only_a_statement_was_cancelled_is_no_violation(
    place: psycopg.Connection[tuple[object, ...]],
) -> None:
    """An administrator who cancels the statement of a step fails the step; nothing else may."""
    place.execute("set local session_replication_role = replica")
    place.execute("update chaos.programs set shape = 'chain' where tag = 4")
    place.execute(
        'update df.instances set error = \'{"message": "canceling statement due to user request", "sqlstate": "57014"}\''
        " where id = (select instance_id from chaos.programs where tag = 4)"
    )
    promise = "an instance ended otherwise than it had to"
    assert promise in {violation.promise for violation in check(place, at_end=True)}
    assert promise not in {violation.promise for violation in check(place, at_end=True, cancelled_by_hand=True)}


def test_the_server_process_of_a_connection_is_read_from_what_it_says_first() -> None:
    key = b"K" + (12).to_bytes(4, "big") + (4711).to_bytes(4, "big") + b"abcd"
    before = b"R" + (8).to_bytes(4, "big") + bytes(4) + b"S" + (9).to_bytes(4, "big") + b"a\0bc\0"
    assert backend_pid(before + key) == 4711
    assert backend_pid(before) is None
