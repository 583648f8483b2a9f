"""What a worker tells people who watch many."""

from __future__ import annotations

from urllib.request import urlopen

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.work import Database

from pgweave.runtime.worker.service import Settings, Worker
from pgweave.runtime.worker.telemetry import Prometheus, Spans, several


def test_figures_count_what_was_done_and_time_every_step(database: str) -> None:
    place = Database(database)
    place.start("'SELECT 1' ~> 'SELECT 2'")
    figures = Prometheus(0)
    try:
        Worker(database, Settings(poll_seconds=0.05), several(figures, place.events)).run(once=True)
        with urlopen(f"http://127.0.0.1:{figures.port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        figures.close()
        place.client.close()
    assert 'pgweave_events_total{event="checkpointed"} 2.0' in text
    assert 'pgweave_events_total{event="finished"} 1.0' in text
    assert "pgweave_step_seconds_count 2.0" in text


def test_spans_have_ids_and_no_sql(database: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    place = Database(database)
    instance = place.start("'SELECT ''secret''' ~> df.sleep(0)", "a label")
    Worker(database, Settings(poll_seconds=0.05), Spans()).run(once=True)
    place.client.close()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans][:1] == ["pgweave.step"]
    steps = [span for span in spans if span.name == "pgweave.step"]
    leases = {span.context.span_id for span in spans if span.name == "pgweave.lease" and span.context}
    assert all(step.parent and step.parent.span_id in leases for step in steps)
    assert all((span.attributes or {})["pgweave.instance_id"] == instance for span in spans)
    assert "secret" not in str([span.to_json() for span in spans])
    provider.shutdown()


def test_a_worker_is_listed_while_it_works_and_gone_when_it_has_stopped(database: str) -> None:
    seen = []
    place = Database(database)

    def look(event: str, instance_id: str, node_id: str | None) -> None:
        if event == "step":
            seen.extend(place.client.workers())

    place.start("'SELECT 1'")
    worker = Worker(database, Settings(poll_seconds=0.05, concurrency=3), look)
    worker.run(once=True)
    assert [(state.name, state.concurrency) for state in seen] == [(worker.name, 3)]
    assert place.client.workers() == []
    place.client.close()
