"""Without a mouse, and without seeing: every step has a name that is spoken, and every gesture has a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from support.studio import SEED_CHILD, SEED_PARENT, seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.studio import Designer

EXAMPLES = Path(__file__).parents[2] / "examples"


FOCUSED = """() => {
    const one = document.querySelector('#designer').shadowRoot.activeElement;
    return one?.getAttribute('aria-label') ?? one?.labels?.[0]?.textContent ?? one?.textContent ?? '';
}"""


def focused(designer: Designer) -> str:
    """The spoken name of what has the focus."""
    return str(designer.page.evaluate(FOCUSED))


def focus(designer: Designer, name: str) -> None:
    """Go on by Tab until what has this spoken name has the focus."""
    for _ in range(40):
        designer.press("Tab")
        if focused(designer) == name:
            return
    raise AssertionError(f"Tab leads to no {name}")


def write(designer: Designer, text: str, key: str = "Enter") -> None:
    """Replace the text of the field, and leave it by a key."""
    designer.press("Control+a")
    designer.page.keyboard.insert_text(text)
    designer.edit_by(key)


def test_the_seed_s_parent_and_child_are_built_without_a_mouse(design: Callable[..., Designer]) -> None:
    designer = design()
    designer.press("F6")
    assert focused(designer).startswith("Workflow")
    add(designer, "child")
    focus(designer, "Result name")
    write(designer, "child")
    focus(designer, "Label")
    write(designer, "generate-report")
    leave(designer)
    add(designer, "sql")
    edit_sql(designer, SEED_PARENT)
    designer.press("ArrowUp")
    edit_sql(designer, SEED_CHILD)
    designer.press("Escape")
    focus(designer, "Label of new instances")
    write(designer, "parent-workflow")
    focus(designer, "Format the text")
    with designer.hears(lambda kind, _: kind == "drawing"):
        designer.press("Enter")
    designer.save()
    assert designer.path.read_text(encoding="utf-8") == seed()


def add(designer: Designer, words: str) -> None:
    """Add a step after the selected one."""
    designer.press("Insert")
    designer.page.get_by_role("combobox", name="Search steps").wait_for()
    designer.page.keyboard.type(words)
    designer.edit_by("Enter")


def edit_sql(designer: Designer, statement: str) -> None:
    """Write the selected step's statement, and go back to the canvas."""
    designer.press("Enter")
    designer.page.locator(".pw-sql .cm-focused").wait_for()
    write(designer, statement, "Control+Enter")
    leave(designer, "F6")


def leave(designer: Designer, key: str = "Escape") -> None:
    """Go back to the canvas, from a field of the panel."""
    designer.press(key)
    designer.page.locator(".pw-canvas:focus").wait_for()


def test_arrows_lead_through_every_step_and_each_says_what_it_is(design: Callable[..., Designer]) -> None:
    designer = design(EXAMPLES / "approval.df")
    designer.page.locator(".pw-canvas").focus()
    designer.press("Home")
    heard = []
    for _ in range(6):
        heard.append(spoken(designer))
        designer.press("ArrowDown")
    assert [words.split(",")[0] for words in heard] == [
        "INSERT expenses", "wait for signal", "if", "SELECT", "UPDATE expenses", "UPDATE expenses"
    ]  # fmt: skip
    assert "result named decision" in heard[1]
    assert "at most 3 d" in heard[1]
    designer.press("ArrowLeft")
    assert "expired" in spoken(designer), "the branch beside it"
    designer.press("ArrowLeft")
    assert spoken(designer).startswith("if"), "the block around"
    designer.press(" ")
    assert "folded" in spoken(designer)


def spoken(designer: Designer) -> str:
    """What a screen reader says of the selected step: the one that the canvas points to."""
    active = designer.page.locator(".pw-canvas").get_attribute("aria-activedescendant")
    block = designer.page.locator(f"[id='{active}']")
    assert block.get_attribute("role") == "treeitem"
    assert block.get_attribute("aria-selected") == "true"
    return block.get_attribute("aria-label") or ""


def test_moving_duplicating_and_deleting_have_keys(design: Callable[..., Designer]) -> None:
    designer = design("'SELECT 1' ~> 'SELECT 2' ~> 'SELECT 3'\n")
    designer.page.locator(".pw-canvas").focus()
    designer.press("End")
    designer.edit_by("Alt+ArrowUp")
    assert designer.text == "'SELECT 1' ~> 'SELECT 3' ~> 'SELECT 2'\n"
    designer.edit_by("Control+d")
    assert designer.text == "'SELECT 1' ~> 'SELECT 3' ~> 'SELECT 3' ~> 'SELECT 2'\n"
    designer.edit_by("Delete")
    designer.edit_by("Delete")
    assert designer.text.count("~>") == 1
    designer.press("Control+z", "Control+z", "Control+y")
    assert designer.text.count("~>") == 2


def test_everything_that_can_be_pressed_has_a_name(design: Callable[..., Designer]) -> None:
    designer = design(EXAMPLES / "nightly.df")
    designer.select("INSERT")
    designer.test_id("run").click()
    nameless = designer.page.locator("button, input, select, textarea, [role=button], [role=treeitem]").evaluate_all(
        """all => all.filter(one => !(one.ariaLabel || one.title || one.labels?.length || one.textContent.trim()))
                     .map(one => one.outerHTML)"""
    )
    assert nameless == []
