"""The checker every fault test ends with: what must be true of a database whatever happened to its workers.

`check` may be asked at any moment, also while workers work: each question is about one snapshot. Effects are counted in
the append-only table `fx (step text, ...)`, if the test made one: without a unique key, so that a duplicate shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from pgweave.compiler.rows import Graph, Row
from pgweave.runtime.worker.advance import Run, advance

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDED = "('completed', 'failed', 'cancelled')"

_LOST = (
    "recursive lost (instance_id, race, iteration, decided_at, id) as ("
    "  select r.instance_id, r.node_id, r.iteration, r.finished_at, e.child_id"
    "  from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id and n.node_type = 'RACE'"
    "  join df.edges as e on e.instance_id = r.instance_id and e.parent_id = r.node_id"
    "   and e.branch = case r.result::text when '0' then 2 else 1 end"
    "  union all select l.instance_id, l.race, l.iteration, l.decided_at, e.child_id"
    "  from lost as l join df.edges as e on e.instance_id = l.instance_id and e.parent_id = l.id)"
)

# A signal is in exactly one place: in the inbox for any wait, or with a finished wait of a branch that goes on. Signals of
# a loop's turn are removed when the turn is over. Asked after every transaction of every run in lockstep.
SIGNALS = {
    "a signal is with a branch that has lost its race":
        f"with {_LOST} select b.instance_id, b.name, b.consumed_by, l.race from lost as l"
        " join df.inbox as b on b.instance_id = l.instance_id and b.consumed_by = l.id",
    "a signal is with a wait that has not finished with it":
        "select b.instance_id, b.name, b.consumed_by from df.inbox as b where b.consumed_by is not null and not exists"
        " (select from df.runs as r where r.instance_id = b.instance_id and r.node_id = b.consumed_by"
        "  and r.status = 'completed' and r.signal_name = b.name and r.result::jsonb -> 'data' = b.payload::jsonb)",
    "a wait took two signals":
        "select b.instance_id, b.consumed_by, count(*) from df.inbox as b where b.consumed_by is not null"
        " group by 1, 2 having count(*) > 1",
    "a finished wait has a signal that it did not take":
        "select r.instance_id, r.node_id, r.result::text from df.runs as r where r.signal_name is not null"
        " and r.status = 'completed' and r.result ->> 'timed_out' = 'false' and not exists (select from df.inbox as b"
        "  where b.instance_id = r.instance_id and b.consumed_by = r.node_id)",
}  # fmt: skip

# Each question lists what must not be there; the text says what it would mean. A lease counts while it has not run out
# or a step holds its row; such an instance is somebody's business.
MUST_BE_EMPTY = {
    "an ended instance is still queued":
        f"select i.id, i.status from df.instances as i join df.queue as q on q.instance_id = i.id where i.status in {_ENDED}",
    "a live instance is stranded: nothing will ever look at it":
        "select i.id, i.status from df.instances as i left join df.queue as q on q.instance_id = i.id"
        f" where i.status not in {_ENDED} and q.instance_id is null",
    "a leased instance that nobody would take over if its worker died":
        "select q.instance_id from df.queue as q where q.token is not null and q.ready_at = 'infinity'"
        " and not exists (select from df.inbox as b where b.instance_id = q.instance_id and not b.seen)",
    "a wait is over and its parked instance is not due":
        "select r.instance_id, r.node_id, r.due_at, r.awaited_id, r.signal_name from df.runs as r"
        " join df.queue as q on q.instance_id = r.instance_id"
        " where r.status = 'waiting' and q.token is null and q.ready_at > df.clock()"
        " and not exists (select from df.inbox as b where b.instance_id = q.instance_id and not b.seen) and ("
        "  r.due_at <= df.clock()"
        f"  or exists (select from df.instances as i where i.id = r.awaited_id and i.status in {_ENDED})"
        "  or exists (select from df.inbox as b where b.instance_id = r.instance_id and b.kind = 'signal'"
        "             and b.name = r.signal_name and b.consumed_by is null and b.sent_at <= coalesce(r.due_at, 'infinity')))",
    "a parked instance waits for nothing":
        "select q.instance_id from df.queue as q where q.token is null and q.ready_at = 'infinity'"
        " and not exists (select from df.runs as r where r.instance_id = q.instance_id and r.status = 'waiting')"
        " and not exists (select from df.inbox as b where b.instance_id = q.instance_id and not b.seen)",
    "an ended instance still waits for something":
        "select r.instance_id, r.node_id from df.runs as r join df.instances as i on i.id = r.instance_id"
        f" where r.status = 'waiting' and i.status in {_ENDED}",
    "the loser of a race still waits for something, or began something afterwards":
        f"with {_LOST} select l.instance_id, l.race, r.node_id, r.status from lost as l"
        " join df.runs as r on r.instance_id = l.instance_id and r.node_id = l.id"
        "  and r.iteration[:cardinality(l.iteration)] = l.iteration"
        " where r.status = 'waiting' or r.started_at > l.decided_at",
    "a completed instance has no result, or another one has":
        "select id, status from df.instances where (status = 'completed') <> (result is not null)",
    "a result is not what the step at the root came to":
        "select i.id, i.result, r.result from df.instances as i"
        " join df.runs as r on r.instance_id = i.id and r.node_id = i.root_node"
        " join df.nodes as n on n.instance_id = i.id and n.id = i.root_node and n.left_node is null"
        " where i.status = 'completed' and i.result::text is distinct from r.result::text",
    "a failed instance does not say why":
        "select id from df.instances where status = 'failed' and error ->> 'message' is null",
    "an ended instance has no end, or a live one has":
        f"select id, status from df.instances where (status in {_ENDED}) <> (completed_at is not null)",
    "something ended before it was due":
        "select instance_id, node_id from df.runs where status = 'completed' and awaited_id is null"
        " and signal_name is null and finished_at < due_at",
    "a node is shown as running, and its branch has lost or its instance has ended":
        f"with {_LOST} select l.instance_id, l.id from lost as l join df.nodes as n on n.instance_id = l.instance_id"
        "  and n.id = l.id where n.status = 'running'"
        " union all select n.instance_id, n.id from df.nodes as n join df.instances as i on i.id = n.instance_id"
        f" where n.status = 'running' and i.status in {_ENDED}",
    **SIGNALS,
    "a child was started twice by one step":
        "select parent_instance_id, parent_node_id, count(*) from df.instances as i"
        " where parent_node_id is not null and not exists (select from df.nodes as n where n.instance_id = i.parent_instance_id"
        " and n.node_type = 'LOOP') group by 1, 2 having count(*) > 1",
    "the history of a loop grows":
        "select r.instance_id, count(*) from df.runs as r group by 1"
        " having count(*) > 2 * (select count(*) from df.nodes as n where n.instance_id = r.instance_id)",
    "a prepared transaction was left behind":
        "select gid from pg_prepared_xacts where database = current_database()",
    "one of our sessions is idle in a transaction":
        "select pid, application_name, query from pg_stat_activity where datname = current_database()"
        " and starts_with(application_name, 'pgweave ') and starts_with(state, 'idle in transaction')",
}  # fmt: skip

# Only when every worker has had its chance.
LEFT_OVER = {
    "work is left that nobody takes":
        "select q.instance_id from df.queue as q where q.leased_until <= df.clock() and (q.ready_at <= df.clock()"
        " or exists (select from df.inbox as b where b.instance_id = q.instance_id and not b.seen))",
}  # fmt: skip

# Instances that no worker has and that nothing makes due, with all that `advance` asks for. distant: for longer than any
# step is deferred beside waits, or a turn of a loop throttled.
PARKED = (
    "select i.id, i.variables, q.ready_at > df.clock() + interval '60 seconds' as distant,"
    " (select json_agg(json_build_object('id', n.id, 'node_type', n.node_type, 'query', n.query, 'result_name', n.result_name,"
    "  'left_node', n.left_node, 'right_node', n.right_node) order by n.ordinal) from df.nodes as n where n.instance_id = i.id),"
    " (select coalesce(json_agg(json_build_array(r.node_id, r.iteration, r.status, r.result::text, r.error,"
    "  extract(epoch from r.finished_at), extract(epoch from r.started_at))), '[]') from df.runs as r where r.instance_id = i.id)"
    f" from df.instances as i join df.queue as q on q.instance_id = i.id where i.status not in {_ENDED}"
    " and q.token is null and q.ready_at > df.clock()"
    " and q.checked_nodes = (select count(*) from df.nodes as n where n.instance_id = i.id)"
    " and not exists (select from df.inbox as b where b.instance_id = i.id and not b.seen)"
    " limit 1000"
)

EFFECTS = "select step, count(*) from fx group by step having count(*) <> 1"


def check(dsn: str, *, worked_off: bool = False) -> None:
    """Fail with everything that is wrong. worked_off: workers have had all the time they need."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = wrong(connection)
        if stuck := could_go_on(connection):
            found["a parked instance could go on"] = stuck
        if worked_off:
            found |= wrong(connection, LEFT_OVER)
        (counted,) = connection.execute("select to_regclass('fx') is not null").fetchone() or (False,)
        if counted and (twice := connection.execute(EFFECTS).fetchall()):
            found["an effect happened more than once"] = twice
    assert not found, found


