"""`pgweave studio` over real sockets: who gets in, what the page may do, and what happens to the file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from support.signals import usual_signals
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from pgweave.designer.opening import open_file
from pgweave.designer.studio_server import Studio, bind, server
from pgweave.observe import background, session_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection


@contextmanager
def serving(path: Path | None, dsn: str | None = None) -> Iterator[Studio]:
    """A studio on a free port, as the command runs it."""
    with bind(0) as listening:
        studio = Studio(open_file(path, dsn), listening.getsockname()[1])
        running = server(studio)
        thread = Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield studio
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "x.df"
    found.write_text("SELECT df.start('SELECT 1', 'x');\n", encoding="utf-8")
    return found


@pytest.fixture
def studio(path: Path) -> Iterator[Studio]:
    with serving(path) as running:
        yield running


def get(studio: Studio, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(studio.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request("GET", path, headers={"Host": parts.netloc, **headers})
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read().decode()
    connection.close()
    return found


class Page:
    """What the page's script does: requests with numbers, replies to them, events in between."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def ask(self, kind: str, **arguments: object) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"type": kind, "id": self.number, **arguments}))
        while True:
            message = json.loads(self.socket.recv(timeout=20))
            if message.get("re") == self.number:
                return dict(message)
            self.events.append(message)

    def event(self, kind: str, **wanted: object) -> dict[str, Any]:
        """The next event of a kind that says what is wanted."""
        while True:
            event = self.events.pop(0) if self.events else json.loads(self.socket.recv(timeout=20))
            if event["type"] == kind and all(event.get(name) == value for name, value in wanted.items()):
                return dict(event)

    def type(self, old: str, new: str) -> None:
        """Change the text as a person would who types."""
        hello = self.ask("hello")
        at = hello["text"].index(old)
        changes = [at, [len(old), new], len(hello["text"]) - at - len(old)]
        answer = self.ask("push", version=hello["version"], updates=[{"clientID": "page", "changes": changes}])
        assert answer["ok"], answer


@contextmanager
def opened(studio: Studio, origin: str | None = None) -> Iterator[Page]:
    address = studio.url.replace("http:", "ws:") + "ws"
    own = studio.url[: studio.url.index("/", 7)]
    with connect(address, origin=Origin(origin or own), open_timeout=20) as socket:
        yield Page(socket)


# Who gets in


def test_the_page_comes_with_the_token_and_with_nothing_else(studio: Studio) -> None:
    path = urlsplit(studio.url).path
    status, headers, body = get(studio, path)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "studio.js" in body
    for wrong in ("/", "/x/", path.lower() + "x/", "/" + "A" * 32 + "/"):
        assert get(studio, wrong)[0] in {403, 404}
    assert get(studio, "/x/designer.js")[0] == 403
    assert get(studio, f"{path}../../etc/passwd")[0] == 404
    assert get(studio, f"{path}secrets")[0] == 404
    assert studio.token not in body


def test_the_page_may_load_nothing_from_elsewhere_and_is_kept_nowhere(studio: Studio) -> None:
    for name in ("", "studio.js", "studio.css", "designer.js"):
        status, headers, body = get(studio, urlsplit(studio.url).path + name)
        assert status == 200, body
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert [name for name, sources in policy.items() if "unsafe" in sources] == ["style-src-attr"]
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    page = get(studio, urlsplit(studio.url).path)[2]
    assert not re.search(r"https?://|<script>|\son\w+=", page)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", ""])
def test_a_request_that_was_meant_for_another_host_is_refused(studio: Studio, host: str) -> None:
    """DNS rebinding: the browser believes that it talks to evil.example, whose address is now this machine."""
    status, _, body = get(studio, urlsplit(studio.url).path, Host=host)
    assert status == 421
    assert "studio" not in body
    assert get(studio, urlsplit(studio.url).path, Host=f"localhost:{urlsplit(studio.url).port}")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_a_socket_of_another_page_is_refused(studio: Studio, origin: str) -> None:
    with pytest.raises(InvalidStatus), opened(studio, origin):
        pass
    assert studio.session.views == []


def test_a_socket_without_the_token_or_for_another_host_is_refused(studio: Studio) -> None:
    parts = urlsplit(studio.url)
    for address, headers in (
        (f"ws://{parts.netloc}/wrong/ws", {}),
        (f"ws://{parts.netloc}/{studio.token[:-1]}/ws", {}),
        (f"ws://{parts.netloc}/{studio.token}/ws", {"Host": "evil.example"}),
    ):
        with pytest.raises(InvalidStatus):
            connect(address, origin=Origin(f"http://{parts.netloc}"), additional_headers=headers)


