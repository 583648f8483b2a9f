"""What only a database knows: whether the tables, columns and types that a step names exist.

In: a program and a connection. Out: findings with the server's own words, at their place in the file. Every step is
prepared in the order in which it runs, and nothing is executed but DDL, so that later steps find what earlier ones
make. A companion NAME.setup.sql comes first, then the DDL that stands before a workflow in its own file. All of it in one transaction that is always rolled back.

    facts ── who runs when ──> texts with parameters ── Parse, Describe ──> columns and their types ──> later steps
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgweave import texts as files
from pgweave.compiler import suppress
from pgweave.compiler.checks import placeholders, statements
from pgweave.compiler.facts import reads, sqltext
from pgweave.compiler.facts.definition_facts import Facts
from pgweave.compiler.subject import Shared, Subject, verb
from pgweave.dbsetup import around
from pgweave.dbtexts import Texts, as_integer, as_it_is, as_text
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.parser import parse
from pgweave.grammar.template import Context
from pgweave.runtime.connect import connect
from pgweave.runtime.target import prepared
from pgweave.runtime.worker.substitution import COUNTS
from pgweave.texts import refuse_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.dbsetup import Around
    from pgweave.dbtexts import Described, Sent
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Definition, Module
    from pgweave.grammar.span import Source, Span
    from pgweave.workflow import WorkflowSource

_PLANNED = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
_DDL = frozenset(
    {
        "create_stmt", "create_table_as_stmt", "view_stmt", "index_stmt", "create_function_stmt", "create_schema_stmt",
        "create_enum_stmt", "composite_type_stmt", "create_domain_stmt", "create_range_stmt", "create_seq_stmt",
        "alter_table_stmt", "alter_enum_stmt", "alter_domain_stmt", "rename_stmt", "alter_object_schema_stmt",
        "create_trig_stmt", "rule_stmt", "drop_stmt",
    }
)  # fmt: skip
_MISSING = ("42P01", "42703", "42883", "42704", "3F000")
"""Something does not exist: not reported once a step that may create it was not run here."""

_EXPLAINING = (statements.syntax, placeholders.positional_parameter)
"""Checks of what PostgreSQL refuses whatever is in the database."""

_MAY_MAKE = frozenset({"create_extension_stmt", "do_stmt", "call_stmt"})
"""Statements that may create anything, and are not run here."""

_THERE_ALREADY = ("42P07", "42710", "42723", "42P06", "42701")

_BUSY = ("55P03", "57014")
"""Lock and statement timeout: says nothing about the step."""

_MISFITS = ("42883", "42804", "42846", "42725", "42P18")
"""A type does not fit: tried again, since a literal may fit where a parameter of its type does not."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a database said. notes: what could not be looked at, for people. prepared: how many steps were sent."""

    findings: tuple[Diagnostic, ...] = ()
    notes: tuple[str, ...] = ()
    prepared: int = 0


def check(module: Module, connection: psycopg.Connection[Any], setup: Source | None = None) -> Outcome:
    """Have the database prepare every step of a program. connection: autocommit. setup: NAME.setup.sql, if there is one.

    psycopg.OperationalError when the connection itself fails.
    """
    run = _Run(module, connection)
    with connection.transaction(force_rollback=True):
        run.begin(setup)
        statements = deque(around(module))
        for definition in module.definitions:
            # Tables that stand before a workflow in the file exist when it is started, those behind it do not.
            while statements and statements[0].span.end <= definition.span.start:
                run.around(statements.popleft())
            # Each begins with what the set-up left: workflows do not run one after the other.
            with connection.transaction(force_rollback=True):
                run.definition(definition)
    found = sorted(suppress.allowed(run.findings, module), key=lambda one: (one.span, one.code))
    return Outcome(tuple(found), tuple(run.notes), run.prepared)


def refuse_before_start(workflow: WorkflowSource, dsn: str) -> None:
    """Have a database prepare every step of a workflow that is about to be started there. ProgramError if it refuses one.

    What a companion NAME.setup.sql makes must be there already.
    """
    with connect(dsn) as connection:
        found = check(workflow.module, connection).findings
    refuse_errors([one for one in found if one.span in workflow.definition.span], workflow.module.source)


