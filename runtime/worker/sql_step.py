"""Running one SQL step to its checkpoint, on a session of the submitter.

In: a leaf with the names that have been bound so far. Out: its node-run, as recorded. Three ways, the first wherever
it is possible:

    exact    df_internal.exec_node: fence, statement and checkpoint in one transaction. Exactly once.
    alone    statements that refuse to run in a transaction (VACUUM, CREATE INDEX CONCURRENTLY, CALL with COMMIT): the
             statement by itself, then the record. At least once.
    remote   steps for another database, which has no df schema: likewise.

What becomes of an error is decided in `classify`: some are tried again a few times, some defer the step, and every other
one fails the node, with what the server said about it.
"""

from __future__ import annotations

import random
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pgweave.grammar.kinds import CHILD_STARTER
from pgweave.grammar.template import statement_count
from pgweave.runtime.errors import Deferred, InstanceCancelled, LeaseLost, StepInterrupted
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.worker.advance import Run
from pgweave.runtime.worker.classify import Meaning, Whose, meaning
from pgweave.runtime.worker.substitution import Rendered, ValueProblem, render_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg

    from pgweave.runtime.worker.advance import Todo
    from pgweave.runtime.worker.sessions import Sessions, Tag
    from pgweave.runtime.worker.store import Lease, Store

    _Way = Callable[["Step", psycopg.Connection[Any]], str]
    _Cells = list[tuple[str, int, bytes | None]]
    """A row: of each column its name, its type as pg_type numbers it, and its value as the server wrote it."""

MAX_ATTEMPTS = 7  # of a statement that met a conflict or lost its session
SUSPECT_ATTEMPTS = 3  # sessions lost: the step may be what ends them, and is to be worked on alone


TEXT = 25
_NO_PARAMETERS = frozenset({705, 2249, 2276, 2277, 2278, 2283, 2287, 2776})
"""unknown, record, "any", anyarray, void, anyelement, record[], anynonarray: as pg_type numbers them."""


class StepProblem(Exception):
    """A step that cannot work as written. error: what the node's row will say."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"message": message, **details}


class _Again(Exception):
    """Worth another attempt. error: what to say if there is none. lost: the session died of it, or with it."""

    def __init__(self, error: dict[str, Any], *, lost: bool = False) -> None:
        super().__init__(error["message"])
        self.error = error
        self.lost = lost


class _RefusesTransactions(Exception):
    """The statement has to run alone."""


class _AlreadyRun(Exception):
    """The node-run has ended; nothing was done."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step in hand. database: where it runs; None where the df schema is. max_bytes: of its result.

    typed: whether the types of its columns are to be recorded, because a step of the instance reads rows.
    """

    store: Store
    sessions: Sessions
    lease: Lease
    todo: Todo
    rendered: Rendered
    database: str | None
    max_bytes: int
    variables: Mapping[str, str]
    typed: bool = False

    @property
    def tag(self) -> Tag:
        """How `sessions` knows this step."""
        return (self.lease.instance_id, self.todo.key)

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a session of the submitter. StepProblem when there can be none, Deferred when there is none to be had now."""
        from psycopg_pool import PoolTimeout

        assert self.lease.role is not None
        role = self.lease.role
        with ExitStack() as borrowed:
            try:
                session = borrowed.enter_context(self.sessions.borrow(role, self.database, self.tag))
            except PoolTimeout as error:
                # The pool does not say why. What only people can fix fails the step; too many sessions or a restart pass by themselves.
                obstacle = self.store.obstacle(role, self.database) or self.sessions.refusal(role, self.database)
                if obstacle is None or obstacle == f'role "{role}" does not exist':
                    # The name is that of the claim. The next claim has the new one, or finds that the role is gone.
                    raise Deferred(f"no session of role {role} is to be had") from error
                database = self.database or self.lease.database or "default"
                said = f"Failed to connect to database '{database}' as '{role}'. Error: {obstacle}"
                raise StepProblem(said) from error
            yield session


