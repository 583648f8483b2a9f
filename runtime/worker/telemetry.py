"""What a worker tells people who watch many: Prometheus figures and OpenTelemetry spans.

In: the worker's events. Out: counts and durations, with ids but never with SQL, values or labels. Both libraries are
extras (`pip install 'pgweave[otel]'`); without them nothing here is imported.
"""

from __future__ import annotations

from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Callable

    Listener: TypeAlias = Callable[[str, str, str | None], None]


def several(*listeners: Listener) -> Listener:
    """Tell each of several listeners."""

    def tell(event: str, instance_id: str, node_id: str | None) -> None:
        for listener in listeners:
            listener(event, instance_id, node_id)

    return tell


class Prometheus:
    """Counts events and times steps; served on loopback at `port` (0: any free one, see `port`)."""

    def __init__(self, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
        except ImportError as error:
            raise PgweaveError("Prometheus figures need a library.", "pip install 'pgweave[otel]'") from error
        registry = CollectorRegistry()
        self._events = Counter("pgweave_events", "What the worker has done.", ["event"], registry=registry)
        self._seconds = Histogram(
            "pgweave_step_seconds", "How long steps took, checkpoint included.", registry=registry
        )
        self._began: dict[tuple[str, str | None], float] = {}
        try:
            self._server, self._thread = start_http_server(port, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise PgweaveError(
                f"Cannot serve figures on port {port}: {error.strerror}.", "Choose another port."
            ) from error
        self.port = int(self._server.server_port)

    def __call__(self, event: str, instance_id: str, node_id: str | None) -> None:
        """Take in one event."""
        self._events.labels(event).inc()
        if event == "step":
            self._began[instance_id, node_id] = perf_counter()
        elif event == "checkpointed" and (began := self._began.pop((instance_id, node_id), None)) is not None:
            self._seconds.observe(perf_counter() - began)
        elif event in {"parked", "finished", "released"}:
            for key in [key for key in list(self._began) if key[0] == instance_id]:  # steps that came to nothing
                self._began.pop(key, None)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Spans:
    """One span per step and one around each lease, to whatever exporter the process has set up."""

    def __init__(self) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise PgweaveError("OpenTelemetry spans need a library.", "pip install 'pgweave[otel]'") from error
        self._trace = trace
        self._tracer = trace.get_tracer("pgweave")
        self._open: dict[tuple[str, str | None], Any] = {}
        self._lock = Lock()

    def __call__(self, event: str, instance_id: str, node_id: str | None) -> None:
        """Take in one event."""
        match event:
            case "claimed":
                self._start("pgweave.lease", (instance_id, None), None)
            case "step":
                self._start("pgweave.step", (instance_id, node_id), (instance_id, None))
            case "checkpointed":
                self._end((instance_id, node_id))
            case "parked" | "finished" | "released":
                for key in [key for key in list(self._open) if key[0] == instance_id]:
                    self._end(key)
            case _:
                pass

    def _start(self, name: str, key: tuple[str, str | None], parent: tuple[str, str | None] | None) -> None:
        attributes = {"pgweave.instance_id": key[0]} | ({"pgweave.node_id": key[1]} if key[1] else {})
        with self._lock:
            around = self._open.get(parent) if parent else None
            context = self._trace.set_span_in_context(around) if around is not None else None
            self._end_open(key)
            self._open[key] = self._tracer.start_span(name, context=context, attributes=attributes)

    def _end(self, key: tuple[str, str | None]) -> None:
        with self._lock:
            self._end_open(key)

    def _end_open(self, key: tuple[str, str | None]) -> None:
        if (span := self._open.pop(key, None)) is not None:
            span.end()
