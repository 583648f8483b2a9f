"""What must be true of a chaos run's database, asked while it runs and when everything has ended.

Builds on the checker that every fault test ends with (support.checker) and adds what only this run knows: how often each
step has to have left its mark, which signals were sent, what was cancelled, how each status changed. It reads rows and
nothing else, so hand-made rows can show that it goes red.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaos.shapes import BY_NAME
from support.checker import LEFT_OVER, MUST_BE_EMPTY, wrong

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg
    from chaos.shapes import Shape

# Sessions whose link is silent or whose worker stands still may be in the middle of a transaction: asked at the end only.
NOT_WHILE_RUNNING = ("one of our sessions is idle in a transaction", "a prepared transaction was left behind")
# These compare two readings of the clock, of which the later one may be smaller when the clock was set back in between.
OF_A_STEADY_CLOCK = (
    "the loser of a race still waits for something, or began something afterwards",
    "something ended before it was due",
)

OF_A_CLOCK_THAT_HAS_CAUGHT_UP = ("a wait is over and its parked instance is not due",)

ENDED = "('completed', 'failed', 'cancelled')"
MARKS = r"'chaos\.mark\((\d+), ''(\w+)''(?:\)|, (\d+))'"
REPEATABLE = sorted({step for shape in BY_NAME.values() for step in shape.repeatable})

# Each question lists what must not be there: the instance, the node or step, and what was found.
AT_ANY_TIME = {
    "a step had its effect more than once":
        "select coalesce(p.instance_id, ''), f.step, concat('turn ', f.turn, ': ', count(*), ' times')"
        " from chaos.fx as f left join chaos.programs as p using (tag)"
        " where f.step <> all (%(repeatable)s) group by p.instance_id, f.tag, f.step, f.turn having count(*) > 1",
    "a step is recorded and its effect is not there":
        "select r.instance_id, r.node_id, r.query from df.runs as r cross join lateral"
        f" regexp_match(r.query, {MARKS}) as m where r.status = 'completed' and m is not null and not exists"
        " (select from chaos.fx as f where f.tag = m[1]::integer and f.step = m[2] and f.turn = coalesce(m[3], '0')::integer)",
    "an effect is there and its step is not recorded":
        "select p.instance_id, f.step, f.xid::text from chaos.fx as f join chaos.programs as p using (tag)"
        " where f.step <> all (%(repeatable)s) and f.turn = 0"
        "  and not exists (select from df.runs as r where r.instance_id = p.instance_id and r.status = 'completed'"
        "   and strpos(r.query, concat('chaos.mark(', f.tag, ', ''', f.step, '''')) > 0)"
        "  and not exists (select from df.instances as i join df.runs as r on r.instance_id = i.id"
        "   where i.parent_instance_id = p.instance_id and r.status = 'completed'"
        "   and strpos(r.query, concat('chaos.mark(', f.tag, ', ''', f.step, '''')) > 0)",
    "a signal is gone":
        "select s.instance_id, s.inbox_id::text, s.payload from chaos.sent as s"
        " where not exists (select from df.inbox as b where b.id = s.inbox_id)"
        "  and not exists (select from chaos.fx as f where f.tag = s.tag and f.payload = s.payload)",
    "a status was changed that is for ever":
        f"select instance_id, '', concat(old_status, ' -> ', new_status) from chaos.audit where old_status in {ENDED}"
        " and (new_status <> old_status or ended is distinct from (select b.ended from chaos.audit as b"
        "  where b.instance_id = audit.instance_id and b.id < audit.id order by b.id desc limit 1))",
    "a status went backwards":
        "select instance_id, '', concat(old_status, ' -> ', new_status) from chaos.audit where new_status = 'pending'",
    "what has ended was changed later":
        "select i.id, '', i.status from df.instances as i join lateral (select a.ended from chaos.audit as a"
        "  where a.instance_id = i.id and a.ended is not null order by a.id limit 1) as a on true"
        " where a.ended is distinct from chaos.ended(i)",
}  # fmt: skip

AT_THE_END = {
    "a start is gone":
        "select p.instance_id, '', p.shape from chaos.programs as p"
        " where not exists (select from df.instances as i where i.id = p.instance_id)",
    "an instance has not ended":
        "select i.id, coalesce((select string_agg(concat_ws(' ', r.node_id, n.node_type, r.signal_name, r.awaited_id, r.due_at), '; ')"
        "  from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id"
        "  where r.instance_id = i.id and r.status = 'waiting'), 'waits for nothing'),"
        " concat_ws(' ', i.status, p.shape, q.worker, 'attempts', q.attempts, 'ready', q.ready_at, 'leased until', q.leased_until)"
        " from df.instances as i left join chaos.programs as p on p.instance_id = i.id"
        f" left join df.queue as q on q.instance_id = i.id where i.status not in {ENDED}",
    "an instance was cancelled while it was live, and did not end so":
        "select c.instance_id, '', i.status from chaos.cancels as c join df.instances as i on i.id = c.instance_id"
        " where i.status <> 'cancelled'",
}  # fmt: skip

OUT_OF_ORDER = "signals were not taken in the order in which they came"

EFFECTS = """
select p.tag, p.shape, p.instance_id, i.status, concat(i.error ->> 'sqlstate', ' ', i.error ->> 'message'),
       exists (select from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id
               where r.instance_id = i.id and n.node_type = 'RACE' and r.result::text <> '0'),
       coalesce(jsonb_agg(jsonb_build_array(f.step, f.turn, f.payload) order by f.id) filter (where f.id is not null), '[]')
