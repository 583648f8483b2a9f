"""The steps of a run as a table: what each is doing, what ran, what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.observe import display
from pgweave.observe.display import Result
from pgweave.observe.sentences import outline, title

if TYPE_CHECKING:
    from pgweave.observe.run_state import RunState, StepState

COLUMNS = ("step", "state", "seconds", "attempts", "turn", "sql", "result", "error", "instance")


def table(state: RunState) -> Result:
    """A row for each step but sequences; columns that say nothing are left out."""
    rows = [dict(zip(COLUMNS, _row(step, indent), strict=True)) for step, indent in outline(state)]
    used = [column for column in COLUMNS if any(row[column] is not None for row in rows)]
    return Result({"columns": used, "rows": rows, "row_count": len(rows)})


def _row(step: StepState, indent: int) -> tuple[object, ...]:
    run = step.run
    return (
        "\N{NO-BREAK SPACE}" * 2 * indent + title(step),
        step.state,
        None if step.seconds is None else round(step.seconds, 3),
        run.attempts if run is not None and (run.attempts or 0) > 1 else None,
        ".".join(map(str, step.iteration)) or None,
        step.ran,
        _value(step.result),
        step.message,
        step.instance.id if step.instance is not None else None,
    )


def _value(result: str | None) -> object:
    """A step's result; of rows, the rows."""
    value = display.result(result)
    return value.rows if isinstance(value, Result) else value