def execute(
    store: Store,
    sessions: Sessions,
    lease: Lease,
    todo: Todo,
    variables: Mapping[str, str],
    max_bytes: int,
    *,
    typed: bool = False,
) -> Run:
    """Run a SQL step and say what it came to; a run with the status "cancelled" was interrupted by us.

    LeaseLost when another worker has the instance, InstanceCancelled when it is to end, Deferred when there is no server or
    no session.
    """
    began = monotonic()
    attempts, rendered = 1, Rendered("")
    try:
        rendered = _render(todo, variables)
        # A child is started where df.start is, whatever database its parent works in.
        starts_child = (todo.row.result_name or "").startswith(CHILD_STARTER)
        database = lease.database if sessions.elsewhere(lease.database) and not starts_child else None
        step = Step(store, sessions, lease, todo, rendered, database, max_bytes, variables, typed)
        lost = 0
        for attempts in _attempts():
            try:
                return _run(step, attempts, began)
            except _Again as again:
                last = again
                lost += again.lost
                # A statement that crashes its backend ends the sessions of all others, too: it goes on alone,
                # see Store.quarantine.
                if lost == SUSPECT_ATTEMPTS and not lease.suspect:
                    raise Deferred("the step has lost its session several times", suspect=True) from again
        raise StepProblem(**last.error) from last
    except StepInterrupted:
        return Run("cancelled")
    except StepProblem as problem:
        return store.fail(
            lease, todo.key, problem.error, query=rendered.text or None, attempts=attempts,
            elapsed_seconds=monotonic() - began,
        )  # fmt: skip


