"""The checker every fault test ends with: what must be true of a database whatever happened to its workers.

Effects are counted in the append-only table `fx (step text, ...)`, if the test made one: without a unique key, so that
a duplicate shows.
"""

from __future__ import annotations

import psycopg

# Each question lists what must not be there; the text says what it would mean.
MUST_BE_EMPTY = {
    "an ended instance is still queued":
        "select i.id, i.status from df.instances as i join df.queue as q on q.instance_id = i.id"
        " where i.status in ('completed', 'failed', 'cancelled')",
    "a live instance is stranded: nothing will ever look at it":
        "select i.id, i.status from df.instances as i left join df.queue as q on q.instance_id = i.id"
        " where i.status in ('pending', 'running') and q.instance_id is null",
    "an ended instance still waits for something":
        "select r.instance_id, r.node_id from df.runs as r join df.instances as i on i.id = r.instance_id"
        " where r.status = 'waiting' and i.status in ('completed', 'failed', 'cancelled')",
    "a completed instance has no result, or another one has":
        "select id, status from df.instances where (status = 'completed') <> (result is not null)",
    "a failed instance does not say why":
        "select id from df.instances where status = 'failed' and error ->> 'message' is null",
    "an ended instance has no end, or a live one has":
        "select id, status from df.instances"
        " where (status in ('completed', 'failed', 'cancelled')) <> (completed_at is not null)",
    "something ended before it was due":
        "select instance_id, node_id from df.runs where status = 'completed' and awaited_id is null"
        " and signal_name is null and finished_at < due_at",
    "a child was started twice by one step":
        "select parent_instance_id, parent_node_id, count(*) from df.instances as i"
        " where parent_node_id is not null and not exists (select from df.nodes as n where n.instance_id = i.parent_instance_id"
        " and n.node_type = 'LOOP') group by 1, 2 having count(*) > 1",
    "a prepared transaction was left behind":
        "select gid from pg_prepared_xacts where database = current_database()",
}  # fmt: skip

EFFECTS = "select step, count(*) from fx group by step having count(*) <> 1"


def check(dsn: str) -> None:
    """Fail with everything that is wrong."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        wrong = {what: connection.execute(question.encode()).fetchall() for what, question in MUST_BE_EMPTY.items()}
        counted = connection.execute("select to_regclass('fx') is not null").fetchone()
        if counted is not None and counted[0]:
            wrong["an effect happened more than once"] = connection.execute(EFFECTS).fetchall()
    found = {what: rows for what, rows in wrong.items() if rows}
    assert not found, found
