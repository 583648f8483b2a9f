"""Running one HTTP step: say that a request is about to be made, make it, record what came of it.

In: a leaf of type HTTP or HTTP_MULTIPART. Out: its node-run, as recorded. A request cannot be part of a transaction, so
it is made at least once: a worker that dies before the record leaves none, and the next one sends the request again
under the same key. Nothing else repeats a request: a failed one fails the step.

    request.py    configuration and values -> Request        ssrf.py      which addresses may be reached
    exchange.py   Request -> Answer, on the wire             envelope.py  Answer -> JSON text
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from pgweave.runtime.errors import LeaseLost, StepInterrupted
from pgweave.runtime.http.envelope import Mask, envelope
from pgweave.runtime.http.request import RequestProblem, prepare, secret_names
from pgweave.runtime.worker.advance import Run
from pgweave.runtime.worker.classify import ALREADY_RUN
from pgweave.runtime.worker.failpoints import failpoint
from pgweave.runtime.worker.sql_step import StepProblem, surely

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from pgweave.runtime.http.request import Request
    from pgweave.runtime.http.ssrf import Policy
    from pgweave.runtime.worker.advance import Todo
    from pgweave.runtime.worker.sessions import Sessions
    from pgweave.runtime.worker.store import Lease, Permit, Store

    Interruptible = Callable[[Callable[[], object]], AbstractContextManager[None]]

FUNCTIONS = {
    "HTTP": ("df.http()", "df.http(text, text, text, jsonb, integer)"),
    "HTTP_MULTIPART": ("df.http_multipart()", "df.http_multipart(text, text, jsonb, jsonb, integer)"),
}
_NAMESPACE = UUID("6f5a0a52-5d0a-5c39-9c1e-3b0f4a6f1f5e")  # made up once; a new one would give every request a new key


def idempotency_key(instance_id: str, node_id: str, iteration: tuple[int, ...]) -> str:
    """The key every attempt of one node-run sends, so that the receiver can tell a repetition from a new request."""
    return str(uuid5(_NAMESPACE, "/".join((instance_id, node_id, *map(str, iteration)))))


def execute(
    store: Store,
    sessions: Sessions,
    lease: Lease,
    todo: Todo,
    variables: Mapping[str, str],
    policy: Policy,
    max_bytes: int,
) -> Run:
    """Run an HTTP step and say what it came to; a run with the status "cancelled" was interrupted by us."""
    began = monotonic()
    attempts, sent = 1, None

    def failed(error: Mapping[str, object]) -> Run:
        elapsed = monotonic() - began
        return _surely(
            store, lease, todo,
            lambda: store.fail(lease, todo.key, error, query=sent, attempts=attempts, elapsed_seconds=elapsed),
        )  # fmt: skip

    try:
        config = _config(todo)
        failpoint("before_permit")
        # Before the request is prepared: the attempt is counted even if the worker dies while it sends.
        permit = _permit(store, lease, todo, secret_names(config))
        if isinstance(permit, Run):
            return permit
        attempts = permit.attempts
        request = prepare(todo.row.node_type, config, todo.names, variables)
        sent = f"{request.method} {request.url}"
        failpoint("before_send")
        result = perform(
            request,
            secrets=permit.secrets,
            key=idempotency_key(lease.instance_id, *todo.key),
            policy=policy,
            max_bytes=max_bytes,
            interruptible=lambda stop: sessions.interruptible((lease.instance_id, todo.key), stop),
        )
        failpoint("after_answer")
        elapsed = monotonic() - began
        return _surely(
            store, lease, todo,
            lambda: store.record(lease, todo.key, result, query=sent, attempts=attempts, elapsed_seconds=elapsed),
        )  # fmt: skip
    except StepInterrupted:
        return Run("cancelled")
    except RequestProblem as problem:
        return failed(problem.error)


def perform(
    request: Request,
    *,
    secrets: Mapping[str, str],
    key: str,
    policy: Policy,
    max_bytes: int,
    interruptible: Interruptible = lambda stop: nullcontext(),
) -> str:
    """Send a request and write its answer down as the envelope, JSON text of at most `max_bytes`.

    key: see `idempotency_key`. secrets: those the request names. interruptible: told how to interrupt the request from another
    thread, for as long as the block lasts. RequestProblem when there is no answer, or one that says the server failed.
    """
    # A secret that is missing fails the step before anything is sent.
    for name in request.secrets:
        if name not in secrets:
            hint = f"As the role that starts the workflow: SELECT df.set_secret('{name}', '...');"
            raise RequestProblem(f"Secret '{name}' is not set", hint=hint)
    try:
        from pgweave.runtime.http.exchange import Exchange  # lazy: httpx2 is optional
    except ImportError as error:
        hint = "Install it where the worker runs: pip install 'pgweave[http]'"
        raise RequestProblem(f"{request.kind} steps need the package httpx2, which is not here", hint=hint) from error
    began = monotonic()
    mask = Mask(secrets)
    exchange = Exchange(request, policy, max_bytes)
    try:
        with interruptible(exchange.stop):
            answer = exchange.run(key, secrets, f"pgweave/{_version()}")
    except RequestProblem as problem:
        # What went wrong may quote what the server sent.
        raise RequestProblem(**(problem.error | {"message": mask.text(str(problem))})) from None
    return envelope(request, answer, mask, round((monotonic() - began) * 1000), max_bytes)


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("pgweave")


def _config(todo: Todo) -> dict[str, object]:
    try:
        return todo.row.config()
    except ValueError as error:
        raise RequestProblem(f"Invalid {todo.row.node_type} config: {error}") from error


def _permit(store: Store, lease: Lease, todo: Todo, secrets: list[str]) -> Permit | Run:
    """Say that a request is about to be made. A Run when it has been made already."""
    import psycopg

    try:
        permit = store.request(lease, todo.key, secrets)
    except psycopg.Error as error:
        if error.sqlstate == ALREADY_RUN:
            return _recorded(store, lease, todo)
        raise
    if not permit.allowed:
        called, signature = FUNCTIONS[todo.row.node_type]
        raise RequestProblem(
            f"Blocked: role '{lease.role}' does not have EXECUTE privilege on {called}.",
            hint=f"The owner of the df schema can grant EXECUTE on {signature}.",
        )
    return permit


def _surely(store: Store, lease: Lease, todo: Todo, write: Callable[[], Run]) -> Run:
    """Record an outcome. RequestProblem when the database cannot keep it."""
    try:
        return surely(write, lambda: _recorded(store, lease, todo))
    except StepProblem as problem:
        raise RequestProblem(**problem.error, request_sent=True) from problem


def _recorded(store: Store, lease: Lease, todo: Todo) -> Run:
    run = store.run(lease, todo.key)
    if run is None:
        raise LeaseLost(f"the request of node {todo.row.id} left no record")
    return run
