"""Checks of the SQL itself, by PostgreSQL's parser: that it can be read, is one statement, and may run in a step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.compiler.checks.conditions import is_expression, tests
from pgweave.compiler.facts import sqltree
from pgweave.compiler.subject import verb
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Text


def _statements(subject: Subject) -> Iterator[tuple[Step, Text, Statement]]:
    for step in subject.facts.of(nodes.Sql):
        statement = subject.facts.statement(step)
        if statement is not None and isinstance(step.node, nodes.Sql):
            yield step, step.node.query, statement


_TOKEN = re.compile(r"\$?[\w.]+\??|'(?:[^']|'')*'|\S", re.DOTALL)


def syntax(subject: Subject) -> Iterator[Diagnostic]:
    """PW510. What PostgreSQL cannot read. Not where a variable is in code: its value may be any words at all.

    Not where another finding explains it: a condition that is an expression, a parameter, a path behind a name.
    """
    explained = {step for step in tests(subject.facts) if is_expression(step.node.query.value)}  # type: ignore[union-attr]
    for step, text, statement in _statements(subject):
        if statement.certain and step not in explained:
            yield from _misread(text, statement)
            yield from _misplaced_rows(text, statement)


def _misread(text: Text, statement: Statement) -> Iterator[Diagnostic]:
    problem = statement.problem
    if problem is None:
        return
    token = _TOKEN.match(text.value, problem.offset)
    end = token.end() if token else problem.offset
    # At the end of the text there is nothing to underline but its last character.
    span = text.span_of(problem.offset, end) if token else text.span_of(max(0, len(text.value) - 1), len(text.value))
    at = next((one for one in statement.placeholders if one.span.start == problem.offset), None)
    if at is not None:
        yield finding("PW510", span, "value-here", message=problem.message, name=at.name)
    else:
        yield finding("PW510", span, message=problem.message)


def _misplaced_rows(text: Text, statement: Statement) -> Iterator[Diagnostic]:
    """`$x.*` is a table: it belongs in FROM."""
    stars = [one for one in statement.placeholders if one.star]
    if not stars or statement.tree is None:
        return
    tables = {
        statement.offset(found.location): found for name, found in sqltree.walk(statement.tree) if name == "RangeVar"
    }
    for star in stars:
        span = text.span_of(star.span.start, star.span.end)
        written = statement.text[star.span.start : star.span.end]
        table = tables.get(star.span.start)
        if table is None:
            yield finding("PW510", span, "rows-outside-from", written=written)


def several_statements(subject: Subject) -> Iterator[Diagnostic]:
    """PW511. More than one statement in a step; a semicolon at the end is none."""
    for _, text, statement in _statements(subject):
        if statement.count > 1 and statement.certain:
            span = verb(text, max(0, statement.second))
            yield finding("PW511", span, count=statement.count)


_HARMLESS = ("VACUUM", "REINDEX", "ALTER SYSTEM")  # when they run twice


def runs_alone(subject: Subject) -> Iterator[Diagnostic]:
    """PW512. A statement that PostgreSQL refuses inside a transaction, and that does not simply run twice."""
    for _, text, statement in _statements(subject):
        what = outside_transactions(statement)
        if what is None or what.startswith(_HARMLESS):
            continue
        body = statement.body
        if statement.kind == "index_stmt":
            variant = "index"
        # DROP INDEX CONCURRENTLY IF EXISTS runs twice without harm.
        elif getattr(body, "missing_ok", False):
            continue
        else:
            variant = "drop" if what.startswith("DROP") else ""
        yield finding("PW512", verb(text), variant, statement=what)


def outside_transactions(statement: Statement) -> str | None:
    """What it is that cannot run in a transaction; None when the statement can."""
    body = statement.body
    match statement.kind:
        case "vacuum_stmt" if body.is_vacuumcmd:
            return "VACUUM"
        case "index_stmt" if body.concurrent:
            return "CREATE INDEX CONCURRENTLY"
        case "drop_stmt" if body.concurrent:
            return "DROP INDEX CONCURRENTLY"
        case "reindex_stmt" if any(item.def_elem.defname == "concurrently" for item in body.params):
            return "REINDEX CONCURRENTLY"
        case "reindex_stmt" if sqltree.enumerated(body, "kind") in {"REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE"}:
            return "REINDEX DATABASE"
        case "createdb_stmt":
            return "CREATE DATABASE"
        case "dropdb_stmt":
            return "DROP DATABASE"
        case "create_table_space_stmt":
            return "CREATE TABLESPACE"
        case "drop_table_space_stmt":
            return "DROP TABLESPACE"
        case "alter_system_stmt":
            return "ALTER SYSTEM"
        case _:
            return None


def copy_to_client(subject: Subject) -> Iterator[Diagnostic]:
    """PW514. COPY FROM STDIN or TO STDOUT: behind a step stands a worker, which sends no rows and takes none."""
    for _, text, statement in _statements(subject):
        if statement.kind != "copy_stmt" or statement.body.filename or statement.body.is_program:
            continue
        yield finding("PW514", verb(text), "from" if statement.body.is_from else "")
