"""`import pgweave`: what a program of one's own can do with workflows and with the database they run in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import networkx as nx
import psycopg
import pytest

import pgweave
from pgweave.compiler import passes
from pgweave.grammar.diagnostics import Severity
from pgweave.runtime.errors import ConnectionFailed, InstanceNotFound, SchemaMissing, StartRefused
from pgweave.runtime.worker.service import working
from pgweave.workflow import RunFailed

if TYPE_CHECKING:
    from pathlib import Path

    from pgweave.compiler.subject import Target
    from pgweave.form_names import Emit, Format
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Module

ADDS = "'SELECT 1 AS one' |=> 'first' ~> 'SELECT $first + 1 AS two'"
BROKEN = "'SELECT 1'\n~> ~> 'SELECT 2'"


def test_everything_that_is_promised_can_be_imported() -> None:
    promised = {"Client", "PgweaveError", "ProgramError", "Workflow", "connect", "load", "load_all", "parse"}
    assert promised <= set(pgweave.__all__)
    for name in pgweave.__all__:
        assert getattr(pgweave, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'wokflow'"):
        pgweave.wokflow  # noqa: B018


def test_a_text_is_parsed_to_its_one_workflow() -> None:
    workflow = pgweave.parse(f"df.setvar('who', 'Ann');\ndf.start({ADDS}, 'adds');")
    assert (workflow.name, workflow.label) == ("adds", "adds")
    assert [(variable.name, variable.value) for variable in workflow.module.variables] == [("who", "Ann")]
    assert pgweave.parse(ADDS).label is None


def test_a_file_is_loaded_and_named_after_itself(tmp_path: Path) -> None:
    (tmp_path / "adds.df").write_text(ADDS, encoding="utf-8")
    assert pgweave.load(tmp_path / "adds.df").name == "adds"
    assert pgweave.load(str(tmp_path / "adds.df")) == pgweave.load(tmp_path / "adds.df")


def test_a_file_with_several_workflows_is_loaded_whole(tmp_path: Path) -> None:
    path = tmp_path / "two.df"
    path.write_text("df.start('SELECT 1', 'left');\ndf.start('SELECT 2', 'right');", encoding="utf-8")
    assert [workflow.name for workflow in pgweave.load_all(path)] == ["left", "right"]
    with pytest.raises(pgweave.PgweaveError, match=r"holds 2 workflows \(left, right\), not one") as refusal:
        pgweave.load(path)
    assert "load_all" in refusal.value.advice


def test_what_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(pgweave.PgweaveError, match=r"Cannot read .*none\.df: No such file"):
        pgweave.load(tmp_path / "none.df")
    (tmp_path / "latin.df").write_bytes(b"'\xe9'")
    with pytest.raises(pgweave.PgweaveError, match="is not UTF-8: byte 1 is 0xe9"):
        pgweave.load(tmp_path / "latin.df")
    with pytest.raises(pgweave.PgweaveError, match="holds 0 workflows"):
        pgweave.parse("-- nothing")


def test_a_program_that_does_not_parse_carries_its_findings() -> None:
    with pytest.raises(pgweave.ProgramError) as refusal:
        pgweave.parse(BROKEN, "broken.df")
    (finding,) = refusal.value.findings
    assert finding.code == "PW001"
    assert refusal.value.source.location(finding.span.start).line == 2
    assert "--> broken.df:2:4" in str(refusal.value)


def test_a_check_gives_findings_with_codes_in_the_order_of_the_text() -> None:
    workflow = pgweave.parse("df.call_child('SELECT $x', 'child') ~> df.break()")
    assert [finding.code for finding in workflow.check()] == ["PW601", "PW201", "PW304"]
    assert pgweave.parse(ADDS).check() == []


def test_a_check_of_one_workflow_says_nothing_about_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "two.df"
    path.write_text("df.start('SELECT $x', 'bad');\ndf.start('SELECT 2', 'good');", encoding="utf-8")
    bad, good = pgweave.load_all(path)
    assert [finding.code for finding in bad.check()] == ["PW201"]
    assert good.check() == []


def test_compile_refuses_what_check_refuses() -> None:
    for options in ('{"retries": 3}', '{"timeout_seconds": 1.5}', '{"on_failure": "ignore"}'):
        workflow = pgweave.parse(f"df.call_child('SELECT 1', 'child', '{options}')")
        with pytest.raises(pgweave.ProgramError) as refusal:
            workflow.compile("rows")
        assert list(refusal.value.findings) == [one for one in workflow.check() if one.severity is Severity.ERROR]


def test_a_text_is_checked_once_for_all_its_workflows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.df"
    path.write_text("\n".join(f"df.start('SELECT $x{n}', 'w{n}');" for n in range(20)), encoding="utf-8")
    times: list[int] = []
    run = passes.check

    def counted(module: Module, *, target: Target = "pgweave") -> tuple[Diagnostic, ...]:
        times.append(1)
        return run(module, target=target)

    monkeypatch.setattr(passes, "check", counted)
    found = [workflow.check() for workflow in pgweave.load_all(path)]
    assert [len(one) for one in found] == [1] * 20
    assert len(times) == 1


def test_what_a_check_says_of_a_workflow_is_in_the_order_of_the_text() -> None:
    options = '{"timeout_seconds": 10}'
    child = f"df.call_child(df.sleep(1), 'c', '{options}')"
    workflow = pgweave.parse(f"{' ~> '.join([child] * 12)} ~> 'SELECT $late'".replace("df.sleep(1)", "'SELECT $early'"))
    found = workflow.check()
    assert found == sorted(found, key=lambda one: one.span)


@pytest.mark.parametrize("emit", ["tree", "rows", "graph", "dot", "mermaid", "ascii"])
def test_equal_programs_compile_to_equal_text(emit: Emit) -> None:
    """Byte for byte, wherever they stand; but the graph, which knows where."""
    text = pgweave.parse(ADDS).compile(emit)
    assert text == pgweave.parse(ADDS).compile(emit)
    assert emit == "graph" or text == pgweave.parse(f"\n\n  {ADDS}  -- the same").compile(emit)


def test_rows_and_tree_are_json() -> None:
    workflow = pgweave.parse(ADDS)
    rows = json.loads(workflow.compile("rows"))
    assert [row["node_type"] for row in rows] == ["THEN", "SQL", "SQL"]
    assert rows[0]["left_node"] == rows[1]["id"]
    assert rows[1]["result_name"] == "first"
    assert json.loads(workflow.compile("tree"))["left_node"]["query"] == "SELECT 1 AS one"


def test_the_graph_is_one_of_networkx() -> None:
    graph = pgweave.parse(ADDS).graph
    assert isinstance(graph, nx.DiGraph)
    assert nx.is_directed_acyclic_graph(graph)


@pytest.mark.parametrize(
    ("form", "start"),
    [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph"), ("mmd", b"flowchart")],
)
def test_a_picture_is_bytes(form: Format, start: bytes) -> None:
    assert pgweave.parse(ADDS).render(form).startswith(start)


def test_what_only_the_database_knows_cannot_be_compiled_but_run(database: str) -> None:
    workflow = pgweave.parse("'SELECT 20 AS n' |=> 'n' ~> (SELECT 'SELECT $n + 1 AS next')")
    assert workflow.computed
    with pytest.raises(pgweave.ProgramError) as refusal:
        workflow.compile("rows")
    assert [finding.code for finding in refusal.value.findings] == ["PW509"]
    assert workflow.run(database) == {"rows": [{"next": 21}], "row_count": 1, "rows_affected": 1}


def test_a_run_gives_the_result_as_values(database: str) -> None:
    result = pgweave.parse("'SELECT 1.10 AS price, NULL AS nothing, ''x'' AS word'").run(dsn=database)
    assert str(result["rows"][0]["price"]) == "1.10"  # type: ignore[index]
    assert result["rows"][0]["nothing"] is None  # type: ignore[index]


def test_a_failed_run_says_why(database: str) -> None:
    with pytest.raises(RunFailed, match=r"failed: .*division by zero") as failure:
        pgweave.parse("'SELECT 1/0'").run(dsn=database)
    assert (failure.value.status, (failure.value.error or {})["sqlstate"]) == ("failed", "22012")
    assert issubclass(RunFailed, pgweave.PgweaveError)


def test_a_program_with_an_error_never_starts(database: str) -> None:
    with pytest.raises(pgweave.ProgramError):
        pgweave.parse("'SELECT 1' ~> 'SELECT $nobody'").run(dsn=database)
    with pgweave.connect(database) as client:
        assert client.instances() == []


def test_a_client_starts_signals_and_waits(database: str) -> None:
    workflow = pgweave.parse("(df.wait_for_signal('go') |=> 'said') ~> 'SELECT ($said.data)::jsonb -> ''n'' AS n'")
    with working(database), pgweave.connect(database) as client:
        instance_id = client.start(workflow.compile("tree"), "asks")
        client.signal(instance_id, "go", {"n": 3})
        assert client.wait(instance_id) == "completed"
        assert client.status(instance_id) == "completed"
        assert client.result(instance_id) == {"rows": [{"n": 3}], "row_count": 1, "rows_affected": 1}
        assert [(found.id, found.label) for found in client.instances()] == [(instance_id, "asks")]
        assert [node.node_type for node in client.nodes(instance_id)] == ["THEN", "SIGNAL", "SQL"]


def test_a_client_cancels(database: str) -> None:
    with working(database), pgweave.connect(database) as client:
        instance_id = client.start(pgweave.parse("df.sleep(3600)").compile("tree"))
        client.cancel(instance_id, "changed our mind")
        assert client.wait(instance_id) == "cancelled"
        assert client.result(instance_id) is None


def test_a_wait_that_takes_too_long_is_a_timeout(database: str) -> None:
    with pgweave.connect(database) as client:
        instance_id = client.start("SELECT 1")
        with pytest.raises(TimeoutError, match=instance_id):
            client.wait(instance_id, timeout_seconds=1)


def test_what_a_client_cannot_do_is_said_by_name(database: str) -> None:
    with pgweave.connect(database) as client:
        for call in (client.status, client.instance, client.result, client.cancel, client.wait):
            with pytest.raises(InstanceNotFound):
                call("0123abcd")
        with pytest.raises(InstanceNotFound):
            client.signal("0123abcd", "go")
        with pytest.raises(StartRefused, match="Unknown node_type 'FOO'"):
            client.start('{"node_type": "FOO"}')
    with pytest.raises(ConnectionFailed):
        pgweave.connect("host=/nonexistent")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop schema df, df_internal cascade")
    with pytest.raises(SchemaMissing, match="has no df schema") as refusal:
        pgweave.connect(database)
    assert "pgweave db install" in refusal.value.advice


def test_the_environment_names_the_database(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGWEAVE_DSN", database)
    with pgweave.connect() as client:
        assert client.instances() == []
    assert pgweave.parse(ADDS).run() == {"rows": [{"two": 2}], "row_count": 1, "rows_affected": 1}


def test_without_a_database_a_client_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGWEAVE_DSN", raising=False)
    monkeypatch.setenv("PGWEAVE_DATA", str(tmp_path / "none"))
    with pytest.raises(ConnectionFailed, match="no embedded server runs on") as refusal:
        pgweave.connect()
    assert "PGWEAVE_DSN" in refusal.value.advice
