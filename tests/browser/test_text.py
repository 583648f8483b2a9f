"""The text beside the canvas: one program in two views, whatever is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.studio import Designer

PROGRAM = """\
-- An order is taken, and sent.
SELECT df.start(
    'SELECT 7 AS id' |=> 'parcel'
    ~> df.sleep(5)
    ~> 'SELECT $parcel.id',
    'send'
);
"""


def test_a_syntax_error_leaves_the_last_good_drawing_until_it_is_fixed(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    blocks = designer.shown()
    designer.type_at("df.sleep(5)", " ~>")
    stale = designer.test_id("stale")
    stale.get_by_text("The text does not parse").wait_for()
    designer.page.locator(".pw-text .cm-lintRange-error").first.wait_for()
    assert designer.shown().keys() == blocks.keys()
    assert designer.page.locator(".pw-problems").count() == 1
    assert designer.page.locator(".pw-slot").count() == 0, (
        "what is shown is not the text, so nothing can be added to it"
    )
    for _ in " ~>":
        designer.press("Backspace")
    stale.wait_for(state="detached")
    designer.page.locator(".cm-lintRange-error").wait_for(state="detached")
    assert designer.shown() == blocks
    assert designer.text == PROGRAM
    assert designer.page.locator(".pw-slot").count() > 0


def test_a_text_that_does_not_parse_is_saved_all_the_same(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    designer.type_at("df.sleep(5)", " ~>")
    designer.save()
    assert designer.path.read_text() == PROGRAM.replace("df.sleep(5)", "df.sleep(5) ~>")


def test_typing_redraws_and_selection_follows_both_ways(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    designer.type_at("df.sleep(5", "0")
    designer.block("50 s").and_(designer.page.locator("[aria-selected=true]")).wait_for()
    designer.select("SELECT $parcel.id")
    designer.page.wait_for_function(
        """() => {
            const { view } = document.querySelector('#designer').shadowRoot.querySelector('.pw-text .cm-content').cmTile;
            return view.state.doc.lineAt(view.state.selection.main.head).text.includes('$parcel.id');
        }"""
    )


def test_a_finding_is_shown_in_both_views_and_fixed_by_one_click(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    designer.type_at("$parc", "x")
    designer.page.locator(".pw-text .cm-lintRange-error").first.wait_for()
    assert designer.block("SELECT $parcxel.id").locator(".pw-problems.pw-error").inner_text() == "1"
    designer.test_id("problem-count").click()
    finding = designer.test_id("problems").locator(".pw-finding")
    finding.get_by_text("parcxel").first.wait_for()
    finding.locator(".pw-fix").click()
    designer.see_text(PROGRAM, whole=True)
    designer.page.locator(".pw-problems").wait_for(state="detached")


def test_renaming_a_result_renames_it_where_it_is_read(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    designer.select("SELECT 7 AS id")
    designer.name_result("order")
    assert designer.text == PROGRAM.replace("parcel", "order")


def test_a_schedule_says_when_it_comes(design: Callable[..., Designer]) -> None:
    designer = design("df.wait_for_schedule('0 6 * * *') ~> 'SELECT 1'\n")
    designer.block("schedule").locator(".pw-handle").click()
    field = designer.page.locator("[data-field=cron_expr] input")
    field.fill("30 7 * * MON-FRI")
    cron = designer.test_id("cron")
    cron.get_by_text("At 07:30 on Monday through Friday").wait_for()
    assert cron.get_by_role("listitem").count() == 5
    assert designer.edit_by("Enter")
    assert designer.text == "df.wait_for_schedule('30 7 * * MON-FRI') ~> 'SELECT 1'\n"
