"""Checks of what is read: that the result has such a column, that it is one row, that there is a row at all.

All of them need to know what a result looks like. Where the text does not show it (a star, an unknown function, an
expression of the database's) they say nothing. A step that reads the same result five times gets one finding.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pgweave.compiler.facts import sqltree
from pgweave.compiler.facts.outcomes import COUNTS, Form
from pgweave.compiler.facts.reads import Slot
from pgweave.compiler.facts.sqltree import Empty, Rows
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding, note
from pgweave.grammar.result_names import NAME, is_name
from pgweave.grammar.template import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Read, Step
    from pgweave.compiler.facts.outcomes import Result
    from pgweave.compiler.facts.reads import Reference
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic, Edit, Note
    from pgweave.grammar.span import Span


def unknown_column(subject: Subject) -> Iterator[Diagnostic]:
    """PW203. `$x.c`, and what may have bound x has no column c. Every result of SQL has row_count and rows_affected.

    With a `?` a missing column is NULL, so one that only some of several results have is a choice, not a slip. Signals
    and children have findings of their own.
    """
    known: dict[tuple[int, str], list[Result]] = {}  # readings of one name share what it may stand for
    for read, results in subject.facts.readings:
        placeholder = read.reference.placeholder
        if placeholder is None or placeholder.column is None:
            continue
        # id(): facts.bound returns one and the same tuple for all readings that share their binders.
        key = (id(results), placeholder.column)
        if key not in known:
            known[key] = [result for result in results if _lacks(result, placeholder.column)]
        lacking = known[key]
        if not lacking or (placeholder.nullable and len(lacking) < len(results)):
            continue
        # PW402 and PW607 say of these what to write instead.
        if all(isinstance(result.step.node, _ENVELOPES) for result in lacking):
            continue
        yield _unknown(subject, read.reference, lacking[0], placeholder.column)


_ENVELOPES = (nodes.Signal, nodes.CallChild, nodes.AwaitInstance)


def _lacks(result: Result, column: str) -> bool:
    if result.form is Form.ROWS and column in COUNTS:
        return False
    return result.columns is not None and all(known.name != column for known in result.columns)


def _unknown(subject: Subject, reference: Reference, result: Result, column: str) -> Diagnostic:
    names = result.names or ()
    # get_close_matches minds case: `ID` and `id` have nothing in common to it.
    near = get_close_matches(column, names, n=1) or [name for name in names if name.lower() == column.lower()]
    if not names:
        variant = "no-columns" if _writes(subject.facts, result) else "no-rows"
    elif column == "rows" and result.form is Form.ROWS:
        variant = "count"
    elif near:
        variant = "near"
    else:
        variant = "fixed" if result.form is Form.OBJECT else ""
    said = {"name": reference.name, "column": column, "names": ", ".join(names), "near": near[0] if near else ""}
    edits = subject.replace(column_span(reference), column, near[0]) if variant == "near" else ()
    notes = (note("PW203", _named(result.step), name=reference.name),)
    return finding("PW203", reference.span, variant, notes=notes, edits=edits, values=said)


def _writes(facts: Facts, result: Result) -> bool:
    """Whether it is of a statement that could have RETURNING."""
    statement = facts.statement(result.step)
    return statement is not None and statement.kind in ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")


def column_span(reference: Reference) -> Span:
    """Where the column of `$name.column` stands."""
    assert reference.text is not None
    assert reference.placeholder is not None
    # 2: the dollar and the dot.
    start = reference.placeholder.span.start + 2 + len(reference.name)
    return reference.text.span_of(start, start + len(reference.placeholder.column or ""))


def _named(step: Step) -> Span:
    """A place that stands for a step in a note: its first line would be too much."""
    return step.node.binding.span if step.node.binding is not None else step.node.span


def nested_path(subject: Subject) -> Iterator[Diagnostic]:
    """PW204. `$x.a.b` or `$x.rows[0]` in SQL: only one column is taken, the rest stays behind the value."""
    for read, results in subject.facts.readings:
        placeholder = read.reference.placeholder
        rest = path_behind(read.reference)
        if placeholder is None or rest is None:
            continue
        if results and all(isinstance(result.step.node, _ENVELOPES) for result in results):
            continue
        keys = ",".join(part for part in re.split(r"[.\[\]]+", rest) if part)
        value = f"${read.reference.name}" + (f".{placeholder.column}" if placeholder.column else "")
        # jsonb's operators take a path as an array: `$x.a.b[0]` becomes ($x.a)::jsonb #>> '{b,0}'.
        better = f"({value})::jsonb #>> '{{{keys}}}'"
        text, end = read.reference.text, placeholder.span.end + len(rest)
        edit = (placeholder.span.start, end, f"({better})")
        edits = () if text is None else subject.rewrite(text, *edit)
        span = with_path(read.reference, rest)
        yield finding("PW204", span, name=read.reference.name, path=rest, better=better, edits=edits)


_PATH = re.compile(rf"(?:\.{NAME}|\[[0-9]+\])+")


def path_behind(reference: Reference) -> str | None:
    """The path that stands behind a placeholder in SQL code; None if there is none."""
    placeholder = reference.placeholder
    if placeholder is None or placeholder.star or placeholder.context is not Context.CODE:
        return None
    found = _PATH.match(reference.after())
    # `$x.a` has the column a already, so a path is what comes behind it; `$x[0]` has none before it.
    if found is None or (placeholder.column is None and not found.group().startswith("[")):
        return None
    return found.group()


def with_path(reference: Reference, path: str) -> Span:
    """Where a placeholder stands, with the path behind it."""
    assert reference.text is not None
    assert reference.placeholder is not None
    start, end = reference.placeholder.span.start, reference.placeholder.span.end
    return reference.text.span_of(start, end + len(path))


def bare_multi_column(subject: Subject) -> Iterator[Diagnostic]:
    """PW206. `$x` of a query with several columns takes the first and drops the others."""
    for read, result in _scalars(subject.facts):
        placeholder = read.reference.placeholder
        names = result.names or ()
        if placeholder is None or placeholder.column is not None or len(names) < 2:
            continue
        said = {"name": read.reference.name, "count": len(names), "first": names[0], "others": ", ".join(names[1:])}
        edits = _with_column(subject, read.reference, names[0])
        yield finding("PW206", read.reference.span, edits=edits, safe=True, values=said)


def _with_column(subject: Subject, reference: Reference, column: str) -> tuple[Edit, ...]:
    placeholder, text = reference.placeholder, reference.text
    if placeholder is None or text is None or not is_name(column):
        return ()
    end = placeholder.span.start + 1 + len(reference.name)
    return subject.rewrite(text, end, end, f".{column}")


def duplicate_columns(subject: Subject) -> Iterator[Diagnostic]:
    """PW206. Two columns of one name in a result that somebody reads, or in that of the workflow: one of them is hidden."""
    facts = subject.facts
    said: set[Step] = set()
    for binder, reads in facts.readers.items():
        for result in facts.results(binder):
            twice = [name for name, count in Counter(result.names or ()).items() if count > 1]
            # Nobody is hurt by two columns of one name that nobody reads.
            if twice and any(_reads_column(read, twice[0]) for read in reads):
                said.add(result.step)
                yield _same_name(facts, result, twice[0], "same-name")
    for result in facts.results(facts.root):
        twice = [name for name, count in Counter(result.names or ()).items() if count > 1]
        if twice and result.form is Form.ROWS and result.step not in said:
            yield _same_name(facts, result, twice[0], "same-name-last")


def _same_name(facts: Facts, result: Result, name: str, variant: str) -> Diagnostic:
    columns = [column for column in result.columns or () if column.name == name]
    return finding("PW206", place_of_column(facts, result.step, columns[-1].location), variant, column=name)


def _reads_column(read: Read, name: str) -> bool:
    placeholder = read.reference.placeholder
    return placeholder is not None and (placeholder.star or placeholder.column == name)


def place_of_column(facts: Facts, step: Step, location: int) -> Span:
    """Where a column of a step's SQL is in the source; the step, where that is not known."""
    statement = facts.statement(step)
    if statement is None or location < 0 or not isinstance(step.node, nodes.Sql):
        return step.node.span
    offset = statement.offset(location)
    word = re.compile(r"[\w.]*").match(statement.text, offset)
    return step.node.query.span_of(offset, max(offset + 1, word.end() if word else 0))


