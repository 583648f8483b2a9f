"""What a step may result in: rows of SQL, the object that a wait or request answers with, the array of a JOIN.

Form and columns only; which step results in what is found out by `facts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pgweave.compiler.facts.sqltree import Column, Columns

if TYPE_CHECKING:
    from pgweave.compiler.facts.flow import Step
    from pgweave.grammar.nodes import CallChild


class Form(Enum):
    """What a result looks like."""

    ROWS = "rows"  # of SQL
    OBJECT = "object"  # the answer of a wait or a request: one JSON object
    ARRAY = "array"  # of a JOIN: one element for each branch
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Result:
    """One thing a step may result in. step: the leaf (or JOIN) that makes it.

    columns: what `$name.column` may ask for; None when that is not known. optional: columns that are not always there.
    """

    form: Form
    step: Step
    columns: Columns
    optional: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns, if they are known."""
        return None if self.columns is None else tuple(column.name for column in self.columns)


def _object(*columns: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in (text.split() for text in columns))


SIGNAL = _object("signal_name text", "timed_out bool", "data jsonb")
HTTP = _object("status int4", "body text", "encoding text", "headers jsonb", "ok bool", "duration_ms int4")
AWAITED = _object("instance_id text", "status text", "result jsonb")
SLEPT = _object("slept bool", "seconds int4")
SCHEDULED = _object("scheduled bool")


def awaited(step: Step, node: CallChild) -> Result:
    """The envelope of a child; what comes only when it fails or takes too long is optional."""
    kept = {
        name: Column(name, kind)
        for option, name, kind in (("on_failure", "error", "text"), ("on_timeout", "timed_out", "bool"))
        if (given := node.option(option)) and given.value == "return"
    }
    # A wait that is over without its child says so in `error` too.
    if "timed_out" in kept:
        kept.setdefault("error", Column("error", "text"))
    return Result(Form.OBJECT, step, (*AWAITED, *kept.values()), frozenset(kept))