def test_only_this_machine_is_listened_to(studio: Studio) -> None:
    with bind(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_said_in_words() -> None:
    from pgweave.runtime.errors import PgweaveError

    with bind(0) as taken, pytest.raises(PgweaveError, match="Cannot listen on port"):
        bind(taken.getsockname()[1])


def test_nonsense_on_the_socket_is_answered_and_ends_nothing(studio: Studio) -> None:
    with opened(studio) as page:
        for nonsense in ("", "{", "[]", "null", '{"type": "hello"}', '{"type": 5, "id": {}}', "[" * 10_000):
            page.socket.send(nonsense)
        answers = [json.loads(page.socket.recv(timeout=20)) for _ in range(7)]
        assert sum(answer.get("ok") is False for answer in answers) >= 5
        assert page.ask("hello")["ok"]


# The file


def test_opening_a_page_runs_nothing_and_connects_to_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(dsn: str | None = None) -> str:
        raise AssertionError("a database was asked for")

    monkeypatch.setattr(session_database, "current", asked)
    with serving(path, "postgresql://127.0.0.1:1/none") as studio, opened(studio) as page:
        assert page.ask("hello")["runnable"]
        assert page.event("drawing")["drawing"]["ok"]


def test_typing_and_saving_changes_the_file(studio: Studio, path: Path) -> None:
    with opened(studio) as page:
        page.type("SELECT 1", "SELECT 2")
        assert path.read_text() == "SELECT df.start('SELECT 1', 'x');\n"
        assert page.ask("save", version=1)["saved"]
        assert page.event("disk", saved=True)
    assert path.read_text() == "SELECT df.start('SELECT 2', 'x');\n"


def test_a_program_full_of_errors_is_saved_all_the_same(studio: Studio, path: Path) -> None:
    with opened(studio) as page:
        page.type("'SELECT 1', 'x'", "'SELECT $nobody' ~>")
        assert not page.event("drawing", version=1)["drawing"]["ok"]
        assert page.ask("save", version=1)["saved"]
    assert path.read_text() == "SELECT df.start('SELECT $nobody' ~>);\n"


def test_two_pages_show_one_document(studio: Studio) -> None:
    with opened(studio) as one, opened(studio) as other:
        other.ask("hello")
        one.type("SELECT 1", "SELECT 2")
        assert other.event("updates")["version"] == 1
        other.type("SELECT 2", "SELECT 23")
        assert one.event("updates", version=2)
        assert one.ask("hello")["text"] == "SELECT df.start('SELECT 23', 'x');\n"


def test_an_editor_s_change_reaches_the_page(studio: Studio, path: Path) -> None:
    with opened(studio) as page:
        page.type("'x'", "'y'")
        path.write_text("-- by an editor\nSELECT df.start('SELECT 1', 'x');\n")
        assert page.event("disk")["notice"].endswith("merged.")
        text = page.ask("hello")["text"]
        assert text == "-- by an editor\nSELECT df.start('SELECT 1', 'y');\n"
        assert page.ask("save", version=2)["saved"]
        assert path.read_text() == text


def test_a_conflict_is_shown_and_settled_by_the_person(studio: Studio, path: Path) -> None:
    with opened(studio) as page:
        page.type("SELECT 1", "SELECT 2")
        path.write_text("SELECT df.start('SELECT 3', 'x');\n")
        assert not page.event("disk")["saved"]
        answer = page.ask("save", version=1)
        assert (answer["ok"], answer["saved"], answer["conflict"]) == (True, False, True)
        assert answer["theirs"] == "SELECT df.start('SELECT 3', 'x');\n"
        assert page.ask("resolve", version=1, choice="mine")["saved"]
        assert path.read_text() == "SELECT df.start('SELECT 2', 'x');\n"


# Running


APPROVAL = (
    "SELECT df.start('SELECT 7 AS id' |=> 'order' ~> df.wait_for_signal('go') ~> 'SELECT $order.id AS id', 'x');\n"
)


@pytest.fixture
def running(path: Path, database: str) -> Iterator[Page]:
    path.write_text(APPROVAL)
    with serving(path, database) as studio, opened(studio) as page:
        page.ask("hello")
        yield page
    background.stop_all()


def test_a_workflow_is_started_watched_released_and_looked_at(running: Page, path: Path) -> None:
    answer = running.ask("start", target="", label=None, variables={}, check=True)
    instance = answer["instance"]
    waiting = running.event("run", status="running")
    while not any(wait["action"]["kind"] == "signal" for wait in waiting["waits"]):
        waiting = running.event("run", status="running")
    [wait] = waiting["waits"]
    assert wait["action"] == {"kind": "signal", "name": "go"}
    assert waiting["states"][wait["block"]]["status"] == "waiting"
    listed = running.ask("instances", status=None, text="X", limit=10)["instances"]
    assert [(row["id"], row["label"], row["status"]) for row in listed] == [(instance, "x", "running")]
    assert "signal go" in listed[0]["waits_for"]
    assert running.ask("instances", status="failed", text=None, limit=10)["instances"] == []
    assert running.ask("signal", instance=instance, name="go", payload={"by": "<b>"})["ok"]
    done = running.event("run", status="completed")
    assert done["result"] == {"columns": ["id"], "rows": [["7"]], "row_count": 1, "cut": False, "text": None}
    assert {state["status"] for state in done["states"].values()} == {"completed"}
    node = running.ask("node", instance=instance, block="0:1")
    assert (node["sql"], node["result"]["rows"]) == ("SELECT 7 AS id", [["7"]])
    assert [attempt["status"] for attempt in node["attempts"]] == ["completed"]
    past = running.ask("past", instance=instance)
    assert "wait_for_signal('go')" in past["text"]
    assert done["states"].keys() >= {block["id"] for block in leaves(past["drawing"]["programs"][0]["root"])}


def leaves(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not block["children"]:
        yield block
    for child in block["children"]:
        yield from leaves(child["block"])


def test_the_second_of_two_workflows_is_started_and_shown_as_the_second(running: Page) -> None:
    running.type("SELECT df.start('SELECT 7", "SELECT df.start('SELECT 1', 'first');\nSELECT df.start('SELECT 7")
    several = running.ask("start", target="", label=None, variables={}, check=True)
    assert (several["ok"], several["advice"]) == (False, "Choose the one to start.")
    instance = running.ask("start", target="1", label=None, variables={}, check=True)["instance"]
    event = running.event("run", instance=instance)
    past = running.ask("past", instance=instance)["drawing"]["programs"]
    assert [program["index"] for program in past] == [1]
    assert event["states"].keys() >= {block["id"] for block in leaves(past[0]["root"])}
    running.type("SELECT 1', 'first'", "SELECT 1' ~>, 'first'")
    assert not running.ask("start", target="0", label=None, variables={}, check=True)["ok"]


def test_a_program_that_the_database_puts_together_shows_its_states_on_what_it_put_together(running: Page) -> None:
    running.type("'SELECT $order.id AS id'", "reverse('di SA 8 TCELES')")
    instance = running.ask("start", target="", label=None, variables={}, check=True)["instance"]
    assert running.event("run", instance=instance)["states"] == {}
    past = running.ask("past", instance=instance)
    assert "SELECT 8 AS id" in past["text"]
    ids = {block["id"] for block in leaves(past["drawing"]["programs"][0]["root"])}
    event = running.event("run", instance=instance)
    while not event["states"]:
        event = running.event("run", instance=instance)
    assert event["states"].keys() >= ids


def test_a_failed_step_says_what_the_server_said(running: Page) -> None:
    running.type("SELECT 7 AS id", "SELECT nothing AS id")
    instance = running.ask("start", target="0", label="other", variables={"v": "1"}, check=False)["instance"]
    failed = running.event("run", status="failed")
    assert 'column "nothing" does not exist' in failed["error"]
    state = failed["states"]["0:0.0"]
    assert (state["status"], 'column "nothing"' in state["message"]) == ("failed", True)
    said = running.ask("node", instance=instance, block="0:0.0")["error"]
    [shown, caret] = [line for line in said.splitlines() if "SELECT nothing" in line or "^^^" in line]
    assert shown.index("nothing") == caret.index("^")
    assert failed["error"] == said


def test_an_instance_is_cancelled_from_the_page(running: Page) -> None:
    instance = running.ask("start", target="", label=None, variables={}, check=True)["instance"]
    assert running.ask("cancel", instance=instance)["ok"]
    assert running.event("run", status="cancelled")
    assert not running.ask("watch", instance="ffffffff")["ok"]
    assert running.ask("unwatch", instance=instance)["ok"]


def test_what_a_check_refuses_is_not_started(running: Page) -> None:
    running.type("SELECT $order.id", "SELECT $nobody")
    answer = running.ask("start", target="", label=None, variables={}, check=True)
    assert not answer["ok"]
    assert "nobody" in answer["message"]
    assert running.ask("instances", status=None, text=None, limit=10)["instances"] == []


def test_what_the_database_refuses_is_not_started_unless_it_is_not_asked(running: Page) -> None:
    """Else a workflow fails at its last step, days later."""
    running.type("SELECT $order.id", "SELECT nothing + $order.id")
    request: dict[str, Any] = {"target": "", "label": None, "variables": {}}
    answer = running.ask("start", **request, check=True)
    assert (answer["ok"], answer["message"]) == (False, 'Line 1: Column "nothing" does not exist.')
    assert running.ask("instances", status=None, text=None, limit=10)["instances"] == []
    assert running.ask("start", **request, check=False)["ok"]


# The command


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_address_and_ends_when_it_is_told_to(path: Path, end: signal.Signals) -> None:
    left = path.with_name("x.df.unsaved")
    left.write_text("what an earlier page has left")
    process = subprocess.Popen(
        [sys.executable, "-m", "pgweave", "studio", str(path), "--no-browser"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PGWEAVE_DATA": str(path.parent)},
        preexec_fn=usual_signals,  # noqa: PLW1509 - sets signals and nothing else
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", url)
        with connect(url.replace("http:", "ws:") + "ws", origin=Origin(url[: url.index("/", 7)])) as socket:
            page = Page(socket)
            page.type("SELECT 1", "SELECT 2")
            process.send_signal(end)
            _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "Traceback" not in said
    assert path.read_text() == "SELECT df.start('SELECT 1', 'x');\n"
    assert left.read_text() == "what an earlier page has left"
    assert path.with_name("x.df.unsaved-2").read_text() == "SELECT df.start('SELECT 2', 'x');\n"
    assert "x.df.unsaved-2" in said
