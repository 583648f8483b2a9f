"""The designer in a notebook: what is done on the canvas is the text in the next cell, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.lab import PATIENCE_MS, Opened, lab
from support.studio import WINDOW

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

CELLS = (
    "import pgweave\ndesigner = pgweave.parse(\"'SELECT 1' ~> df.sleep(5)\\n\").design()\ndesigner",
    "print(designer.text)",
    "designer.text = designer.text.replace('df.sleep(5)', 'df.sleep(7)')",
    "print(designer.text)",
)


def test_canvas_and_cells_have_one_text(browser: Browser, tmp_path: Path) -> None:
    with lab(tmp_path, {}) as place:
        place.write("design.ipynb", CELLS)
        page = browser.new_context(viewport=WINDOW).new_page()
        page.set_default_timeout(PATIENCE_MS)
        notebook = Opened(page, place, "design.ipynb")
        shown = notebook.run(0)
        shown.locator("[data-block-id][aria-label*='SELECT 1']").locator(".pw-handle").click()
        assert shown.locator(".pgweave").evaluate("one => one.clientHeight") > 500, "room, whatever is in the panel"
        page.keyboard.press("Control+d")
        page.locator("[data-block-id][aria-label*='SELECT 1']").nth(1).wait_for()
        notebook.run(1).get_by_text("'SELECT 1' ~> 'SELECT 1' ~> df.sleep(5)").wait_for()
        notebook.run(2)
        shown.locator("[data-block-id][aria-label*='7 s']").wait_for()
        shown.get_by_text("changed by the notebook").wait_for()
        page.locator("[data-block-id][aria-label*='7 s'] .pw-handle").click()
        page.keyboard.press("Control+d")
        page.locator("[data-block-id][aria-label*='7 s']").nth(1).wait_for()
        page.keyboard.press("Control+z")  # that, and then its first edit: what the cell did stays
        page.keyboard.press("Control+z")
        page.locator("[data-block-id][aria-label*='SELECT 1']").nth(1).wait_for(state="detached")
        notebook.run(3).get_by_text("'SELECT 1' ~> df.sleep(7)").wait_for()
        page.context.close()