def many_rows_scalar(subject: Subject) -> Iterator[Diagnostic]:
    """PW207. `$x` or `$x.c`, and nothing in the query of x keeps it to one row. Said once, where it is first read."""
    said: set[Step] = set()
    for read, result in _scalars(subject.facts):
        if result.step not in said and subject.facts.rows(result) is Rows.MANY:
            said.add(result.step)
            notes = (note("PW207", _named(result.step)),)
            written = subject.written(read.reference.span)
            yield finding("PW207", read.reference.span, written=written, name=read.reference.name, notes=notes)


def empty_or_null(subject: Subject) -> Iterator[Diagnostic]:
    """PW208. A strict `$x` or `$x.c` where the program itself shows that there may be no value.

    Evidence: the statement returns nothing; it skips locked rows, as takers from a queue do; the column is an aggregate
    over a filter, or NULL by its own words; or df.if_rows tests the name elsewhere, and not before this step. That any
    query may come back empty is no evidence: failing then is mostly what is wanted.
    """
    facts = subject.facts
    for read, result in _scalars(facts):
        reference, placeholder = read.reference, read.reference.placeholder
        if placeholder is None or placeholder.nullable or _known_to_have_rows(facts, read):
            continue
        if placeholder.column in COUNTS or (placeholder.column and _lacks(result, placeholder.column)):
            continue
        why = _why_empty(facts, result, placeholder.column)
        if why is None and _tested_too_late(facts, read):
            why = Empty("tested-elsewhere")
        if why is None:
            continue
        written = f"${reference.name}" + (f".{placeholder.column}" if placeholder.column else "")
        said = {"written": written, "name": reference.name, "function": why.function}
        yield finding("PW208", reference.span, why.case, values=said)
    yield from _only_sometimes(subject)


