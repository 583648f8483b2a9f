"""A step's text as a database can prepare it: parameters for values, a typed table for rows, text for variables.

A value is a parameter here and a literal when the step runs, so types follow what the worker writes: whole numbers,
numbers with digits and booleans are bare; all else is in quotes and has no type yet, which the server resolves by
its place. Rows have the types that the database gave them. Every stretch of the text knows where it comes from, so the
server's caret finds its way back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pgweave.compiler.facts import reads
from pgweave.compiler.facts.outcomes import Form
from pgweave.grammar.template import Context
from pgweave.runtime.worker.substitution import Rendered, has_alias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Read, Step
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.grammar.nodes import Module
    from pgweave.grammar.template import Placeholder

BOOL, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8, NUMERIC, UNKNOWN = 16, 20, 21, 23, 25, 700, 701, 1700, 0
"""Types as pg_type numbers them; these never change. UNKNOWN: let the server find out."""

# INT2 -> INT4: a literal of a few digits is an integer, whatever type the column had.
_BARE = {INT2: INT4, INT4: INT4, INT8: INT8, FLOAT4: NUMERIC, FLOAT8: NUMERIC, NUMERIC: NUMERIC, BOOL: BOOL}
"""What is written without quotes, and the type that its digits have."""

_BY_NAME = {"bool": BOOL, "int4": INT4, "int8": INT8, "numeric": NUMERIC}

Described: TypeAlias = "tuple[tuple[str, int], ...]"
"""Name and type of each column of a result."""

Soften: TypeAlias = "Callable[[int], int]"


def as_it_is(kind: int) -> int:
    """The type of the column."""
    return kind


def as_integer(kind: int) -> int:
    """A bigint or numeric may well be written with a few digits, and those are an integer."""
    return INT4 if kind in (INT8, NUMERIC) else kind


def as_text(kind: int) -> int:
    """What a literal without a type is where any type would do."""
    return TEXT if kind == UNKNOWN else kind


@dataclass(frozen=True, slots=True)
class Sent:
    """A text to send. types: of its parameters, in order."""

    rendered: Rendered
    types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """Makes the texts of one definition. columns: of the steps that the database has described so far.

    types: the names of the types in them, by number.
    """

    module: Module
    facts: Facts
    columns: dict[Step, Described] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)

    def with_parameters(self, step: Step, statement: Statement, soften: Soften) -> Sent | None:
        """The text of a planned statement.

        None where there is none: an undeclared variable, rows of unknown columns, a place that takes literals only.
        """
        if _takes_literals_only(statement):
            return None
        by_place = {read.reference.placeholder: read for read in self.facts.reads_of(step)}
        found: list[tuple[Placeholder, str]] = []
        types: list[int] = []
        for place in reads.placeholders(statement.text):
            # In quotes the value becomes a part of a literal, whose type does not depend on it.
            if place.brace or place.context is not Context.CODE:
                continue
            read = by_place.get(place)
            if place.star:
                rows = None if read is None else self._rows(read)
                if read is None or rows is None:
                    return None
                named = "" if has_alias(statement.text, place.span.end) else f" AS {_identifier(read.reference.name)}"
                found.append((place, rows + named))
            else:
                # Parameters are numbered in the order of the text: $1, $2, ..
                types.append(soften(UNKNOWN if read is None else self._type(read)))
                found.append((place, f"${len(types)}"))
        variables = self._variables(statement)
        return None if variables is None else Sent(_spliced(statement.text, [*found, *variables]), tuple(types))

    def with_variables(self, step: Step, statement: Statement) -> Sent | None:
        """The text of a statement that reads no results; None when it reads any, or an undeclared variable."""
        if any(not read.undefined for read in self.facts.reads_of(step)):
            return None
        variables = self._variables(statement)
        return None if variables is None else Sent(_spliced(statement.text, variables))

    def _variables(self, statement: Statement) -> list[tuple[Placeholder, str]] | None:
        label = self.facts.definition.label
        values: Mapping[str, str] = {
            **{one.name: one.value for one in self.module.variables if one.value is not None},
            # Any id of the right length.
            "sys_instance_id": "00000000",
            "sys_label": label.value if label is not None else "",
        }
        found = []
        for place in reads.placeholders(statement.text):
            if not place.brace or place.context is Context.COMMENT:
                continue
            if place.name in values:
                found.append((place, values[place.name]))
            # An undeclared variable within quotes does no harm to the syntax; in code it could be anything.
            elif place.context is Context.CODE:
                return None
        return found

    def _type(self, read: Read) -> int:
        """Type of the literal that the worker writes for a value; UNKNOWN for one in quotes, or one that may differ."""
        place = read.reference.placeholder
        found: set[int] = set()
        for columns in self._results(read):
            if place is None or not columns:
                return UNKNOWN
            kind = columns[0][1] if place.column is None else dict(columns).get(place.column, UNKNOWN)
            found.add(_BARE.get(kind, UNKNOWN))
        # Two possible binders with different types: the literal may be of either.
        return found.pop() if len(found) == 1 else UNKNOWN

    def _rows(self, read: Read) -> str | None:
        """The table that `$name.*` becomes, of the types that the database has told."""
        first, *others = self._results(read)
        if first is None or any(columns != first for columns in others):
            return None
        # One row of typed NULLs: only the types of the columns matter to Parse.
        items = [f"NULL::{self.types.get(kind, 'text')} AS {_identifier(name)}" for name, kind in first]
        return f"(SELECT {', '.join(items)})"

    def _results(self, read: Read) -> Iterator[Described | None]:
        """Columns and types of everything a name may stand for, at least one; None for what is not known."""
        results = self.facts.bound(read)
        if not results:
            yield None
        for result in results:
            if result.step in self.columns:
                yield self.columns[result.step]
            elif result.form is Form.OBJECT and result.columns is not None:
                yield tuple((column.name, _BY_NAME.get(column.type or "", UNKNOWN)) for column in result.columns)
            else:
                yield None


def _takes_literals_only(statement: Statement) -> bool:
    """Whether the parser took the text only with string literals for values, as in `date $x`."""
    values = [place for place in statement.placeholders if not place.star and not place.brace]
    return any(statement.masked[place.span.start] == "'" for place in values)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _spliced(text: str, found: list[tuple[Placeholder, str]]) -> Rendered:
    """The text with each of these in the place of its placeholder."""
    parts: list[str] = []
    pieces = [(0, 0)]
    length = at = 0
    for place, new in sorted(found, key=lambda pair: pair[0].span):
        parts += [text[at : place.span.start], new]
        length += place.span.start - at
        pieces += [(length, place.span.start), (length + len(new), place.span.end)]
        length += len(new)
        at = place.span.end
    return Rendered("".join([*parts, text[at:]]), tuple(pieces))
