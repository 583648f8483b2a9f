"""`pgweave studio` for tests: the real command as a process of its own, and its page in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import ConsoleMessage, Dialog, Locator, Page, ViewportSize, WebSocket

    Message = dict[str, Any]

PATIENCE_MS = 20_000
WINDOW: ViewportSize = {"width": 1400, "height": 900}
_SHADOW = "document.querySelector('#designer').shadowRoot"
_TEXT = f"{_SHADOW}.querySelector('.pw-text .cm-content').cmTile.view.state.doc.toString()"
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Notes when the first block stands on the canvas.
_WATCH = """(function look() {
    if (document.querySelector('#designer')?.shadowRoot?.querySelector('[data-block-id]')) window.drawnAt = performance.now();
    else requestAnimationFrame(look);
})();"""
_ATTACKED = "window.attacked = (...what) => { (window.attacks ??= []).push(what.join(' ')); };"

SEED_CHILD = " SELECT 42 AS report_id, 'ready' AS status "
SEED_PARENT = "INSERT INTO audit_log (payload) VALUES ($child::jsonb) RETURNING payload"


def seed() -> str:
    """The seed's example as the formatter writes it, without the comment at its top: a canvas has no place for one."""
    import pgweave

    text = pgweave.format((Path(__file__).parents[2] / "examples" / "parent_child.df").read_text(encoding="utf-8"))
    assert SEED_CHILD in text
    assert SEED_PARENT in text
    return text[text.index("SELECT df.start(") :]


