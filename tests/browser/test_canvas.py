"""Gestures on the canvas: each is the small edit of the text that it looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.studio import Designer

THREE = "-- kept\n'SELECT 1' ~> 'SELECT 2' ~> 'SELECT 3'   -- kept too\n"


def test_a_step_is_dragged_to_another_place(design: Callable[..., Designer]) -> None:
    designer = design(THREE)
    start = designer.block("SELECT 3").locator(".pw-title").bounding_box()
    end = designer.page.locator(".pw-slot").first.bounding_box()
    assert start is not None
    assert end is not None
    mouse = designer.page.mouse
    mouse.move(start["x"] + 20, start["y"] + 5)
    mouse.down()
    mouse.move(end["x"] + 40, end["y"] + 20, steps=4)
    designer.page.locator(".pw-slot-over").wait_for()
    with designer.edits():
        mouse.up()
    assert designer.text == "-- kept\n'SELECT 3' ~> 'SELECT 1' ~> 'SELECT 2'   -- kept too\n"


def test_escape_ends_a_drag_and_changes_nothing(design: Callable[..., Designer]) -> None:
    designer = design(THREE)
    start = designer.block("SELECT 3").locator(".pw-title").bounding_box()
    end = designer.page.locator(".pw-slot").first.bounding_box()
    assert start is not None
    assert end is not None
    designer.page.mouse.move(start["x"] + 20, start["y"] + 5)
    designer.page.mouse.down()
    designer.page.mouse.move(end["x"] + 8, end["y"] + 8, steps=4)
    designer.page.locator(".pw-slot-over").wait_for()
    designer.press("Escape")
    designer.page.locator(".pw-slot-over").wait_for(state="detached")
    designer.page.mouse.up()
    designer.select("SELECT 1")
    designer.edit_by("Control+d")
    assert designer.text == THREE.replace("'SELECT 1'", "'SELECT 1' ~> 'SELECT 1'")


def test_a_step_is_wrapped_and_unwrapped_again(design: Callable[..., Designer]) -> None:
    designer = design(THREE)
    page = designer.page
    for way, written in (
        ("Time limit", "| df.sleep("),
        ("Loop while", "df.loop("),
        ("Child workflow", "df.call_child("),
    ):
        designer.select("SELECT 2")
        page.get_by_role("button", name="Wrap in").click()
        designer.edit_by(page.get_by_role("menuitem", name=way))
        assert written in designer.text
        with designer.edits():
            page.get_by_role("button", name="Unwrap").click()
            if written.startswith("|"):
                page.get_by_role("menuitem", name="Keep branch 1").click()
        assert designer.text == THREE


def test_branches_are_added_to_a_join(design: Callable[..., Designer]) -> None:
    designer = design("'SELECT 1' & 'SELECT 2'\n")
    designer.page.locator("[data-slot^='branch:']").click()
    designer.choose("sleep")
    assert designer.text == "'SELECT 1' & 'SELECT 2' & df.sleep(60)\n"
    assert len(designer.shown()) == 4


def test_folding_hides_what_is_inside_and_searching_finds_it(design: Callable[..., Designer]) -> None:
    designer = design("'SELECT 1' ~> df.call_child('SELECT 2' ~> 'SELECT 3', 'inner')\n")
    child = designer.block("inner")
    child.get_by_role("button", name="Fold").click()
    designer.block("SELECT 3").wait_for(state="detached")
    assert child.get_attribute("aria-expanded") == "false"
    assert "folded" in (child.get_attribute("aria-label") or "")
    designer.page.locator(".pw-canvas").focus()
    designer.press("Control+f")
    designer.page.keyboard.type("SELECT 3")
    designer.press("Enter")
    designer.block("SELECT 3").and_(designer.page.locator("[aria-selected=true]")).wait_for()


def test_the_next_finding_is_brought_into_view(design: Callable[..., Designer]) -> None:
    steps = " ~> ".join(f"'SELECT {n}'" for n in range(60))
    designer = design(f"{steps} ~> 'SELECT $nobody'\n")
    assert designer.block("$nobody").count() == 0, "out of view"
    designer.press("F8")
    designer.block("$nobody").and_(designer.page.locator("[aria-selected=true]")).wait_for()
    designer.page.get_by_test_id("inspector").or_(designer.test_id("problems")).get_by_text("nobody").first.wait_for()


def test_names_and_columns_are_completed_where_a_step_is_written(design: Callable[..., Designer]) -> None:
    designer = design("'SELECT 7 AS id, ''x'' AS what' |=> 'parcel' ~> 'SELECT 1'\n")
    designer.select("SELECT 1")
    designer.test_id("sql-editor").locator(".cm-content").click()
    designer.press("Control+a")
    designer.page.keyboard.type("SELECT $par")
    options = designer.page.locator(".cm-tooltip-autocomplete")
    options.get_by_text("parcel").click()
    designer.page.keyboard.type(".wh")
    options.get_by_text("what").click()
    designer.edit_by("Control+Enter")
    assert designer.text.endswith("~> 'SELECT $parcel.what'\n")


def test_every_workflow_of_a_file_has_a_tab(design: Callable[..., Designer]) -> None:
    designer = design("SELECT df.start('SELECT 1', 'one');\nSELECT df.start('SELECT 2', 'two');\n")
    tabs = designer.page.get_by_role("tablist", name="Workflows").get_by_role("tab")
    assert tabs.all_inner_texts() == ["one", "two"]
    tabs.nth(1).click()
    designer.select("SELECT 2")
    designer.edit_by("Control+d")
    assert designer.text == "SELECT df.start('SELECT 1', 'one');\nSELECT df.start('SELECT 2' ~> 'SELECT 2', 'two');\n"


def test_a_program_within_a_page_of_words_is_edited_there(design: Callable[..., Designer], tmp_path: Path) -> None:
    page = "# Notes\n\nFirst *this*:\n\n```sql\nSELECT df.start('SELECT 1' ~> 'SELECT 2', 'noted');\n```\n\nThen nothing.\n"
    path = tmp_path / "notes.md"
    path.write_text(page)
    designer = design(path)
    designer.select("SELECT 2")
    designer.edit_by("Alt+ArrowUp")
    designer.save()
    assert path.read_text() == page.replace("'SELECT 1' ~> 'SELECT 2'", "'SELECT 2' ~> 'SELECT 1'")
