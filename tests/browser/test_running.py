"""A workflow started from the canvas, watched there and released there, on the server that the studio starts by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page
    from support.studio import Designer

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def data() -> Iterator[Path]:
    """A place for an embedded server; the one that is started there ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="pgweave-browser-"))
    folder.chmod(0o755)  # root's server runs as another account
    try:
        yield folder / "data"
        environment = {**os.environ, "PGWEAVE_DATA": str(folder / "data")}
        subprocess.run([sys.executable, "-m", "pgweave", "db", "stop"], env=environment, check=True, timeout=60)
    finally:
        shutil.rmtree(folder)


def with_status(page: Page, status: str) -> set[str]:
    """The ids of the blocks in view that say so."""
    blocks = page.locator(f"[data-block-id][data-status={status}]")
    return set(blocks.evaluate_all("all => all.map(one => one.dataset.blockId)"))


def test_the_approval_example_is_run_and_released_from_the_canvas(
    design: Callable[..., Designer], data: Path, tmp_path: Path
) -> None:
    for name in ("approval.df", "approval.setup.sql"):
        shutil.copy(EXAMPLES / name, tmp_path)
    designer = design(tmp_path / "approval.df", data=data)
    page = designer.page
    designer.test_id("run").click()
    designer.test_id("start").click()
    wait = designer.block("wait for signal").and_(page.locator("[data-status=waiting]"))
    wait.wait_for()
    assert designer.test_id("run-status").inner_text() == "running"
    assert len(with_status(page, "completed")) == 1, "the INSERT"
    wait.locator(".pw-handle").click()
    form = designer.test_id("signal-form").first
    form.locator("textarea").fill('{"approved": true, "by": "Ann"}')
    form.get_by_role("button", name="Send signal").click()
    designer.test_id("run-status").get_by_text("completed").wait_for()
    result = designer.test_id("run-panel").get_by_role("table")
    assert result.locator("td").all_inner_texts() == ["1", "approved", "Ann"]
    assert len(with_status(page, "skipped")) == 1, "the way to `expired` was not taken"
    updated = designer.block("UPDATE expenses").and_(page.locator("[data-status=completed]"))
    updated.locator(".pw-handle").click()
    designer.page.get_by_text("Executed SQL").click()
    designer.test_id("node-run").get_by_text("decided_by = d.data ->> 'by'").wait_for()


def test_a_past_run_is_drawn_on_the_program_as_it_was(database: str, design: Callable[..., Designer]) -> None:
    designer = design("SELECT df.start('SELECT 1' ~> df.wait_for_signal('never'), 'past');\n", "--dsn", database)
    page = designer.page
    designer.test_id("run").click()
    designer.test_id("start").click()
    page.locator("[data-status=waiting]").wait_for()
    page.get_by_role("button", name="Cancel the instance").click()
    page.get_by_role("button", name="Confirm: cancel it").click()
    designer.test_id("run-status").get_by_text("cancelled").wait_for()
    page.get_by_role("button", name="Close", exact=True).click()
    designer.type_at("SELECT 1", "00")
    designer.block("SELECT 100").wait_for()
    designer.test_id("show-instances").click()
    page.get_by_role("combobox", name="Status").select_option("completed")
    page.get_by_text("No instance matches the filter.").wait_for()
    page.get_by_role("combobox", name="Status").select_option("cancelled")
    page.locator(".pw-instance", has_text="past").click()
    designer.test_id("past-text").get_by_text("wait_for_signal").first.wait_for()
    page.locator("[data-status=completed]").wait_for()
    assert designer.block("SELECT 1").get_attribute("aria-label") == "SELECT, SELECT 1, completed"
    assert page.locator(".pw-slot").count() == 0, "what was cannot be changed"
    page.get_by_role("button", name="Back to the program").first.click()
    designer.block("SELECT 100").wait_for()
