"""The designer's answers, without a transport: texts, gestures, findings, completion, schedules, comparisons."""

from __future__ import annotations

import json
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgweave.designer import answers
from pgweave.designer.document import Document, applied
from pgweave.designer.opening import open_file
from pgweave.designer.operator import Operator
from pgweave.designer.page_results import rows
from pgweave.designer.questions import schedule
from pgweave.designer.session import Session
from pgweave.observe import session_database
from pgweave.runtime.client import Client
from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.server import embedded
from pgweave.runtime.target import prepared

if TYPE_CHECKING:
    from pgweave.designer.views import Message


class View:
    """A view that remembers what it was sent."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: Queue[Message] = Queue()
        self.number = 0
        session.join(self)

    def send(self, message: Message) -> None:
        self.events.put(message)

    def ask(self, kind: str, **arguments: object) -> dict[str, Any]:
        self.number += 1
        answer = answers.answer(self.session, self, {"type": kind, "id": self.number, **arguments})
        assert answer["re"] == self.number
        return answer

    def event(self, kind: str) -> Message:
        """The next event of a kind."""
        while (event := self.events.get(timeout=20))["type"] != kind:
            pass
        return event

    def drawing(self, version: int) -> dict[str, Any]:
        """The drawing of a version; older ones may come before it."""
        while (event := self.event("drawing"))["version"] != version:
            assert event["version"] < version
        return dict(event["drawing"])


def session(text: str = "", name: str = "x.df") -> Session:
    return Session(Document(text), name=name, home="studio")


def changed(text: str, answer: dict[str, Any]) -> str:
    """The text after an answer's changes, which count in plain characters here."""
    for change in sorted(answer["changes"], key=lambda change: -change["from"]):
        text = text[: change["from"]] + change["insert"] + text[change["to"] :]
    return text


def test_a_view_begins_with_everything_and_gets_the_drawing() -> None:
    view = View(session("'SELECT 1'"))
    answers.handle(view.session, view, {"type": "hello", "id": 1})
    hello = view.event("reply")
    assert (hello["text"], hello["version"], hello["form"], hello["home"]) == ("'SELECT 1'", 0, "program", "studio")
    assert not hello["runnable"]
    assert {entry["group"] for entry in hello["palette"]} == {"steps", "waits", "flow", "children"}
    assert view.drawing(0)["programs"][0]["root"]["kind"] == "SQL"


def test_a_change_reaches_every_view_and_is_drawn() -> None:
    one = View(session("'SELECT 1'"))
    other = View(one.session)
    updates = [{"clientID": "a", "changes": [8, [1, "2"], 1]}]
    assert one.ask("push", version=0, updates=updates) == {"type": "reply", "re": 1, "ok": True, "version": 1}
    for view in (one, other):
        assert view.event("updates") == {"type": "updates", "version": 1, "updates": updates}
        assert view.drawing(1)["programs"][0]["root"]["sql"]["value"] == "SELECT 2"
    late = other.ask("push", version=0, updates=updates)
    assert (late["ok"], late["message"]) == (False, "The text has changed meanwhile.")
    assert other.ask("pull", version=0)["updates"] == updates


def test_a_gesture_is_worked_out_here_and_made_there() -> None:
    text = "-- 🐘\n'SELECT 1'"
    view = View(session(text))
    answer = view.ask("edit", version=0, target="0:", gesture="insert_after", entry="sleep")
    assert answer["changes"] == [{"from": 16, "to": 16, "insert": " ~> df.sleep(60)"}]
    assert (answer["select"], answer["block"]) == (20, "0:1")
    assert view.session.document.version == 0
    refused = view.ask("edit", version=0, target="0:9", gesture="delete")
    assert (refused["ok"], refused["message"]) == (False, "This step is not there any more.")
    assert not view.ask("edit", version=7, target="0:", gesture="delete")["ok"]


def test_a_gesture_on_a_text_that_cannot_be_read_is_refused() -> None:
    """One workflow is missing: the block 0: that the page still shows is not the one that is 0: now."""
    view = View(session("'SELECT 1' ~>;\n'SELECT 2';\n"))
    answer = view.ask("edit", version=0, target="0:", gesture="delete")
    assert (answer["ok"], answer["message"]) == (False, "The text cannot be read as it is; fix it first.")


def test_a_finding_is_fixed_by_its_fix() -> None:
    text = "'SELECT 1' ~> 'SELECT 2' & 'SELECT 3'"
    view = View(session(text))
    drawn = view.session.draw().drawing
    number = next(found["index"] for found in drawn["findings"] if found["code"] == "PW101" and found["fix"])
    assert "(" in changed(text, view.ask("fix", version=0, finding=number))


def test_formatting_is_a_change_like_any_other() -> None:
    text = "SELECT   df.start( 'SELECT 1','x' )  ;"
    view = View(session(text))
    assert changed(text, view.ask("format", version=0)) == "SELECT df.start('SELECT 1', 'x');\n"
    broken = View(session("'a' ~>")).ask("format", version=0)
    assert not broken["ok"]
    assert broken["message"].startswith("Line 1: Expected a step")
    assert broken["advice"]