def _only_sometimes(subject: Subject) -> Iterator[Diagnostic]:
    """What the envelope of a child has only when it fails or takes too long."""
    for read, results in subject.facts.readings:
        placeholder = read.reference.placeholder
        if placeholder is None or placeholder.column is None or placeholder.nullable:
            continue
        if any(placeholder.column in result.optional for result in results):
            written = f"${placeholder.name}.{placeholder.column}"
            yield finding("PW208", read.reference.span, "child-ends-well", written=written, name=placeholder.name)


def _known_to_have_rows(facts: Facts, read: Read) -> bool:
    """Whether the step is in the branch that df.if_rows takes when the result has rows."""
    step = read.step
    for outer in facts.around(step):
        if isinstance(outer.node, nodes.IfRows) and outer.node.result_name.value == read.reference.name:
            return outer.children[0] is step
        step = outer
    return False


def _tested_too_late(facts: Facts, read: Read) -> bool:
    """Whether df.if_rows tests the name behind this step, or has just found it empty."""
    for test in facts.of(nodes.IfRows):
        if not isinstance(test.node, nodes.IfRows) or test.node.result_name.value != read.reference.name:
            continue
        here = (read.step, *facts.around(read.step))
        # The second branch of df.if_rows: there the result is empty for certain.
        if test.children[1] in here:
            return True
        # The innermost step that both are in. If it is a sequence and the reading is in its first half, the
        # test comes later.
        meeting = next((step for step in (test, *facts.around(test)) if step in here), None)
        if meeting is not None and isinstance(meeting.node, nodes.Then) and meeting.children[0] in here:
            return True
    return False


def _why_empty(facts: Facts, result: Result, column: str | None) -> Empty | None:
    rows = facts.rows(result)
    statement = facts.statement(result.step)
    if rows is Rows.NONE and statement is not None:
        return Empty("no-returning")
    # The text first: walking the tree of every statement for a clause that few have is slow.
    if statement is not None and "skip" in statement.text.lower() and sqltree.skips_locked(statement):
        return Empty("locked")
    columns = result.columns or ()
    # `$x` is the first column.
    chosen = columns[:1] if column is None else [one for one in columns if one.name == column]
    return next((one.empty for one in chosen if one.empty), None)


def _scalars(facts: Facts) -> Iterator[tuple[Read, Result]]:
    """Each reading of one value of a SQL result, with the first result it may stand for: once a step and name."""
    seen: set[tuple[Step, str]] = set()
    for read, results in facts.readings:
        placeholder = read.reference.placeholder
        if placeholder is None or placeholder.star or placeholder.column in COUNTS:
            continue
        key = (read.step, read.reference.name)
        for result in results:
            if result.form is Form.ROWS and key not in seen:
                seen.add(key)
                yield read, result


def null_compare(subject: Subject) -> Iterator[Diagnostic]:
    """PW209. `= $x?` is never true for an empty x, and `|| $x?` makes everything NULL."""
    for step in subject.facts.of(nodes.Sql):
        statement = subject.facts.statement(step)
        if statement is None or statement.tree is None or not any(one.nullable for one in statement.placeholders):
            continue
        for name, message in sqltree.walk(statement.tree):
            if name == "A_Expr":
                yield from _compared(subject, step, statement, message)


