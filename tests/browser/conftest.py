"""A studio on a file of the test's own, and its page. After every test the browser must have had nothing to complain of."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.lab import CHROMIUM, chromium
from support.studio import WINDOW, Designer, studio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")  # there is one at a time in a process, and tests/notebooks have one of their own
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine; .ci/run installs it")
    with chromium() as running:
        yield running


@pytest.fixture
def design(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Designer]]:
    """Opens the page on a text, or on a file; further arguments are the command's. Without either the file is new.
    data: where the studio's own server is kept."""
    opened: list[Designer] = []
    with ExitStack() as stack:

        def open_page(
            program: str | Path = "", *arguments: str, dark: bool = False, data: Path = tmp_path / "data"
        ) -> Designer:
            path = program if isinstance(program, Path) else tmp_path / "program.df"
            if isinstance(program, str) and program:
                path.write_text(program, encoding="utf-8")
            url = stack.enter_context(studio(path, *arguments, PGWEAVE_DATA=str(data)))
            context = browser.new_context(
                viewport=WINDOW, color_scheme="dark" if dark else "light", reduced_motion="reduce"
            )
            stack.callback(context.close)
            empty = not path.exists() or not path.read_bytes()
            designer = Designer(context.new_page(), path).open(url, ".pw-empty" if empty else "[data-block-id]")
            opened.append(designer)
            return designer

        yield open_page
        for number, designer in enumerate(opened):
            if folder := os.environ.get("PGWEAVE_SCREENSHOTS"):
                designer.page.screenshot(path=Path(folder) / f"{tmp_path.name}-{number}.png")
            assert designer.complaints == []
            assert designer.attacks == []
