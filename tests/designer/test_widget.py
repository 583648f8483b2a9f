"""The designer in a notebook: what a cell sees, and what the front end hears."""

from __future__ import annotations

from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

import pgweave
from pgweave.designer.widget import Designer
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import ProgramError

if TYPE_CHECKING:
    from pathlib import Path


class FrontEnd:
    """What a browser does with the widget's messages."""

    def __init__(self, designer: Designer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.designer = designer
        self.messages: Queue[dict[str, Any]] = Queue()
        monkeypatch.setattr(designer, "send", self.messages.put)

    def ask(self, kind: str, **arguments: object) -> dict[str, Any]:
        self.designer._handle_custom_msg({"type": kind, "id": 1, **arguments}, [])
        return self.next("reply")

    def next(self, kind: str) -> dict[str, Any]:
        while (message := self.messages.get(timeout=20))["type"] != kind:
            pass
        return message


def test_what_is_typed_in_the_browser_is_the_text_of_the_next_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    designer = pgweave.parse("SELECT df.start('SELECT 1', 'x');").design()
    front = FrontEnd(designer, monkeypatch)
    hello = front.ask("hello")
    assert (hello["ok"], hello["home"], hello["runnable"], hello["saved"]) == (True, "widget", True, True)
    change = [24, [1, "2"], 8]
    assert front.ask("push", version=0, updates=[{"clientID": "a", "changes": change}])["ok"]
    assert designer.text == "SELECT df.start('SELECT 2', 'x');"
    assert designer.workflow.label == "x"
    assert designer.findings == []
    assert [workflow.name for workflow in designer.workflows] == ["x"]


def test_what_a_cell_assigns_reaches_the_browser_and_costs_it_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    designer = Designer("'SELECT 1' ~> 'SELECT 2'")
    front = FrontEnd(designer, monkeypatch)
    front.ask("hello")
    designer.text = "'SELECT 1' ~> 'SELECT 20'"
    event = front.next("updates")
    assert event["updates"] == [{"clientID": "kernel", "changes": [23, [0, "0"], 1]}]
    assert not front.ask("push", version=0, updates=[{"clientID": "a", "changes": [9, [0, "0"], 15]}])["ok"]
    assert front.ask("pull", version=0)["updates"] == event["updates"]
    assert front.ask("push", version=1, updates=[{"clientID": "a", "changes": [9, [0, "0"], 16]}])["ok"]
    assert designer.text == "'SELECT 10' ~> 'SELECT 20'"


def test_a_text_with_errors_has_findings_and_no_workflow() -> None:
    designer = Designer("'SELECT 1' ~>")
    assert [found.code for found in designer.findings] == ["PW001"]
    with pytest.raises(ProgramError):
        _ = designer.workflow
    with pytest.raises(PgweaveError, match="has no file"):
        designer.save()


def test_a_program_that_was_loaded_is_saved_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(b"-- one\r\n'SELECT 1'\r\n")
    designer = pgweave.load(path).design()
    front = FrontEnd(designer, monkeypatch)
    designer.text = designer.text.replace("one", "two")
    assert front.ask("save", version=1) == {"type": "reply", "re": 1, "ok": True, "saved": True, "name": str(path)}
    assert path.read_bytes() == b"-- two\r\n'SELECT 1'\r\n"
    assert designer.save(tmp_path / "other.df") == tmp_path / "other.df"
    designer.text = "'SELECT 3'\n"
    designer.save()
    assert (tmp_path / "other.df").read_text() == "'SELECT 3'\n"
    assert path.read_bytes() == b"-- two\r\n'SELECT 1'\r\n"


def test_a_change_of_the_file_is_seen_when_the_designer_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.df"
    path.write_text("'SELECT 1'\n")
    designer = pgweave.load(path).design()
    path.write_text("'SELECT 22'\n")
    FrontEnd(designer, monkeypatch).ask("hello")
    assert designer.text == "'SELECT 22'\n"


def test_saving_over_somebody_else_s_change_is_refused_until_it_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "x.df"
    path.write_text("'SELECT 1'\n")
    designer = pgweave.load(path).design()
    designer.text = "'SELECT 2'\n"
    path.write_text("'SELECT 3'\n")
    with pytest.raises(PgweaveError, match="changed by another program"):
        designer.save()
    assert path.read_text() == "'SELECT 3'\n"


def test_a_program_that_is_no_file_any_more_is_kept_in_none(tmp_path: Path) -> None:
    path = tmp_path / "x.df"
    path.write_text("'SELECT 1'\n")
    workflow = pgweave.load(path)
    path.write_text("'SELECT 2'\n")
    designer = workflow.design()
    assert designer.text == "'SELECT 1'\n"
    with pytest.raises(PgweaveError, match="has no file"):
        designer.save()


def test_where_there_are_no_widgets_a_picture_is_shown() -> None:
    data, _ = pgweave.parse("'SELECT 1'").design()._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert "SELECT 1" in data["text/plain"]
    assert "text/plain" in Designer("'a' ~>")._repr_mimebundle_()[0]


def test_a_workflow_is_started_from_the_widget(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgweave.observe import background

    designer = pgweave.parse("SELECT df.start('SELECT 7 AS n', 'x');").design(dsn=database)
    front = FrontEnd(designer, monkeypatch)
    assert front.ask("start", target="", label=None, variables={}, check=True)["instance"]
    try:
        while (event := front.next("run"))["status"] != "completed":
            pass
        assert event["result"]["rows"] == [["7"]]
    finally:
        background.stop_all()
