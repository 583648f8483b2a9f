"""JupyterLab in a real browser: the picture, a finding with its caret, a run at three moments, in light and dark."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from support.lab import CHROMIUM, PATIENCE_MS, WINDOW, Lab, Opened, chromium, lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page
    from support.database import TemplateDatabases

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine; .ci/run installs it")

APPROVAL = """\
%%pgweave approval
$$ SELECT 7 AS id, 148.50 AS amount $$ |=> 'expense'
~> (df.wait_for_signal('decision', 259200) |=> 'decision')
~> (
    'SELECT $decision.timed_out'
    ?> $$ SELECT 'expired' AS state $$
    !> $$ SELECT $expense.id AS id, 'approved' AS state FROM pg_sleep(6) $$
)"""
BROKEN = """\
%%pgweave broken
'SELECT 7 AS id' |=> 'order'
~> 'SELECT $ordr.id'"""
CELLS = (
    "%load_ext pgweave", APPROVAL, BROKEN, "run = approval.start()", 'run.signal("decision", {"by": "Ann"})',
    "run.result()",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def place(databases: TemplateDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    database = databases.create()
    with lab(tmp_path_factory.mktemp("lab"), {"PGWEAVE_DSN": database}) as running:
        running.write("approval.ipynb", CELLS)
        yield running
    databases.drop(database)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=WINDOW)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()


def shoot(page: Page, name: str) -> None:
    """Keep a picture for people to look at, where PGWEAVE_SCREENSHOTS names a folder."""
    if folder := os.environ.get("PGWEAVE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def boxes(shown: Locator, state: str) -> Locator:
    return shown.locator(f".pgw-live svg .pw_node.state_{state}")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_program_is_drawn_checked_run_and_released(page: Page, place: Lab, theme: str) -> None:
    place.theme(theme)
    notebook = Opened(page, place, "approval.ipynb")
    notebook.run(0)
    drawn = notebook.run(1)
    drawn.locator(".jp-RenderedSVG img").wait_for()
    found = notebook.run(2).locator("pre.pgw-error")
    assert "^^^^^^^^ no step before this one is named `ordr`" in found.inner_text()
    live = notebook.run(3)
    boxes(live, "waiting").first.wait_for()
    assert (boxes(live, "completed").count(), boxes(live, "running").count()) == (1, 0)
    live.get_by_text("run.signal('decision', {...})").wait_for()
    shoot(page, f"waiting-{theme}")
    notebook.run(4)
    boxes(live, "running").get_by_text("approved").wait_for()
    assert boxes(live, "waiting").count() == 0
    shoot(page, f"running-{theme}")
    live.get_by_text("Completed in").wait_for()
    # From here on the picture needs no kernel, so that the saved notebook has it.
    image = live.locator(".jp-RenderedSVG img")
    image.wait_for()
    ended = re.findall(r'class="[^"]* state_(\w+)"', unquote(str(image.get_attribute("src"))))
    assert Counter(ended) == {"completed": 5, "skipped": 1}
    notebook.run(5).locator("td", has_text="approved").wait_for()
    shoot(page, f"done-{theme}")


MISTAKES = {
    "%%pgweave\n'SELECT 1' ~> ~> 'SELECT 2'": ["^", "error[PW001]"],
    "%%pgweave\ndf.slep(5) ~> 'SELECT 1'": ["^^^^^^^", "Did you mean df.sleep?"],
    "%%pgweave\n'SELECT 7 AS id' |=> 'order'\n~> 'SELECT $ordr.id'": ["^^^^^^^^", "Did you mean `$order`?"],
    "%%pgweave\ndf.call_child('SELECT 1', 'one', '{\"timeout_secs\": 60}')": ["^", "Did you mean `timeout_seconds`?"],
    "%%pgweave\n'SELECT count(*) FROM invoces'": ["^^^^^^^", 'Relation "invoces" does not exist'],
    "%%pgweave division --run\n'SELECT 0 AS n' |=> 'input'\n~> 'SELECT 100 / $input.n'": [
        "^", "Failed after", "division by zero", "SELECT 100 / 0",
    ],
    "%%pgweave late --run\ndf.call_child(df.sleep(60), 'report', '{\"timeout_seconds\": 1}')\n~> 'SELECT 1'": [
        "^", "The child report", "did not end within 1 s", "on_timeout",
    ],
}  # fmt: skip


def test_a_mistake_of_every_class_is_told_in_words(page: Page, place: Lab) -> None:
    place.theme("Light")
    place.write("mistakes.ipynb", ["%load_ext pgweave", *MISTAKES])
    notebook = Opened(page, place, "mistakes.ipynb")
    notebook.run(0)
    for number, (cell, words) in enumerate(MISTAKES.items(), start=1):
        shown = notebook.run(number)
        for word in words:
            shown.locator(".pgweave").get_by_text(word).first.wait_for()
        assert "Traceback" not in shown.inner_text(), cell
        shoot(page, f"mistake-{number}")


def test_tab_offers_what_a_result_holds_and_shift_tab_says_what_a_call_is(page: Page, place: Lab) -> None:
    program = "%%pgweave\n'SELECT 7 AS id, 2 AS price' |=> 'order'\n~> df.sleep(5) ~> 'SELECT $order.'"
    place.write("help.ipynb", ["%load_ext pgweave", program])
    notebook = Opened(page, place, "help.ipynb")
    notebook.run(0)
    notebook.cell(1).locator(".cm-line").last.click()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    offered = page.locator(".jp-Completer-item")
    offered.get_by_text("price", exact=True).wait_for()
    assert offered.get_by_text("id", exact=True).count() == 1
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    for _ in "~> df.sl":
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Tab")
    page.locator(".jp-Tooltip").get_by_text("df.sleep(seconds").wait_for()