def _attempts() -> Iterator[int]:
    """Count attempts, with growing pauses. The jitter keeps two steps that deadlocked from meeting again."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        yield attempt
        if attempt < MAX_ATTEMPTS:
            # 0.05 to 0.1 s before the second attempt, up to 3.2 s before the seventh.
            sleep(random.uniform(0.5, 1.0) * 0.05 * 2**attempt)  # noqa: S311


def _render(todo: Todo, variables: Mapping[str, str], *, backslashes: bool = False) -> Rendered:
    try:
        rendered = render_sql(todo.row.query or "", todo.names, variables, backslashes=backslashes)
    except ValueProblem as problem:
        raise StepProblem(str(problem)) from problem
    if statement_count(rendered.text, backslashes=backslashes) > 1:
        raise StepProblem(
            "SQL execution failed: a step is one statement, and this text holds several",
            hint="Make them steps of their own with ~>, or put them into a DO block.",
        )
    return rendered


def _run(step: Step, attempts: int, began: float) -> Run:
    if step.database is not None:
        return _at_least_once(step, attempts, began, _remote)
    try:
        return _exact(step, attempts)
    except _RefusesTransactions:
        return _at_least_once(step, attempts, began, _alone)


def _exact(step: Step, attempts: int) -> Run:
    """One round trip, almost always: fence, statement and checkpoint in one transaction."""
    lease, todo = step.lease, step.todo
    try:
        with step.session() as session:
            step = _as_session_reads(step, session)
            with _translated(step, Whose.STEP):
                settings = step.sessions.settings(session)
                columns = _columns(step, session)
                arguments = [
                    lease.instance_id, todo.row.id, list(todo.iteration), lease.token, step.rendered.text, attempts,
                    step.max_bytes, columns, settings.role,
                ]  # fmt: skip
                # By default the transactions of a session without writes could not take the checkpoint.
                with session.transaction() if settings.read_only else nullcontext():
                    row = session.execute(QUERIES["exec_node"], arguments, binary=True).fetchone()
    except _AlreadyRun:
        # An earlier attempt was committed and its answer lost on the way: the rows have the result.
        return _recorded(step)
    if not settings.read_committed:
        # With a snapshot from before the statement, exec_node could not update rows that others have changed
        # meanwhile.
        step.store.shown(lease, todo.key)
    assert row is not None
    assert lease.role is not None
    if step.sessions.foreign(lease.role):
        return _recorded(step)
    result, finished_at = row
    return Run("completed", result, finished_at=finished_at.timestamp(), columns=columns)


def _as_session_reads(step: Step, session: psycopg.Connection[Any]) -> Step:
    """The step with the text for this session: where the role has it so, a backslash is an escape in plain strings."""
    if session.info.parameter_status("standard_conforming_strings") != "off":
        return step
    return replace(step, rendered=_render(step.todo, step.variables, backslashes=True))


def _columns(step: Step, session: psycopg.Connection[Any]) -> str | None:
    """Name and type of each column that the statement will return, as JSON; None when nobody reads rows.

    The server parses the text and describes it; nothing runs. What it refuses it will refuse again, with the reason.
    """
    import psycopg

    if not step.typed:
        return None
    protocol = session.pgconn
    # b"": the unnamed statement, which the next one replaces; nothing is left behind in the session.
    if protocol.prepare(b"", step.rendered.text.encode()).status != psycopg.pq.ExecStatus.COMMAND_OK:
        return None
    found = protocol.describe_prepared(b"")
    places = range(found.nfields)
    if not places:
        return None
    arguments = [
        [(found.fname(at) or b"").decode() for at in places],
        [str(found.ftype(at)) for at in places],
        [str(found.fmod(at)) for at in places],
    ]
    row = session.execute(QUERIES["type_names"], arguments).fetchone()
    return None if row is None else row[0]


def _at_least_once(step: Step, attempts: int, began: float, way: _Way) -> Run:
    """Look whether it has been recorded; if not, run it and record it. A crash in between runs it again."""
    # An earlier worker may have run and recorded it, and died before it went on.
    if (known := step.store.run(step.lease, step.todo.key)) is not None:
        return known
    with step.session() as session:
        step = _as_session_reads(step, session)
        with _translated(step, Whose.ALONE):
            columns = _columns(step, session)
            result = way(step, session)
    elapsed = monotonic() - began
    return surely(
        lambda: step.store.record(
            step.lease,
            step.todo.key,
            result,
            query=step.rendered.text,
            attempts=attempts,
            elapsed_seconds=elapsed,
            columns=columns,
        ),
        lambda: _recorded(step),
    )


def surely(write: Callable[[], Run], recorded: Callable[[], Run]) -> Run:
    """Record an outcome, with retries: without the record the step would run again.

    recorded: looks up what is recorded already. StepProblem when the database cannot keep the outcome.
    """
    import psycopg

    for attempt in _attempts():
        try:
            return write()
        except psycopg.Error as error:
            match meaning(error, Whose.OWN):
                case Meaning.ALREADY_RUN:
                    return recorded()
                case Meaning.PASSING if attempt < MAX_ATTEMPTS:
                    pass
                case Meaning.INSTANCE:
                    # Not JSON for PostgreSQL, for instance. It would be refused every time.
                    said = error.diag.message_primary or type(error).__name__
                    raise StepProblem(
                        f"The step has run, and its outcome cannot be recorded: {said}", sqlstate=error.sqlstate
                    ) from error
                case _:
                    raise
    raise AssertionError("the last attempt returns or raises")


def _alone(step: Step, session: psycopg.Connection[Any]) -> str:
    session.execute(QUERIES["enter_workflow"], [step.lease.instance_id, step.todo.row.id])
    _take_role(step, session)
    found: list[_Cells] = []
    total = 0
    for row in _rows(session, step.rendered.text):
        found.append(row)
        total += sum(len(cell) for _, _, cell in row if cell is not None)
        # Counted while rows arrive, so that a result of any size costs no more than the limit.
        if total > step.max_bytes:
            raise _too_large(step)
    rows = [_encoded(session, row) for row in found]
    # Once more: as JSON a row is longer than its cells.
    if sum(len(row.encode()) for row in rows) > step.max_bytes:
        raise _too_large(step)
    return f'{{"rows":[{",".join(rows)}],"row_count":{len(rows)},"rows_affected":{len(rows)}}}'


def _take_role(step: Step, session: psycopg.Connection[Any]) -> None:
    if (role := step.sessions.settings(session).role) is not None:
        session.execute(QUERIES["set_role"], [role])


def _encoded(session: psycopg.Connection[Any], row: _Cells) -> str:
    """One row as JSON. The server encodes it like the rows of every other step, from the values as it wrote them."""
    import psycopg
    from psycopg import sql

    if not row:
        return "{}"
    columns = sql.SQL(", ").join(
        sql.SQL("${} as {}").format(sql.SQL(str(place)), sql.Identifier(name))
        for place, (name, _, _) in enumerate(row, 1)
    )
    query = sql.SQL(QUERIES["encode_row"].decode()).format(columns=columns)
    answer = session.pgconn.exec_params(
        query.as_bytes(session), [cell for _, _, cell in row], [_parameter(kind) for _, kind, _ in row]
    )
    if answer.status != psycopg.pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(answer)
    return (answer.get_value(0, 0) or b"").decode()


def _parameter(kind: int) -> int:
    """The type of a parameter that takes a value of this type; a few types, such as void, have values and no parameters."""
    return TEXT if kind in _NO_PARAMETERS else kind


def _rows(session: psycopg.Connection[Any], text: str) -> Iterator[_Cells]:
    """The rows of a statement, one at a time as they arrive: a result of any size must not fill this process."""
    import psycopg
    from psycopg.types.string import TextLoader

    cursor = session.cursor()
    for known in psycopg.adapters.types:
        # The cells as the server wrote them: not every date or range is a value of Python.
        for kind in (known.oid, known.array_oid):
            cursor.adapters.register_loader(kind, TextLoader)
    try:
        for _ in cursor.stream(text.encode()):
            answer = cursor.pgresult
            assert answer is not None
            yield [
                ((answer.fname(at) or b"").decode(), answer.ftype(at), answer.get_value(0, at))
                for at in range(answer.nfields)
            ]
    except psycopg.ProgrammingError as error:
        # psycopg says so, without a SQLSTATE, after a statement that has no rows: VACUUM, CREATE INDEX, CALL.
        if error.sqlstate is not None or cursor.pgresult is not None:
            raise


def _too_large(step: Step) -> StepProblem:
    """As df_internal.exec_node says it."""
    return StepProblem(
        f"SQL execution failed: error returned from database: The result is larger than {step.max_bytes} bytes",
        sqlstate="PWR03",
        hint="Return fewer rows or columns: store the data in a table and return its key.",
    )


def _remote(step: Step, session: psycopg.Connection[Any]) -> str:
    with session.transaction():
        session.execute(QUERIES["make_step_runner"])
    session.execute(QUERIES["enter_workflow"], [step.lease.instance_id, step.todo.row.id])
    _take_role(step, session)
    row = session.execute(QUERIES["run_step"], [step.rendered.text, step.max_bytes]).fetchone()
    assert row is not None
    return str(row[0])


def _recorded(step: Step) -> Run:
    run = step.store.run(step.lease, step.todo.key)
    if run is None:
        raise LeaseLost(f"the step of node {step.todo.row.id} left no record")
    return run


@contextmanager
def _translated(step: Step, whose: Whose) -> Iterator[None]:
    """Turn what the server says about the statement of a step into what it means for the step."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise _consequence(error, step, whose) from error