@contextmanager
def asking(dsn: str | None, progress: Callable[[str], None]) -> Iterator[Callable[[Source], Outcome]]:
    """What a database says about one text after the other, each with the companion NAME.setup.sql of its file.

    dsn: None for the embedded server, started for as long as the block lasts. progress: told what is being started.
    """
    with prepared(dsn, progress) as place, connect(place) as connection:

        def ask(source: Source) -> Outcome:
            companion = Path(source.name).with_suffix(".setup.sql")
            return check(parse(source).module, connection, files.read(companion) if companion.is_file() else None)

        yield ask


@dataclass(slots=True)
class _Run:
    """One program on its way through a database. complete: whether everything that earlier steps make is there.

    explained: places of which a check without a database says already why PostgreSQL refuses the step.
    """

    module: Module
    connection: psycopg.Connection[Any]
    findings: list[Diagnostic] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    prepared: int = 0
    complete: bool = True
    explained: tuple[Span, ...] = ()
    knows_df: bool = True
    database: str = ""

    def begin(self, setup: Source | None) -> None:
        """What comes before the first workflow."""
        import psycopg

        # lock_timeout and statement_timeout: a check must not wait for a lock of somebody's migration.
        self.connection.execute(_queries()["limits"])
        row = self.connection.execute(_queries()["where_we_are"]).fetchone()
        self.knows_df, self.database = row or (True, "")
        try:
            with self.connection.transaction():
                self.connection.execute(_queries()["make_replay"])
        except psycopg.errors.InsufficientPrivilege as error:
            self.complete = False
            self.note(f"steps that make tables are not looked at: {error.diag.message_primary}")
            return
        if setup is not None and (refusal := self.replay(setup.text)) is not None:
            self.complete = False
            position = _internal_position(refusal, setup.text)
            where = "" if position is None else f":{setup.location(position).line}"
            self.note(f"{setup.name}{where}: the set-up failed: {refusal.diag.message_primary}")

    def around(self, statement: Around) -> None:
        """Run the DDL that stands before a workflow in an .sql file. What an earlier run has created already is no error."""
        read = sqltext.examine(statement.text)
        if read is None or read.tree is None:
            return
        # CREATE EXTENSION, DO and CALL are not run for a check; from here on a missing table proves nothing.
        if read.kind in _MAY_MAKE:
            self.complete = False
        # CREATE INDEX CONCURRENTLY refuses to run in this transaction.
        if read.kind not in _DDL or (read.kind == "index_stmt" and read.body.concurrent):
            return
        refusal = self.replay(_without_data(read.text) if read.kind == "create_table_as_stmt" else read.text)
        if refusal is not None and refusal.sqlstate not in _THERE_ALREADY:
            self.complete = False
            line = self.module.source.location(statement.span.start).line
            self.note(f"{self.module.source.name}:{line}: not made for this check: {refusal.diag.message_primary}")

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def definition(self, definition: Definition) -> None:
        """Every step of one workflow, in the order in which they run."""
        if definition.database is not None and definition.database.value != self.database:
            self.note(f"{definition.name} runs in the database {definition.database.value}: not looked at")
            return
        # Put back at the end: what this workflow may make says nothing about the next one.
        facts, complete = Facts(definition), self.complete
        if not facts.parser:
            self.note("postgast is not installed, so no step is prepared: pip install postgast")
            return
        subject = Subject(Shared(self.module, [facts]), facts)
        self.explained = tuple(found.span for check in _EXPLAINING for found in check(subject))
        texts = Texts(self.module, facts)
        for step, certain in _in_order(facts.root):
            if isinstance(step.node, nodes.Sql):
                self.step(texts, step, certain=certain)
        self.complete = complete

    def step(self, texts: Texts, step: Step, *, certain: bool) -> None:
        """One SQL step. certain: it runs once, whatever happens."""
        statement = texts.facts.statement(step)
        if statement is None or statement.tree is None or statement.count != 1 or self.is_explained(step):
            self.complete = False
        elif not self.knows_df and re.search(r"\bdf\s*\.", statement.text, re.IGNORECASE):
            self.note("the df schema is not in this database; steps that call it are not looked at")
        elif statement.kind in _DDL:
            self.make(texts, step, statement, certain=certain)
        # SELECT INTO makes a table that is not made here.
        elif statement.kind == "select_stmt" and statement.body.HasField("into_clause"):
            self.complete = False
        elif statement.kind in _PLANNED:
            self.prepare(texts, step, statement)

    def is_explained(self, step: Step) -> bool:
        """Whether a check without a database has found why PostgreSQL would refuse the step: one mistake, one finding."""
        return any(span in step.node.span for span in self.explained)

    def make(self, texts: Texts, step: Step, statement: Statement, *, certain: bool) -> None:
        """Run a DDL step. Left alone: what may be dropped or not, and what cannot run in a transaction."""
        # A DROP in one branch of an if: on the other path the table is still there.
        if statement.kind in ("index_stmt", "drop_stmt") and (statement.body.concurrent or not certain):
            return
        sent = texts.with_variables(step, statement)
        if sent is None:
            self.complete = False
            return
        text = sent.rendered.text
        error = self.replay(_without_data(text) if statement.kind == "create_table_as_stmt" else text)
        if error is not None:
            self.complete = False
            position = _internal_position(error, text)
            self.refused(step, statement, error, None if position is None else sent.rendered.origin(position))

    def replay(self, text: str) -> psycopg.DatabaseError | None:
        """Run a text within the transaction; None when that worked."""
        import psycopg

        try:
            with self.connection.transaction():
                self.connection.execute(_queries()["replay"], [text])
        except psycopg.DatabaseError as error:
            if self.connection.closed:
                raise
            return error
        return None

    def prepare(self, texts: Texts, step: Step, statement: Statement) -> None:
        """Prepare a planned step; where a type does not fit, again with what its literal could be."""
        first: tuple[psycopg.DatabaseError, Sent] | None = None
        tried: set[tuple[int, ...]] = set()
        # The worker writes a literal, which is of unknown type until PostgreSQL sees its place; a parameter has
        # its type at once.
        for soften in (as_it_is, as_integer, as_text):
            sent = texts.with_parameters(step, statement, soften)
            # A step without parameters of these types is the same text again.
            if sent is None or sent.types in tried:
                continue
            tried.add(sent.types)
            answer = self.parse(sent)
            if isinstance(answer, tuple):
                self.prepared += 1
                texts.columns[step] = answer
                self.name_types(texts, answer)
                self.columns(texts, step)
                return
            # The first refusal is the one with the true types.
            first = first or (answer, sent)
            if answer.sqlstate not in _MISFITS:
                break
        if first is not None:
            self.prepared += 1
            error, sent = first
            position = error.diag.statement_position
            origin = None if position is None else sent.rendered.origin(int(position) - 1)
            if self.means_something(error, statement, origin):
                self.refused(step, statement, error, origin)

    def name_types(self, texts: Texts, described: Described) -> None:
        """Have a name for each type, as a later step would write it."""
        missing = [str(kind) for kind in {kind for _, kind in described} - texts.types.keys()]
        if missing:
            found = self.connection.execute(_queries()["type_names"], [missing]).fetchall()
            texts.types.update((int(kind), str(name)) for kind, name in found)

    def parse(self, sent: Sent) -> Described | psycopg.DatabaseError:
        """Parse and describe: the columns of the result, or why there are none. Nothing is executed."""
        import psycopg

        protocol = self.connection.pgconn
        # A failed Parse ends the transaction it is in; this one is a savepoint.
        with self.connection.transaction(force_rollback=True):
            answer = protocol.prepare(b"", sent.rendered.text.encode(), sent.types)
            if answer.status != psycopg.pq.ExecStatus.COMMAND_OK:
                refusal = psycopg.errors.error_from_result(answer)
                assert isinstance(refusal, psycopg.DatabaseError)
                return refusal
            described = protocol.describe_prepared(b"")
            return tuple(
                ((described.fname(at) or b"").decode(), described.ftype(at)) for at in range(described.nfields)
            )

    def means_something(self, error: psycopg.DatabaseError, statement: Statement, offset: int | None) -> bool:
        """Whether a refusal comes from the step itself, and not from the parameters that replace its values."""
        state = error.sqlstate or ""
        if state == "42P18" or (state in _MISSING and not self.complete):
            return False
        if state == "42601" and any(place.span.start == offset for place in statement.placeholders):
            return False  # a literal is fine there, and a parameter is not: date $x
        places = reads.placeholders(statement.text)
        filled = [place for place in places if place.context is not Context.CODE or place.brace]
        # 22xxx, a bad value: a placeholder within quotes stands there as it is, '$x'::date.
        return not (state.startswith("22") and filled)

    def columns(self, texts: Texts, step: Step) -> None:
        """Whether the columns that a step reads are there, now that the database has told them."""
        for read in texts.facts.reads_of(step):
            place = read.reference.placeholder
            if place is None or place.column is None or place.nullable or place.column in COUNTS:
                continue
            for result in texts.facts.bound(read):
                names = [name for name, _ in texts.columns.get(result.step, ())]
                if result.columns is None and names and place.column not in names:
                    near = get_close_matches(place.column, names, n=1)
                    said = {"names": ", ".join(names), "near": near[0] if near else ""}
                    found = finding(
                        "PW203",
                        read.reference.span,
                        "near" if near else "",
                        name=place.name,
                        column=place.column,
                        values=said,
                    )
                    self.findings.append(found)
                    break

    def refused(self, step: Step, statement: Statement, error: psycopg.DatabaseError, offset: int | None) -> None:
        """Say in the server's words what is wrong. offset: where, in the step's text."""
        if error.sqlstate in _BUSY:
            self.complete = False
            self.note(f"a table is in use, so not every step was looked at: {error.diag.message_primary}")
            return
        node = step.node
        assert isinstance(node, nodes.Sql)
        span = verb(node.query)
        if offset is not None and offset < len(statement.text):
            word = re.compile(r'[\w.$"]+|\S').match(statement.text, offset)
            span = node.query.span_of(offset, word.end() if word else offset + 1)
        message = error.diag.message_primary or str(error)
        hint, detail = error.diag.message_hint, error.diag.message_detail or ""
        message = message[:1].upper() + message[1:]
        self.findings.append(finding("PW513", span, "hint" if hint else "", message=message, detail=detail, hint=hint))


