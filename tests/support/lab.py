"""JupyterLab for tests: a server of its own, in folders of its own, and a notebook in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OWN_FOLDERS = (
    "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR", "XDG_STATE_HOME",
)  # fmt: skip
WINDOW = {"width": 1200, "height": 1500}
PATIENCE_MS = 90_000  # CI runs other tests beside this one


@dataclass(frozen=True)
class Lab:
    """A running server. url: of its start page, with the token. folder: what it shows."""

    url: str
    folder: Path
    settings: Path

    def write(self, name: str, cells: Sequence[str]) -> None:
        """A notebook of cells with code."""
        made = [nbformat.v4.new_code_cell(cell, id=f"cell-{at}") for at, cell in enumerate(cells)]  # type: ignore[no-untyped-call]
        notebook = nbformat.v4.new_notebook(cells=made)  # type: ignore[no-untyped-call]
        notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        nbformat.write(notebook, self.folder / name)  # type: ignore[no-untyped-call]

    def theme(self, name: str) -> None:
        """Light or Dark, for pages that are opened from here on."""
        _write_setting(self.settings, "themes", {"theme": f"JupyterLab {name}"})


@contextmanager
def lab(folder: Path, environment: dict[str, str]) -> Iterator[Lab]:
    """JupyterLab on a free port of this machine, with nothing of the user's."""
    own = {name: str(folder / name.lower()) for name in OWN_FOLDERS}
    for path in own.values():
        Path(path).mkdir()
    settings, files = folder / "jupyterlab_settings_dir", folder / "files"
    files.mkdir()
    _write_setting(settings, "notification", {"fetchNews": "false", "checkForUpdates": False})
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
        f"--ServerApp.root_dir={files}", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env={**os.environ, **environment, **own}, stderr=subprocess.PIPE, text=True, cwd=files
    ) as server:
        assert server.stderr is not None
        try:
            said = []
            for line in server.stderr:
                said.append(line)
                if found := re.search(r"http://127\.0\.0\.1:[1-9]\d*/lab\?token=\w+", line):
                    yield Lab(found[0], files, settings)
                    return
            raise AssertionError("JupyterLab did not start:\n" + "".join(said))
        finally:
            server.terminate()
            server.communicate(timeout=60)


def _write_setting(settings: Path, plugin: str, values: dict[str, object]) -> None:
    folder = settings / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(values), encoding="utf-8")


class Opened:
    """A notebook on a page."""

    def __init__(self, page: Page, where: Lab, name: str) -> None:
        self.page = page
        page.goto(where.url.replace("/lab?", f"/lab/tree/{name}?") + "&reset")
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()

    def cell(self, number: int) -> Locator:
        """A cell, counted from 0."""
        return self.page.locator(".jp-Notebook:visible .jp-Cell").nth(number)

    def run(self, number: int) -> Locator:
        """Run a cell with the keyboard and wait until it has run; returns what it shows."""
        cell = self.cell(number)
        cell.locator(".cm-content").click()
        cell.locator(".cm-focused").wait_for()
        self.page.keyboard.press("Shift+Enter")
        cell.locator(".jp-InputPrompt").get_by_text(re.compile(r"\[\d+\]")).wait_for()
        return cell.locator(".jp-Cell-outputArea")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