@contextmanager
def studio(path: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """The command on a file; gives the address of its page. Ends by the same signal as Ctrl-C."""
    command = [sys.executable, "-m", "pgweave", "studio", str(path), "--no-browser", *arguments]
    inherited = {name: value for name, value in os.environ.items() if name != "PGWEAVE_DSN"}
    with subprocess.Popen(
        command, env={**inherited, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url, process.communicate()[1]
            yield url
        finally:
            process.terminate()
            _, said = process.communicate(timeout=60)
            assert "Traceback" not in said, said


@dataclass
class Designer:
    """An open page, with the hands and eyes of somebody who works on it.

    complaints: what the browser said that a page in order never makes it say (scripts that were stopped, errors).
    """

    page: Page
    path: Path
    complaints: list[str] = field(default_factory=list)
    _asked: dict[int, str] = field(default_factory=dict)
    _socket: WebSocket | None = None

    def open(self, url: str, wait_for: str = "[data-block-id]") -> Designer:
        """Go to a studio's page; returns when the program is drawn."""
        page = self.page
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("console", self._said)
        page.on("websocket", self._connected)
        page.add_init_script(_ATTACKED + _WATCH)
        page.goto(url)
        page.wait_for_selector(wait_for)
        return self

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, line: ConsoleMessage) -> None:
        if line.type in {"error", "warning"}:
            self.complaints.append(line.text)

    def _connected(self, socket: WebSocket) -> None:
        self._socket = socket
        socket.on("framesent", self._sent)

    def _sent(self, frame: str | bytes) -> None:
        request = json.loads(frame)
        self._asked[request["id"]] = request["type"]

    # What there is to see

    @property
    def text(self) -> str:
        """The text as the editor has it."""
        return str(self.page.evaluate(_TEXT))

    def see_text(self, part: str, *, whole: bool = False) -> None:
        """Wait until the text is, or holds, something."""
        self.page.wait_for_function(f"([part, whole]) => whole ? {_TEXT} === part : {_TEXT}.includes(part)", arg=[part, whole])  # fmt: skip

    def block(self, name: str) -> Locator:
        """The innermost block whose spoken name holds this text."""
        return self.page.locator(f"[data-block-id][aria-label*={json.dumps(name)}]").last

    def shown(self) -> dict[str, str]:
        """Every block in view, by id, with its spoken name."""
        blocks = self.page.locator("[data-block-id]")
        found = blocks.evaluate_all("all => all.map(one => [one.dataset.blockId, one.getAttribute('aria-label')])")
        return dict(found)

    def notice(self, words: str) -> Locator:
        """A notice that says this."""
        return self.page.locator(".pw-notice", has_text=words).first

    # What there is to do

    def test_id(self, name: str) -> Locator:
        """An element of the page, by its name for tests."""
        return self.page.get_by_test_id(name)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        for key in keys:
            self.page.keyboard.press(key)

    def select(self, name: str) -> Locator:
        """Click on a block."""
        block = self.block(name)
        block.locator(".pw-handle").first.click()
        block.and_(self.page.locator("[aria-selected=true]")).wait_for()
        return block

    def add(self, slot: str, entry: str) -> None:
        """Click on a `+` by the beginning of its spoken name, and on an entry of the palette."""
        self.page.locator(f".pw-slot[aria-label^={json.dumps(slot)}]").last.click()
        self.choose(entry)

    def edit_by(self, way: str | Locator) -> bool:
        """Press a key or click on something that edits the program; returns, once it is drawn, whether it did."""
        with self.edits() as changed:
            if isinstance(way, str):
                self.press(way)
            else:
                way.click()
        return changed[0]

    def choose(self, entry: str) -> bool:
        """Click on an entry of the open palette."""
        return self.edit_by(self.page.locator(f"[data-entry={entry}]"))

    def write_sql(self, statement: str) -> bool:
        """Type the selected step's statement."""
        editor = self.test_id("sql-editor").locator(".cm-content")
        editor.click()
        self.press("Control+a")
        self.page.keyboard.insert_text(statement)
        return self.edit_by("Control+Enter")

    def fill(self, field: str, value: str) -> None:
        """Type into a field of the selected step and leave it by Enter."""
        self._enter(f"[data-field={field}] input", value)

    def name_result(self, name: str) -> bool:
        """Type a name for the selected step's result, or another, or none."""
        return self._enter("#pw-name", name)

    def label(self, label: str) -> None:
        """Type the workflow's label, with nothing selected."""
        self.page.locator(".pw-canvas").focus()
        self.press("Escape")
        self._enter("#pw-label", label)

    def _enter(self, field: str, value: str) -> bool:
        self.page.locator(field).fill(value)
        return self.edit_by("Enter")

    def type_at(self, part: str, typed: str, *, before: bool = False) -> None:
        """Click into the text behind (or before) a part of it, and type."""
        line = self.page.locator(".pw-text .cm-line", has_text=part).first
        line.click()
        self.page.evaluate(
            f"""([part, before]) => {{
                const {{ view }} = {_SHADOW}.querySelector('.pw-text .cm-content').cmTile;
                const at = view.state.doc.toString().indexOf(part);
                view.dispatch({{ selection: {{ anchor: at + (before ? 0 : part.length) }} }});
            }}""",
            [part, before],
        )
        self.page.keyboard.insert_text(typed)

    def lay_out(self) -> None:
        """Let the formatter write the text."""
        with self.hears(lambda kind, _: kind == "drawing"):
            self.page.get_by_role("button", name="Format the text").click()

    def save(self) -> None:
        """Save, and wait until it is said to be saved."""
        self.press("Control+s")
        self.test_id("saved").get_by_text("saved", exact=True).wait_for()

    @contextmanager
    def edits(self) -> Iterator[list[bool]]:
        """Wait until a gesture made inside is in the text and on the canvas. The list then says whether there was one to make."""
        changed: list[bool] = []

        def drawn(kind: str, message: Message) -> bool:
            if kind == "edit":
                changed.append(bool(message.get("changes")))
            return bool(changed) and (not changed[0] or kind == "drawing")

        with self.hears(drawn):
            yield changed
        self.painted()

    @contextmanager
    def hears(self, enough: Callable[[str, Message], bool]) -> Iterator[None]:
        """Wait until the page has been sent messages like these. `enough` is told each of them, with its type or, of a
        reply, the type of the request."""
        assert self._socket is not None

        def fits(frame: str) -> bool:
            message = json.loads(frame)
            kind = message["type"]
            return enough(self._asked.get(message["re"], kind) if kind == "reply" else kind, message)

        with self._socket.expect_event("framereceived", fits):
            yield

    def painted(self) -> None:
        """Wait until the browser has painted what it knows."""
        self.page.evaluate(_PAINTED)

    @property
    def attacks(self) -> list[str]:
        """What scripts of a program have done, if any ran."""
        return list(self.page.evaluate("window.attacks ?? []"))