def _consequence(error: psycopg.Error, step: Step, whose: Whose) -> Exception:
    import psycopg

    if isinstance(error, psycopg.errors.QueryCanceled) and step.sessions.is_interrupted(step.tag):
        return StepInterrupted()
    described = describe(error, step.rendered)
    match found := meaning(error, whose):
        case Meaning.LEASE_LOST:
            return LeaseLost(described["message"])
        case Meaning.TO_BE_CANCELLED:
            return InstanceCancelled(described["message"])
        case Meaning.ALREADY_RUN:
            return _AlreadyRun()
        case Meaning.RUN_ALONE:
            return _RefusesTransactions()
        case Meaning.PASSING:
            return Deferred(described["message"])
        case Meaning.SHORTAGE | Meaning.INTERNAL:
            if step.sessions.may_defer(step.tag, internal=found is Meaning.INTERNAL):
                return Deferred(described["message"])
            return StepProblem(**described)
        case Meaning.CONFLICT:
            return _Again(described)
        case Meaning.SESSION_LOST:
            return _Again(described, lost=True)
        case _:
            return StepProblem(**described)


def describe(error: psycopg.Error, rendered: Rendered) -> dict[str, Any]:
    """What the server said: message and, where there is one, sqlstate, detail, hint and position in the step's text."""
    diagnostic = error.diag
    said = diagnostic.message_primary or str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
    details = {
        "sqlstate": error.sqlstate,
        "detail": diagnostic.message_detail,
        "hint": diagnostic.message_hint,
        "position": _position(diagnostic, rendered),
    }
    return {
        "message": f"SQL execution failed: error returned from database: {said}",
        **{name: value for name, value in details.items() if value is not None},
    }


def _position(diagnostic: psycopg.errors.Diagnostic, rendered: Rendered) -> int | None:
    """Where in the text people wrote, from 1. Inside df_internal.exec_node the server counts in the text that ran."""
    if diagnostic.internal_position is not None and diagnostic.internal_query == rendered.text:
        return rendered.origin(int(diagnostic.internal_position) - 1) + 1
    return None
