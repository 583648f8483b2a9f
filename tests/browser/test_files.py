"""Several hands on one file: the browser's, an editor's, another browser's. Nothing that anybody typed gets lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.studio import Designer, studio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser

PROGRAM = """\
SELECT df.start(
    'SELECT 1'
    ~> df.sleep(5)
    ~> 'SELECT 3',
    'hands'
);
"""


def test_an_editor_and_a_browser_change_different_lines_by_turns(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    for turn in range(3):
        designer.type_at("SELECT 3", "0")
        on_disk = designer.path.read_text() if turn else PROGRAM
        designer.path.write_text(f"-- by an editor, {turn}\n{on_disk}")
        designer.see_text(f"-- by an editor, {turn}\n")
        designer.notice("on disk").wait_for()
    comments = "".join(f"-- by an editor, {turn}\n" for turn in (2, 1, 0))
    mine = PROGRAM.replace("SELECT 3", "SELECT 3000")
    assert designer.text == comments + mine
    designer.save()
    assert designer.path.read_text() == comments + mine


def test_what_is_typed_while_the_file_changes_is_kept(design: Callable[..., Designer]) -> None:
    """Letter by letter, with the editor's change somewhere between two of them."""
    designer = design(PROGRAM)
    designer.type_at("SELECT 1", "", before=False)
    word = ", 'a long thought'"
    for at, letter in enumerate(word):
        if at == 4:
            designer.path.write_text(PROGRAM.replace("SELECT 3", "SELECT 33"))
        designer.page.keyboard.insert_text(letter)
    designer.see_text("SELECT 33")
    assert designer.text == PROGRAM.replace("SELECT 3", "SELECT 33").replace("SELECT 1", "SELECT 1" + word)


def test_undo_takes_back_what_was_typed_here_and_not_what_the_editor_did(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    designer.select("SELECT 1")
    designer.edit_by("Control+d")
    changed = PROGRAM.replace("SELECT 3", "SELECT 33")
    designer.path.write_text(changed)
    designer.see_text("SELECT 33")
    designer.page.locator(".pw-canvas").focus()
    designer.press("Control+z")
    designer.see_text(changed, whole=True)


def test_the_same_line_changed_twice_is_for_the_person_to_settle(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    for choice, text in (("Save this page's text", "SELECT 100"), ("Use the file's text", "SELECT 12")):
        designer.path.write_text(PROGRAM)
        designer.see_text(PROGRAM, whole=True)
        designer.type_at("SELECT 1", "00")
        theirs = PROGRAM.replace("SELECT 1", "SELECT 12")
        designer.path.write_text(theirs)
        designer.press("Control+s")
        dialog = designer.page.get_by_role("dialog", name="The file was changed outside this page")
        dialog.get_by_text("SELECT 100").wait_for()
        dialog.get_by_text("SELECT 12'").wait_for()
        assert designer.path.read_text() == theirs, "nothing is written before somebody has chosen"
        dialog.get_by_role("button", name=choice).click()
        dialog.wait_for(state="detached")
        designer.test_id("saved").get_by_text("saved", exact=True).wait_for()
        assert designer.text == designer.path.read_text() == PROGRAM.replace("SELECT 1", text)


def test_two_browsers_edit_one_program(design: Callable[..., Designer]) -> None:
    one = design(PROGRAM)
    other = Designer(one.page.context.new_page(), one.path).open(one.page.url)
    one.select("SELECT 1")
    one.edit_by("Control+d")
    other.type_at("SELECT 3", "0")
    for designer in (one, other):
        designer.see_text("SELECT 30")
        designer.notice("changed by").wait_for()
    assert one.text == other.text
    assert one.text.count("SELECT 1'") == 2
    assert other.complaints == []


def test_when_the_studio_ends_the_page_says_so_and_nothing_is_lost(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "program.df"
    path.write_text(PROGRAM)
    designer = Designer(browser.new_page(), path)
    with studio(path) as url:
        designer.open(url)
        with designer.hears(lambda kind, _: kind == "drawing"):
            designer.type_at("SELECT 1", "0")
    designer.test_id("saved").get_by_text("connection lost").wait_for()
    assert designer.text == PROGRAM.replace("SELECT 1", "SELECT 10")
    assert path.read_text() == PROGRAM
    assert path.with_name("program.df.unsaved").read_text() == designer.text
    designer.page.close()