_COMPARING = {"=": "IS NOT DISTINCT FROM", "<>": "IS DISTINCT FROM", "!=": "IS DISTINCT FROM"}


def _compared(subject: Subject, step: Step, statement: Statement, expression: object) -> Iterator[Diagnostic]:
    symbol = sqltree.operator(expression) if sqltree.enumerated(expression, "kind") == "AEXPR_OP" else ""
    if symbol not in {*_COMPARING, "||", "<", ">", "<=", ">="} or not isinstance(step.node, nodes.Sql):
        return
    for side in (expression.lexpr, expression.rexpr):  # type: ignore[attr-defined]
        if side.WhichOneof("node") != "param_ref":
            continue
        placeholder = statement.placeholder_at(side.param_ref.location)
        if placeholder is None or not placeholder.nullable:
            continue
        span = step.node.query.span_of(placeholder.span.start, placeholder.span.end)
        written = subject.written(span)
        said = {"written": written, "operator": symbol, "name": placeholder.name}
        if symbol in _COMPARING:
            start, new = statement.offset(expression.location), _COMPARING[symbol]  # type: ignore[attr-defined]
            edits = subject.rewrite(step.node.query, start, start + len(symbol), new)
            yield finding("PW209", span, "distinct", better=new, edits=edits, values=said)
        else:
            yield finding("PW209", span, values=said)


def join_result_access(subject: Subject) -> Iterator[Diagnostic]:
    """PW216. A JOIN results in an array: it has no columns, no rows, and two elements for `a & b & c`."""
    for read, results in subject.facts.readings:
        placeholder = read.reference.placeholder
        if placeholder is None or not results or any(result.form is not Form.ARRAY for result in results):
            continue
        name, join = read.reference.name, results[0].step
        if placeholder.column is not None or placeholder.star:
            variant = "" if placeholder.column is not None else "rows"
            yield finding("PW216", read.reference.span, variant, name=name, count=len(join.children))
            continue
        yield from _beyond_the_end(read.reference, join)


_INDEX = re.compile(r"\)*\s*::\s*jsonb?\s*\)*\s*->>?\s*([0-9]+)")


def _beyond_the_end(reference: Reference, join: Step) -> Iterator[Diagnostic]:
    index = _INDEX.match(reference.after()) if reference.slot is Slot.SQL else None
    # A JOIN's array has an element per branch, from 0: of three branches `-> 3` is NULL.
    if index is None or int(index[1]) < len(join.children):
        return
    nested = any(isinstance(child.node, nodes.Join) for child in join.children)
    said = {"name": reference.name, "count": len(join.children), "index": index[1]}
    yield finding("PW216", reference.span, "nested" if nested else "past-the-end", values=said)


def never_any_rows(subject: Subject) -> Iterator[Diagnostic]:
    """PW218. df.if_rows or `$x.*` asks for the rows of what has none: no result of SQL, or of a statement that returns none."""
    yield from _no_rows_in_from(subject)
    for step in subject.facts.of(nodes.IfRows):
        for read in subject.facts.reads_of(step):
            results = subject.facts.bound(read)
            name, notes = read.reference.name, tuple(_bound_here(results))
            if results and all(result.form in (Form.OBJECT, Form.ARRAY) for result in results):
                if results[0].form is Form.OBJECT and results[0].names:
                    yield finding(
                        "PW218", read.reference.span, "object", column=results[0].names[-1], name=name, notes=notes
                    )
                else:
                    yield finding("PW218", read.reference.span, name=name, notes=notes)
            elif results and all(_returns_nothing(subject.facts, result) for result in results):
                variant = "no-returning" if _writes(subject.facts, results[0]) else "no-query"
                yield finding("PW218", read.reference.span, variant, name=name, notes=notes)


def _no_rows_in_from(subject: Subject) -> Iterator[Diagnostic]:
    for read, results in subject.facts.readings:
        placeholder = read.reference.placeholder
        if placeholder is None or not placeholder.star or not results:
            continue
        if all(_returns_nothing(subject.facts, result) for result in results):
            name, notes = read.reference.name, tuple(_bound_here(results))
            variant = "star" if _writes(subject.facts, results[0]) else "star-no-query"
            yield finding("PW218", read.reference.span, variant, name=name, notes=notes)


def _returns_nothing(facts: Facts, result: Result) -> bool:
    return result.form is Form.ROWS and facts.rows(result) is Rows.NONE


def _bound_here(results: tuple[Result, ...]) -> Iterator[Note]:
    for result in results[:3]:
        yield note("PW218", _named(result.step))