from chaos.programs as p join df.instances as i on i.id = p.instance_id left join chaos.fx as f on f.tag = p.tag
where i.status in ('completed', 'failed', 'cancelled') group by p.tag, i.id
"""
SENT = "select tag, array_agg(payload order by inbox_id) from chaos.sent group by tag"


@dataclass(frozen=True, order=True)
class Violation:
    """What must not be. node: of the instance, or the step by name; what: what was found instead."""

    promise: str
    instance: str
    node: str
    what: str


def check(
    connection: psycopg.Connection[Any],
    *,
    at_end: bool,
    steady_clock: bool = True,
    clock_is_behind: bool = False,
    cancelled_by_hand: bool = False,
    acknowledged: Collection[int] = (),
) -> list[Violation]:
    """Everything that is wrong, each question about one snapshot.

    at_end: everything had the time to end. steady_clock: it was never set back. clock_is_behind: it shows less than it has
    shown before, so that what was due then is not due yet. cancelled_by_hand: statements were
    cancelled by an administrator, which fails their step. acknowledged: tags of the starts whose commit was.
    """
    left_out = (() if at_end else NOT_WHILE_RUNNING) + (() if steady_clock else OF_A_STEADY_CLOCK)
    left_out += OF_A_CLOCK_THAT_HAS_CAUGHT_UP if clock_is_behind else ()
    questions = {text: query for text, query in MUST_BE_EMPTY.items() if text not in left_out}
    found = [
        Violation(promise, _instance(row), "", str(row)[:500])
        for promise, rows in wrong(connection, questions | (LEFT_OVER if at_end else {})).items()
        for row in rows
    ]
    for promise, query in (AT_ANY_TIME | (AT_THE_END if at_end else {})).items():
        for instance, node, what in connection.execute(query.encode(), {"repeatable": REPEATABLE}):
            found.append(Violation(promise, str(instance), str(node), str(what)))
    if at_end:
        found += _outcomes(connection, cancelled_by_hand=cancelled_by_hand)
    there = {tag for (tag,) in connection.execute("select tag from chaos.programs")}
    found += [
        Violation("an acknowledged start is gone", "", "", f"tag {tag}") for tag in sorted({*acknowledged} - there)
    ]
    return sorted(set(found))


def _instance(row: str) -> str:
    """The instance in a row of the shared checker, which begins with it."""
    return next(iter(part for part in row.split('"') if len(part) == 8 and part.isalnum()), "")


def _outcomes(connection: psycopg.Connection[Any], *, cancelled_by_hand: bool) -> list[Violation]:
    sent: dict[int, list[str]] = dict(connection.execute(SENT).fetchall())
    found = []
    for tag, name, instance, status, error, left_lost, effects in connection.execute(EFFECTS):
        shape = BY_NAME[name]
        if status == "failed" and cancelled_by_hand and "canceling statement due to user request" in error:
            continue
        if status != shape.ends and not (shape.patient and status == "cancelled"):
            found.append(Violation("an instance ended otherwise than it had to", instance, name, f"{status}: {error}"))
            continue
        found += [
            Violation("an instance has ended without an effect, or with one too many", instance, step, what)
            for step, what in wrong_effects(shape, [(str(s), int(t)) for s, t, _ in effects])
        ]
        if shape.signals is not None and status == "completed":
            # What a branch took that then lost its race is for the next wait again, although its mark may be there.
            lost = shape.left if left_lost else frozenset()
            taken = [payload for step, _, payload in effects if payload is not None and step not in lost]
            if taken != (first := sent.get(tag, [])[: len(taken)]):
                found.append(Violation(OUT_OF_ORDER, instance, name, f"{taken}, not {first}"))
    return found


def wrong_effects(shape: Shape, effects: list[tuple[str, int]]) -> list[tuple[str, str]]:
    """(step, what is wrong) of an instance that has come to its end."""
    turns: dict[str, Counter[int]] = defaultdict(Counter)
    for step, turn in effects:
        turns[step][turn] += 1
    found = []
    if shape.ends != "cancelled":
        found += [(step, "0 times") for step in shape.required | shape.repeatable if step not in turns]
    for step, counted in turns.items():
        if step in shape.repeatable:
            continue
        if step in shape.turns:
            last = shape.turns[step]
            wanted = Counter(range(1, last + 1)) if last > 0 else Counter([-last])
            if counted != wanted:
                found.append((step, f"turns {sorted(counted.elements())}"))
        elif step not in shape.required | shape.optional:
            found.append((step, "it must not run"))
        elif counted.total() != 1:
            found.append((step, f"{counted.total()} times"))
    found += [(step, "0 times") for step in shape.turns if step not in turns]
    return found