def test_names_and_columns_are_completed_in_the_text_and_in_the_inspector() -> None:
    text = "'SELECT 1 AS id' |=> 'order' ~> 'SELECT '"
    view = View(session(text))
    offset = len(text) - 1
    assert view.ask("complete", version=0, offset=offset)["options"] == []
    # The statement is in the inspector and not yet in the text.
    names = view.ask("complete", version=0, offset=10, block="0:1", sql="SELECT '$'")
    names = view.ask("complete", version=0, offset=10, block="0:1", sql="SELECT $or")
    assert (names["from"], [option["label"] for option in names["options"]]) == (8, ["order"])
    columns = view.ask("complete", version=0, offset=14, block="0:1", sql="SELECT $order.")
    assert (columns["from"], [option["label"] for option in columns["options"]]) == (14, ["id", "*"])
    nowhere = view.ask("complete", version=0, offset=3, block="0:7", sql="$or")
    assert nowhere["options"] == []


def test_hovering_says_what_a_name_is() -> None:
    text = "'SELECT 1 AS id' |=> 'order' ~> 'SELECT $order'"
    answer = View(session(text)).ask("hover", version=0, offset=text.index("$order") + 2)
    assert text[answer["from"] : answer["to"]] == "$order"
    assert "SELECT 1 AS id" in answer["markdown"]
    assert View(session("'a'")).ask("hover", version=0, offset=1)["markdown"] is None


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_schedule_is_said_in_words_with_the_next_five_times() -> None:
    found = schedule("0 6 * * MON-FRI", None, NOW)
    assert found["words"] == "At 06:00 on Monday through Friday"
    assert found["next"] == [f"{day} Nov 2026 06:00 UTC" for day in ("Mon 23", "Tue 24", "Wed 25", "Thu 26", "Fri 27")]
    berlin = schedule("CRON_TZ=Europe/Berlin 30 2 29 3 *", None, NOW)
    assert berlin["next"][0] == "Mon 29 Mar 2027 02:30 CEST"
    assert schedule("0 6 * * *", "Asia/Tokyo", NOW)["next"][0] == "Mon 23 Nov 2026 15:00 JST"


@pytest.mark.parametrize(("expression", "zone", "said"), [("often", None, "5 fields"), ("0 0 31 2 *", None, "never"), ("* * * * *", "Mars/Base", "zone"), ("CRON_TZ=Nowhere * * * * *", None, "zone"), ("61 * * * *", None, "minute 61")])  # fmt: skip
def test_what_is_no_schedule_is_said_in_words(expression: str, zone: str | None, said: str) -> None:
    with pytest.raises(PgweaveError, match=said):
        schedule(expression, zone, NOW)


def test_two_versions_are_compared_in_words_and_in_one_picture() -> None:
    view = View(session("'SELECT 1' ~> 'SELECT 2'"))
    answer = view.ask("compare", **{"with": "text", "text": "'SELECT 1'"})
    assert any("added" in word and "SELECT 2" in word for word in answer["words"])
    assert answer["svg"] is None or "<svg" in answer["svg"]
    assert view.ask("compare", **{"with": "text", "text": "'SELECT 1' ~> 'SELECT 2'"}) == {
        "type": "reply", "re": 2, "ok": True, "svg": None, "words": [],
    }  # fmt: skip
    assert not view.ask("compare", **{"with": "git"})["ok"]
    assert not view.ask("compare", **{"with": "text", "text": "'SELECT 1' ~>"})["ok"]


def test_a_file_is_compared_with_what_was_saved_and_with_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(b"'SELECT 1'\r\n")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True)
    path.write_bytes(b"'SELECT 1' ~> 'SELECT 2'\r\n")
    view = View(open_file(path))
    view.session.change("'SELECT 1' ~> 'SELECT 3'\n")
    saved = view.ask("compare", **{"with": "saved"})["words"]
    committed = view.ask("compare", **{"with": "git"})["words"]
    assert [word.split()[1] for word in saved] == ["changed"]
    assert [word.split()[1] for word in committed] == ["added"]
    assert "SELECT 3" in committed[0]


def test_a_text_without_a_file_asks_for_a_name_when_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    view = View(open_file(None))
    view.session.change("'SELECT 1'\n")
    assert not view.session.saved
    assert view.ask("save", version=1)["name_needed"]
    assert not view.ask("save", version=1, name="../x")["ok"]
    assert view.ask("save", version=1, name="night") == {
        "type": "reply", "re": 3, "ok": True, "saved": True, "name": "night.df",
    }  # fmt: skip
    assert (tmp_path / "night.df").read_text() == "'SELECT 1'\n"
    assert view.event("disk") == {"type": "disk", "saved": True, "notice": None}


@pytest.mark.parametrize("path", ["notes.ipynb", "nowhere/x.df"])
def test_what_cannot_be_opened_says_why(path: str, tmp_path: Path) -> None:
    with pytest.raises(PgweaveError) as refused:
        open_file(tmp_path / path)
    assert refused.value.advice