def could_go_on(connection: psycopg.Connection[Any]) -> list[str]:
    """Parked instances for which `advance` knows something to do: no wait has to end first, and nobody would look."""
    found = []
    for instance, variables, distant, nodes, recorded in connection.execute(PARKED.encode()):
        runs = {
            (node_id, tuple(turn)): Run(status, result, error, finished or 0.0, started or 0.0)
            for node_id, turn, status, result, error, finished, started in recorded
        }
        plan = advance(Graph(rows=tuple(Row(**node) for node in nodes)), runs, variables=variables)
        if plan.decisions or plan.outcome is not None or (plan.todo and distant):
            found.append(f"{instance}: {[todo.key for todo in plan.todo]} {plan.decisions} {plan.outcome}")
    return found


def wrong(connection: psycopg.Connection[Any], questions: Mapping[str, str] = MUST_BE_EMPTY) -> dict[str, list[Any]]:
    """What is wrong, by what it would mean; asked in one statement, so that it is one moment."""
    asked = " union all ".join(
        f"(select %s::text, to_jsonb(found)::text from ({query}) as found)" for query in questions.values()
    )
    answer: dict[str, list[Any]] = {}
    for question, row in connection.execute(asked.encode(), list(questions)):
        answer.setdefault(question, []).append(row)
    return answer
