"""The lock order stated at the top of runtime/sql/schema/10_schemas.sql, where two functions could meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from support.work import Database

IMPATIENT = "-c lock_timeout=2s"


def test_a_renewal_waits_for_no_lock_and_keeps_the_lease_that_is_locked(quiet: Database) -> None:
    """The end of a child holds its own queue row and wants its parent's; a renewal of both must not do the reverse."""
    ids = [quiet.start("'SELECT 1'") for _ in range(2)]
    tokens = dict(quiet.sql("select instance_id, token from df_internal.worker_claim('by hand', 2, 60)"))
    before = dict(quiet.sql("select instance_id, leased_until from df.queue"))
    with (
        psycopg.connect(quiet.dsn) as ending,
        psycopg.connect(quiet.dsn, autocommit=True, options=IMPATIENT) as worker,
    ):
        ending.execute("delete from df.queue where instance_id = %s", [ids[0]])
        row = worker.execute(
            "select df_internal.worker_renew(%s, %s, '[]', 3600)", [ids, list(tokens.values())]
        ).fetchone()
        ending.rollback()
    assert row is not None
    assert set(row[0]) == set(tokens.values())
    after = dict(quiet.sql("select instance_id, leased_until from df.queue"))
    assert [after[found] > before[found] for found in ids] == [False, True]
    quiet.sql("delete from df.queue where instance_id = %s", ids[0])
    ((left,),) = quiet.sql("select df_internal.worker_renew(%s, %s, '[]', 60)", ids, list(tokens.values()))
    assert left == [tokens[ids[1]]]
    quiet.sql(
        "insert into df.queue (instance_id, submitted_by) select id, submitted_by from df.instances where id = %s",
        ids[0],
    )


def test_a_checkpoint_locks_its_queue_row_before_its_node(quiet: Database) -> None:
    """As a renewal does, which shows a long step in its node: else the two could wait for each other."""
    instance = quiet.start("'SELECT 1'")
    ((token,),) = quiet.sql("select token from df_internal.worker_claim('by hand', 1, 60)")
    quiet.sql("update df.queue set attempts = 2")
    ((node,),) = quiet.sql("select id from df.nodes")
    with (
        psycopg.connect(quiet.dsn) as renewal,
        psycopg.connect(quiet.dsn, autocommit=True, options=IMPATIENT) as step,
    ):
        renewal.execute("select from df.queue for no key update")
        renewal.execute("select from df.nodes for no key update")
        with pytest.raises(psycopg.errors.LockNotAvailable) as waited:
            step.execute("select df_internal.exec_node(%s, %s, '{}', %s, 'SELECT 1', 1, 1000)", [instance, node, token])
        renewal.rollback()
    assert 'relation "queue"' in str(waited.value)


def test_people_do_not_block_a_worker_with_an_open_transaction(quiet: Database) -> None:
    instance = quiet.start("'SELECT 1'")
    ((token,),) = quiet.sql("select token from df_internal.worker_claim('by hand', 1, 60)")
    with (
        psycopg.connect(quiet.dsn) as person,
        psycopg.connect(quiet.dsn, autocommit=True, options=IMPATIENT) as worker,
    ):
        person.execute("select df.signal(%s, 'go'), df.cancel(%s)", [instance, instance])
        worker.execute("select df_internal.worker_load(%s, %s)", [instance, token])
        worker.execute("select df_internal.worker_settle(%s, %s, false)", [instance, token])
        ended = worker.execute(
            "select df_internal.worker_finish(%s, %s, 'completed', '1', null, '[]')", [instance, token]
        ).fetchone()
        person.rollback()
    assert ended == ("completed",)
