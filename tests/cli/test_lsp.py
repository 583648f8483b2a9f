"""`pgweave lsp` as an editor talks to it: a real process, JSON-RPC over its standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest
from cli.conftest import Command

from pgweave.grammar.span import Source
from pgweave.grammar.writing.formatter import format_source

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 60
PROGRAM = """df.start(
    ('SELECT 7 AS id, ''🐘'' AS animal' |=> 'order')
    ~> 'SELECT ''🐘'', $order.id' ~> df.sleep(5),
    'x');
"""


class Editor:
    """Sends requests and notifications, and keeps what the server says of itself."""

    def __init__(self, command: Command) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pgweave", "lsp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=command.folder,
            env=command.environment(),
        )
        self.watchdog = Timer(PATIENCE_SECONDS, self.process.kill)
        self.watchdog.start()
        self.uri = (command.folder / "flow.df").as_uri()
        self.root = command.folder.as_uri()
        self.notified: list[dict[str, Any]] = []
        self.shown: list[str] = []
        self.count = 0

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        if message.get("method") == "window/showMessage":
            self.shown.append(message["params"]["message"])
        return message

    def ask(self, method: str, **params: object) -> Any:  # noqa: ANN401 - whatever the method answers
        """Send a request and wait for its answer; what is said meanwhile is kept."""
        self.count += 1
        self.send({"id": self.count, "method": method, "params": params})
        while True:
            message = self.receive()
            if message.get("id") == self.count and "method" not in message:
                return message["result"] if "result" in message else message["error"]
            self.notified.append(message)

    def tell(self, method: str, **params: object) -> None:
        self.send({"method": method, "params": params})

    def start(self, *encodings: str) -> dict[str, Any]:
        general = {"general": {"positionEncodings": list(encodings)}} if encodings else {}
        folders = [{"uri": self.root, "name": "root"}]
        found: dict[str, Any] = self.ask(
            "initialize", processId=None, rootUri=self.root, capabilities=general, workspaceFolders=folders
        )
        self.tell("initialized")
        return found

    def open(self, text: str) -> list[dict[str, Any]]:
        """Open the document; returns its diagnostics."""
        document = {"uri": self.uri, "languageId": "pgweave", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)
        return self.diagnostics()

    def change(self, text: str) -> list[dict[str, Any]]:
        self.tell(
            "textDocument/didChange",
            textDocument={"uri": self.uri, "version": 2},
            contentChanges=[{"text": text}],
        )
        return self.diagnostics()

    def diagnostics(self) -> list[dict[str, Any]]:
        while True:
            message = self.notified.pop(0) if self.notified else self.receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                found: list[dict[str, Any]] = message["params"]["diagnostics"]
                return found

    def at(self, line: int, character: int) -> dict[str, Any]:
        return {"textDocument": {"uri": self.uri}, "position": {"line": line, "character": character}}

    def stop(self) -> int:
        self.ask("shutdown")
        self.tell("exit")
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        self.watchdog.cancel()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def editor(pgweave: Command) -> Iterator[Editor]:
    one = Editor(pgweave)
    yield one
    one.close()


def place(text: str, fragment: str, encoding: str = "utf-16-le") -> tuple[int, int]:
    """Line and character of a fragment as the protocol counts them."""
    before = text[: text.index(fragment)]
    unit = 1 if encoding == "utf-8" else 2
    return before.count("\n"), len(before.rpartition("\n")[2].encode(encoding)) // unit


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """An editor with PROGRAM open, for requests that change nothing."""
    one = Editor(Command(tmp_path_factory.mktemp("lsp")))
    one.start()
    assert [finding for finding in one.open(PROGRAM) if finding["severity"] == 1] == []
    yield one
    one.close()


def position(fragment: str, offset: int = 0) -> tuple[int, int]:
    line, character = place(PROGRAM, fragment)
    return line, character + offset


def test_the_server_says_what_it_can_do_and_ends_when_it_is_told(editor: Editor) -> None:
    found = editor.start()
    abilities = {name.removesuffix("Provider") for name, value in found["capabilities"].items() if value}
    asked = {"hover", "completion", "definition", "references", "rename", "documentFormatting", "documentSymbol"}
    assert asked <= abilities
    assert found["serverInfo"]["name"] == "pgweave"
    assert editor.stop() == 0


def test_hover_shows_the_columns_of_a_name(program: Editor) -> None:
    line, character = position("$order.id")
    hover = program.ask("textDocument/hover", **program.at(line, character + 2))
    assert "Columns: `id`, `animal`" in hover["contents"]["value"]
    assert hover["range"]["start"] == {"line": line, "character": character}


def test_the_definition_of_a_name_is_where_it_is_bound(program: Editor) -> None:
    (target,) = program.ask("textDocument/definition", **program.at(*position("$order.id", 2)))
    line, character = position("'order'")
    assert target["range"]["start"] == {"line": line, "character": character}


def test_completion_after_a_name_offers_its_columns(program: Editor) -> None:
    line, character = position("$order.id", len("$order."))
    completion = program.ask("textDocument/completion", **program.at(line, character))
    assert [item["label"] for item in completion["items"]] == ["id", "animal", "*"]
    edit = completion["items"][0]["textEdit"]
    assert edit["range"]["start"] == {"line": line, "character": character}


def test_the_references_of_a_name_are_its_binding_and_its_readers(program: Editor) -> None:
    asked = {**program.at(*position("$order.id", 2)), "context": {"includeDeclaration": True}}
    references = program.ask("textDocument/references", **asked)
    assert len(references) == 2


def test_rename_edits_the_binding_and_its_readers(program: Editor) -> None:
    line, character = position("$order.id")
    at = program.at(line, character + 2)
    prepared = program.ask("textDocument/prepareRename", **at)
    assert prepared["start"] == {"line": line, "character": character + 1}
    renamed = program.ask("textDocument/rename", **at, newName="purchase")
    assert [one["newText"] for one in renamed["changes"][program.uri]] == ["purchase", "purchase"]


def test_a_new_name_that_is_no_identifier_is_refused(program: Editor) -> None:
    refused = program.ask("textDocument/rename", **program.at(*position("$order.id", 2)), newName="1x")
    assert "1x" in refused["message"]


def test_formatting_is_that_of_pgweave_fmt(program: Editor) -> None:
    options = {"tabSize": 4, "insertSpaces": True}
    (edit,) = program.ask("textDocument/formatting", textDocument={"uri": program.uri}, options=options)
    assert edit["newText"] == format_source(Source("flow.df", PROGRAM)).text != PROGRAM


def test_the_outline_has_each_workflow_with_its_names(program: Editor) -> None:
    (symbol,) = program.ask("textDocument/documentSymbol", textDocument={"uri": program.uri})
    assert (symbol["name"], [child["name"] for child in symbol["children"]]) == ("x", ["order"])


def test_findings_come_with_every_change_and_go_with_the_mistake(editor: Editor) -> None:
    editor.start()
    (found,) = [one for one in editor.open("'SELECT $nobody'") if one["severity"] == 1]
    assert (found["code"], found["source"]) == ("PW201", "pgweave")
    assert found["range"]["start"] == {"line": 0, "character": 8}
    assert next(one["code"] for one in editor.change("'SELECT 1' ~>") if one["severity"] == 1).startswith("PW0")
    assert [one for one in editor.change("'SELECT 1'") if one["severity"] == 1] == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_columns_are_counted_as_the_editor_counts_them(editor: Editor, encoding: str) -> None:
    """An elephant is one character, two UTF-16 units and four bytes."""
    chosen = editor.start(encoding)["capabilities"].get("positionEncoding", "utf-16")
    assert chosen == encoding
    (found,) = [one for one in editor.open("'SELECT ''🐘'', $nobody'") if one["code"] == "PW201"]
    elephant = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[encoding]
    start = len("'SELECT ''") + elephant + len("'', ")
    assert found["range"] == {
        "start": {"line": 0, "character": start},
        "end": {"line": 0, "character": start + len("$nobody")},
    }
    hover = editor.ask("textDocument/hover", **editor.at(0, start + 3))
    assert "no step binds this name" in hover["contents"]["value"]


def test_a_fix_is_offered_where_the_finding_is(editor: Editor) -> None:
    editor.start()
    text = """df.call_child('SELECT 1', 'c', '{"timeout_second": 5}')"""
    (found,) = [one for one in editor.open(text) if one["code"] == "PW602"]
    (action,) = editor.ask(
        "textDocument/codeAction",
        textDocument={"uri": editor.uri},
        range=found["range"],
        context={"diagnostics": [found]},
    )
    (edit,) = action["edit"]["changes"][editor.uri]
    assert "timeout_seconds" in edit["newText"]


def test_the_configuration_of_the_folder_is_obeyed(pgweave: Command, editor: Editor) -> None:
    pgweave.write("pyproject.toml", '[tool.pgweave]\nignore = ["PW2"]\n')
    editor.start()
    assert [one["code"] for one in editor.open("'SELECT $nobody'") if one["code"].startswith("PW2")] == []


def test_a_mistake_in_the_configuration_is_shown(pgweave: Command, editor: Editor) -> None:
    pgweave.write("pyproject.toml", '[tool.pgweave]\nselct = ["PW2"]\n')
    editor.start()
    editor.open("'SELECT 1'")
    assert "has no key 'selct'" in editor.shown[0]
    assert editor.stop() == 0


def test_without_pygls_the_command_says_what_to_install(pgweave: Command) -> None:
    pgweave.write("pygls/__init__.py", "raise ModuleNotFoundError('no pygls', name='pygls')\n")
    done = pgweave("lsp", PYTHONPATH=str(pgweave.folder))
    assert done.code == 2
    assert "pip install 'pgweave[lsp]'" in done.err
