"""A program that tries to script the page, in every place where a program says something: it is shown as text.

The page would also be stopped by its content security policy, and the browser would complain. That it has nothing to
complain of (see the fixture `design`) says that nothing was even tried.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.studio import Designer

IMAGE = """<img src=x onerror="attacked('image')">"""
SCRIPT = "</script><script>attacked('script')</script>"
VECTOR = "<svg onload=attacked('vector')><a href=javascript:attacked('link')>a</a></svg>"
LINK = "[a](javascript:attacked('markdown'))"
FILE = "<img src=x onerror=attacked('file')>.df"


def quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


STEP = f"SELECT {quoted(IMAGE)} AS a, {quoted(SCRIPT)} AS b, '{{who}}' AS c /* {LINK} */"
PROGRAM = f"""\
SELECT df.setvar('who', {quoted(VECTOR)});
-- {SCRIPT} {LINK}
SELECT df.start(
    {quoted(STEP)} |=> 'first'
    ~> df.wait_for_signal({quoted(SCRIPT + IMAGE)})
    ~> df.call_child({quoted(f"SELECT {quoted(LINK)}")}, {quoted(VECTOR)})
    ~> (
        df.http({quoted("https://localhost/?javascript:attacked(3)")}, 'POST', {quoted(IMAGE + SCRIPT)})
        | df.wait_for_signal({quoted(LINK)})
    )
    ~> {quoted(f"SELECT $first.b, {quoted(VECTOR)}")},
    {quoted(IMAGE + SCRIPT)}
);
"""
MARKUP = "img[src=x], iframe, svg[onload], a[href^='javascript:'], [onerror], #designer script, .pgweave script"


def see(designer: Designer, *parts: str) -> None:
    """Each of them stands somewhere on the page letter by letter, and nothing of it has become an element."""
    for part in parts:
        designer.page.get_by_text(part).and_(designer.page.locator(":visible")).first.wait_for()
    assert designer.page.locator(MARKUP).count() == 0


def test_a_hostile_program_is_shown_as_text_in_every_view(design: Callable[..., Designer], tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text(PROGRAM)
    designer = design(path)
    page = designer.page
    see(designer, FILE, IMAGE, SCRIPT, VECTOR, LINK)
    for block in designer.shown():
        page.locator(f"[data-block-id='{block}'] .pw-handle").first.click()
        see(designer)
    page.locator(".pw-text .cm-line", has_text="df.start").click()
    designer.type_at("$first.b", "x")  # a finding that quotes what is hostile
    designer.test_id("problem-count").click()
    see(designer, "firs")
    designer.type_at("df.start(", SCRIPT)
    designer.test_id("stale").wait_for()
    see(designer, SCRIPT)


def test_a_hostile_comparison_is_a_picture_that_runs_nothing(design: Callable[..., Designer]) -> None:
    designer = design(PROGRAM)
    designer.type_at("SELECT $first.b", ", $$<img src=x onerror=attacked(4)>$$")
    designer.page.get_by_role("button", name="Compare versions").click()
    comparison = designer.test_id("comparison")
    comparison.get_by_role("listitem").first.wait_for()
    comparison.locator("img.pw-picture").wait_for()
    see(designer)


def test_hostile_results_errors_and_signals_are_shown_as_text(database: str, design: Callable[..., Designer]) -> None:
    hostile = IMAGE + SCRIPT + VECTOR
    step, wrong = f"SELECT {quoted(hostile)} AS x", f"SELECT ({quoted(hostile)} || current_user)::int"
    names = quoted(hostile)
    program = f"SELECT df.start({quoted(step)} ~> df.wait_for_signal({names}) ~> {quoted(wrong)}, {names});\n"
    designer = design(program, "--dsn", database)
    designer.test_id("run").click()
    designer.test_id("start").click()
    form = designer.test_id("signal-form").first
    see(designer, hostile)
    designer.page.locator("[data-status=completed] .pw-handle").click()
    designer.test_id("node-run").locator("td").get_by_text(hostile).wait_for()
    form.locator("textarea").fill('{"x": "<b>"}')
    form.get_by_role("button", name="Send signal").click()
    designer.test_id("run-status").get_by_text("failed").wait_for()
    designer.page.locator(".pw-errortext").get_by_text(hostile).first.wait_for()
    designer.test_id("show-instances").click()
    designer.page.locator(".pw-instance", has_text=hostile).click()
    designer.test_id("past-text").wait_for()
    designer.page.locator("[data-status=failed]").wait_for()
    see(designer, hostile)


def test_characters_that_turn_text_around_are_marks_on_the_canvas_and_in_the_text(
    design: Callable[..., Designer],
) -> None:
    """They would show a comment where code is (PW032 says so); what one sees is the order in which it is run."""
    turns = "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
    designer = design(f"'DELETE FROM t /* {turns} */' ~> df.wait_for_signal('go{turns}')")
    shown = [designer.block(title).inner_text() for title in ("DELETE t", "wait for signal")]
    assert [text.count("\N{REPLACEMENT CHARACTER}") for text in shown] == [len(turns)] * 2
    assert not set(turns) & set("".join(shown))
    assert designer.page.locator(".pw-text .cm-specialChar").count() == 2 * len(turns)
    assert not set(turns) & set(designer.page.locator(".pw-text .cm-content").inner_text())


def test_markup_that_did_get_into_the_page_would_run_nothing(design: Callable[..., Designer]) -> None:
    """The second line of defence: and the browser's complaints, which the other tests rely on."""
    designer = design("'SELECT 1'\n")
    page = designer.page
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate(f"document.body.innerHTML = {json.dumps(IMAGE)}")
    with pytest.raises(Error, match="TrustedScript"):
        page.evaluate("document.body.setAttribute('onclick', 'attacked()')")
    with page.expect_event("console", lambda line: "Content Security Policy" in line.text):
        page.evaluate("document.body.append(Object.assign(new Image(), {src: 'x'}))")
    assert designer.complaints != []
    designer.complaints.clear()
