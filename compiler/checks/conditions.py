"""Checks of conditions: what decides is the first column of the first row of a statement that is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.compiler.facts import sqltext
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.template import Context, scan_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic


def tests(facts: Facts) -> Iterator[Step]:
    """The SQL steps whose result decides a condition, each once."""
    seen: set[Step] = set()
    for step in facts.of(nodes.If, nodes.Loop):
        condition = step.children[2:] if isinstance(step.node, nodes.If) else step.children[1:]
        for result in facts.results(condition[0]) if condition else ():
            if isinstance(result.step.node, nodes.Sql) and result.step not in seen:
                seen.add(result.step)
                yield result.step


def non_query_condition(subject: Subject) -> Iterator[Diagnostic]:
    """PW306. A condition that is an expression: PostgreSQL would be asked to run just that."""
    for step in tests(subject.facts):
        text = step.node.query  # type: ignore[union-attr]
        if not is_expression(text.value):
            continue
        expression = text.value.strip()
        better = f"SELECT ({expression})::boolean"
        commented = "--" in expression  # would swallow the bracket
        edits = () if commented else subject.rewrite(text, 0, len(text.value), better)
        shown = better if len(better) < 60 else "SELECT (..)::boolean"
        yield finding("PW306", text.span_of(0, len(text.value)), better=shown, edits=edits, safe=True)


# The first word behind comments and brackets; not one with a bracket behind it, which is a function: now(),
# exists(..).
_STATEMENT = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:\(\s*)*([a-z]+)\b(?!\s*\()", re.IGNORECASE | re.DOTALL)
_VERBS = frozenset(
    {
        "select", "with", "values", "table", "insert", "update", "delete", "merge", "execute", "fetch",
        "show", "explain", "call", "do", "create", "alter", "drop", "truncate", "copy", "vacuum", "analyze",
        "refresh", "reindex", "cluster", "lock", "notify", "listen", "unlisten", "set", "reset", "grant",
        "revoke", "comment", "begin", "commit", "rollback", "start", "end", "abort", "savepoint", "release",
        "prepare", "deallocate", "declare", "close", "move", "discard", "checkpoint", "load", "import",
        "reassign", "security",
    }
)  # fmt: skip


def is_expression(text: str) -> bool:
    """Whether a text is no statement but would be a value: `$x.done`, `1 = 1`. Certain, or False."""
    first = _STATEMENT.match(text)
    if (first is not None and first[1].lower() in _VERBS) or not text.strip():
        return False
    placeholders = [found for found in scan_sql(text) if found.context is Context.CODE]
    # Without PostgreSQL's parser only `$x..` is certain: no statement begins with a parameter. `{x}` may be a
    # whole statement.
    begins = any(not text[: found.span.start].strip() and not found.brace for found in placeholders)
    if not sqltext.available():
        return begins
    masked = sqltext.mask(text, placeholders)
    if sqltext.nesting(masked) > sqltext.MAX_NESTING:
        return False
    # \n: a comment at the end of the text must not take the bracket with it.
    return not sqltext.parses(masked) and sqltext.parses(f"SELECT ({masked}\n)")


_TEXT = frozenset({"text", "varchar", "bpchar", "name"})
_JSON = frozenset({"json", "jsonb"})


def truthy_surprise(subject: Subject) -> Iterator[Diagnostic]:
    """PW307. A condition of several columns, of text or of JSON: what counts as true there surprises people."""
    facts = subject.facts
    for step in tests(facts):
        (result,) = facts.results(step)
        columns = result.columns
        if not columns:
            continue
        kind = columns[0].type
        span = step.node.query.span_of(0, len(step.node.query.value))  # type: ignore[union-attr]
        if len(columns) > 1:
            yield finding("PW307", span, count=len(columns), first=columns[0].name)
        elif kind in _TEXT:
            yield finding("PW307", span, "text")
        elif kind in _JSON:
            yield finding("PW307", span, "json")
