"""What a chaos run starts: workflows of every kind, each with what has to have happened when it has ended.

Each step that has an effect says so by chaos.mark(tag, step, turn, payload) in its own transaction; `tag` is a number
of its own for each instance. `required` steps are there once when the instance is completed, `optional` ones (branches
that lost a race) at most once, and of a step in `turns` each turn once. `repeatable` ones run outside of a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SIGNALS = 3


@dataclass(frozen=True)
class Shape:
    """program: SQL expression with %TAG% and %URL%. signals: (name, how many) that it needs. left: steps of the left branch
    of its race. ends: the status it comes to. patient: ends only when it is cancelled. weight: how often it is started.
    A negative number in `turns` is the one turn that there is.
    """

    name: str
    program: str
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    turns: dict[str, int] = field(default_factory=dict)
    repeatable: frozenset[str] = frozenset()
    signals: tuple[str, int] | None = None
    left: frozenset[str] = frozenset()
    ends: str = "completed"
    role: str = "app"
    patient: bool = False
    weight: int = 4

    def text(self, tag: int, url: str) -> str:
        return self.program.replace("%TAG%", str(tag)).replace("%URL%", url)


def mark(step: str, seconds: float = 0.0) -> str:
    """A step that leaves its mark, after so many seconds."""
    pause = f", pg_sleep({seconds})" if seconds else ""
    return f"$$SELECT chaos.mark(%TAG%, '{step}'){pause}$$"


def _steps(*names: str) -> frozenset[str]:
    return frozenset(names)


SHAPES = (
    Shape("chain", " ~> ".join(mark(name, 0.02) for name in "abcdef"), _steps(*"abcdef"), weight=8),
    Shape(
        "join",
        f"({mark('a', 0.05)} & ({mark('b')} ~> {mark('c')}) & ({mark('d')} ~> df.sleep(0) ~> {mark('e')})) ~> {mark('f')}",
        _steps(*"abcdef"),
        weight=6,
    ),
    Shape(
        "race with a timer",
        f"(({mark('quick', 0.3)} ~> {mark('after')}) | (df.sleep(1) ~> {mark('late')})) ~> {mark('end')}",
        _steps("end"),
        _steps("quick", "after", "late"),
    ),
    Shape(
        "race with a signal",
        "(((df.wait_for_signal('go') |=> 's') ~> $$SELECT chaos.mark(%TAG%, 'won', 0, $s.data)$$)"
        f" | (df.sleep(1) ~> {mark('late')}))"
        " ~> (df.wait_for_signal('go') |=> 't') ~> $$SELECT chaos.mark(%TAG%, 'then', 0, $t.data)$$",
        _steps("then"),
        _steps("won", "late"),
        signals=("go", 2),
        left=_steps("won"),
        weight=6,
    ),
    Shape(
        "signals of a loop",
        "('SELECT 1 AS n' |=> 't') ~> df.loop((df.wait_for_signal('item') |=> 's')"
        " ~> ($$SELECT chaos.mark(%TAG%, 'item', $t.n, $s.data) + 1 AS n$$ |=> 't'), 'SELECT $t.n <= 3')"
        f" ~> {mark('end')}",
        _steps("end"),
        turns={"item": SIGNALS},
        signals=("item", SIGNALS),
    ),
    Shape(
        "loop",
        "('SELECT 1 AS n' |=> 't') ~> df.loop($$SELECT chaos.mark(%TAG%, 'turn', $t.n) + 1 AS n$$ |=> 't',"
        f" 'SELECT $t.n <= 8') ~> {mark('end')}",
        _steps("end"),
        turns={"turn": 8},
        weight=6,
    ),
    Shape("schedule", f"{mark('a')} ~> df.wait_for_schedule('* * * * *') ~> {mark('b')}", _steps("a", "b"), weight=0),
    Shape(
        "child",
        f"(df.call_child({mark('one')} ~> df.sleep(0) ~> {mark('two')}) & {mark('beside')}) ~> {mark('end')}",
        _steps("one", "two", "beside", "end"),
    ),
    Shape("HTTP", f"df.http('%URL%?tag=%TAG%', 'POST', 'x') ~> {mark('end')}", _steps("end"), role="web"),
    Shape(
        "procedure that commits",
        f"'CALL chaos.settle(%TAG%, ''settled'')' ~> {mark('end')}",
        _steps("end"),
        repeatable=_steps("settled", "settled_rest"),
    ),
    Shape(
        "rows",
        "'SELECT n, n * 2 AS twice FROM generate_series(1, 20) AS n' |=> 'r'"
        " ~> $$SELECT chaos.mark(%TAG%, 'sum', sum(twice)::integer) FROM $r.* AS r$$",
        turns={"sum": -420},
    ),
    Shape(
        "failure",
        f"{mark('before')} ~> 'SELECT 1 / 0' ~> {mark('never')}",
        _steps("before"),
        ends="failed",
        weight=2,
    ),
    Shape(
        "to be cancelled",
        f"{mark('a')} ~> ({mark('b', 0.2)} & df.wait_for_signal('never')) ~> {mark('never')}",
        optional=_steps("a", "b"),
        ends="cancelled",
        patient=True,
        weight=4,
    ),
)
BY_NAME = {shape.name: shape for shape in SHAPES}