def _in_order(step: Step, *, certain: bool = True) -> Iterator[tuple[Step, bool]]:
    """Steps in the order in which they run. certain: whether the step runs exactly once."""
    yield step, certain
    match step.node:
        case nodes.If():
            yes, no, condition = step.children
            yield from _in_order(condition, certain=certain)
            for branch in (yes, no):
                yield from _in_order(branch, certain=False)
        case nodes.Then() | nodes.Join() | nodes.CallChild():
            for child in step.children:
                yield from _in_order(child, certain=certain)
        case _:
            for child in step.children:
                yield from _in_order(child, certain=False)


def _without_data(text: str) -> str:
    """CREATE TABLE AS without running its query."""
    ending = re.compile(r"\s*\bwith\s+(?:no\s+)?data\s*;?\s*\Z|\s*;?\s*\Z", re.IGNORECASE)
    return f"{ending.sub('', text, count=1)}\nWITH NO DATA"


def _internal_position(error: psycopg.DatabaseError, text: str) -> int | None:
    """Offset in a text that was run by EXECUTE; None when the error points somewhere else."""
    position, query = error.diag.internal_position, error.diag.internal_query
    return int(position) - 1 if position is not None and query is not None and query.startswith(text[:50]) else None


@cache
def _queries() -> dict[str, bytes]:
    """The statements of dbcheck.sql by their names."""
    text = resources.files("pgweave").joinpath("dbcheck.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- ([a-z_]+) --\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