@pytest.mark.parametrize(
    "request_", [None, [], "x", {}, {"type": "dance", "id": 1}, {"type": "edit", "id": 1}, {"type": "fix", "id": 1, "version": 0, "finding": 99}, {"type": "push", "id": 1, "version": 0, "updates": [{}]}, {"type": "push", "id": 1, "version": 0, "updates": 5}, {"type": "complete", "id": 1, "version": 0, "offset": "x"}, {"type": "save", "id": 1}, {"type": "start", "id": 1}],
)  # fmt: skip
def test_whatever_is_sent_gets_an_answer(request_: object) -> None:
    view = View(session("'SELECT 1'"))
    view.session.draw()
    answer = answers.answer(view.session, view, request_)
    assert answer["type"] == "reply"
    assert answer["ok"] or (answer["message"] and "Traceback" not in answer["message"])
    assert view.session.document.text == "'SELECT 1'"


def test_trouble_with_the_database_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(session: Session, view: View, request: object) -> dict[str, Any]:
        raise psycopg.errors.InsufficientPrivilege("permission denied for schema df\nLINE 1: ...")

    monkeypatch.setitem(answers.ANSWERS, "instances", refuse)
    answer = View(session()).ask("instances", status=None, text=None, limit=5)
    assert answer["message"] == "The database said: permission denied for schema df"


def test_past_runs_are_listed_though_the_embedded_server_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that has just been opened has started nothing; who asks for the list wants to see it all the same."""
    ours: dict[Path, embedded.Server] = {}
    monkeypatch.setattr(session_database, "_servers", ours)
    monkeypatch.delenv("PGWEAVE_DSN", raising=False)
    with tempfile.TemporaryDirectory(prefix="pgweave-test-") as folder:
        Path(folder).chmod(0o755)  # the server may run under another account
        monkeypatch.setenv("PGWEAVE_DATA", str(Path(folder) / "data"))
        operator = Operator()
        assert operator.instances(None, None, 10) == []
        assert embedded.status().version is None, "looking has made a database"
        with prepared(None) as dsn, Client(dsn) as client:
            past = client.start('{"node_type": "SQL", "query": "SELECT 1"}', "past")
        assert not embedded.status().running
        try:
            assert [row["id"] for row in operator.instances(None, None, 10)] == [past]
        finally:
            ours.popitem()[1].release()
        assert not embedded.status().running


def test_changes_of_the_notebook_and_of_a_view_interleave() -> None:
    view = View(session("'SELECT 1' ~> 'SELECT 2'"))
    view.session.change("'SELECT 10' ~> 'SELECT 2'")
    [update] = view.event("updates")["updates"]
    assert update["clientID"] == "kernel"
    assert applied("'SELECT 1' ~> 'SELECT 2'", update["changes"]) == view.session.document.text
    assert not view.ask("push", version=0, updates=[{"clientID": "a", "changes": [24, [0, " "]]}])["ok"]
    assert view.ask("push", version=1, updates=[{"clientID": "a", "changes": [25, [0, " "]]}])["ok"]
    assert view.session.document.text == "'SELECT 10' ~> 'SELECT 2' "


def test_a_file_that_cannot_be_read_is_told_of_once(tmp_path: Path) -> None:
    path = tmp_path / "x.df"
    path.write_text("'SELECT 1'")
    view = View(open_file(path))
    path.write_bytes(b"\xff")
    for _ in range(3):
        view.session.look()
    assert "not UTF-8" in view.event("disk")["notice"]
    assert view.events.empty()
    path.write_text("'SELECT 2'")
    view.session.look()
    assert view.event("disk")["saved"]
    assert view.session.document.text == "'SELECT 2'"


def test_results_are_texts_with_all_the_digits_that_the_database_gave() -> None:
    row = '{"n": 1.10, "big": 123456789012345678901234567890.5, "j": {"a": [1.50, "x"]}, "t": "<b>", "z": null, "b": true}'
    found = rows(f'{{"rows": [{row}], "row_count": 1}}')
    assert found["columns"] == ["n", "big", "j", "t", "z", "b"]
    assert found["rows"] == [
        ["1.10", "123456789012345678901234567890.5", '{"a": [1.50, "x"]}', "<b>", None, "true"],
    ]  # fmt: skip
    assert rows('{"status": "completed", "result": {"n": 1.0, "e": []}}')["text"] == (
        '{\n  "status": "completed",\n  "result": {\n    "n": 1.0,\n    "e": []\n  }\n}'
    )
    assert rows('"plain"')["text"] == "plain"
    assert rows("null")["text"] == "null"


def test_a_long_result_is_cut_and_says_so() -> None:
    many = rows(json.dumps({"rows": [{"n": number} for number in range(500)], "row_count": 500}))
    assert (len(many["rows"]), many["row_count"], many["cut"]) == (200, 500, True)
    wide = rows(json.dumps({"rows": [{"t": "x" * 50_000}]}))
    assert len(wide["rows"][0][0] or "") == 10_001
