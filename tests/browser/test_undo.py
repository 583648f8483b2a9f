"""Ten edits of every example by pointing, in an order that chance has chosen, and all of them undone again."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator
    from support.studio import Designer

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.df"))
ENTRIES = (
    "sql", "http", "http_multipart", "sleep", "schedule", "signal", "await_instance", "sequence", "if", "if_rows",
    "loop", "while", "break", "parallel", "race", "timeout", "child",
)  # fmt: skip
WRAPPERS = ("If", "Endless loop", "Loop while", "Parallel branches", "Race", "Time limit", "Child workflow")
EDITS = 10


class Chance:
    """Somebody who points at random things in view. Each method makes one edit if there is one to be made there."""

    def __init__(self, designer: Designer, seed: str) -> None:
        self.designer = designer
        self.random = Random(seed)

    def any(self, elements: Locator) -> Locator | None:
        """One of the elements that are in view."""
        in_view = elements.evaluate_all(
            """all => all.flatMap((one, at) => {
                const { x, y, width, height } = one.getBoundingClientRect();
                const canvas = one.closest('.pw-canvas').getBoundingClientRect();
                const [centre, middle] = [x + width / 2, y + height / 2];
                const hit = one.getRootNode().elementFromPoint(centre, middle);
                return canvas.left < x && x + width < canvas.right && one.contains(hit) ? [at] : [];
            })"""
        )
        return elements.nth(self.random.choice(in_view)) if in_view else None

    def select(self) -> bool:
        block = self.any(self.designer.page.locator("[data-block-id] .pw-title"))
        if block is not None:
            block.click()
            self.designer.painted()
        return block is not None

    def insert(self) -> bool:
        first = self.designer.page.get_by_role("button", name="Add the first step")
        slot = first if first.count() else self.any(self.designer.page.locator(".pw-slot"))
        if slot is None:
            return False
        slot.click()
        return self.designer.choose(self.random.choice(ENTRIES))

    def replace(self) -> bool:
        if not self.select():
            return False
        self.designer.press("r")
        return self.designer.choose(self.random.choice(ENTRIES))

    def by_key(self) -> bool:
        return self.select() and self.designer.edit_by("Delete" if self.random.random() < 0.5 else "Control+d")

    def wrap(self) -> bool:
        if not self.select():
            return False
        self.designer.page.get_by_role("button", name="Wrap in").click()
        item = self.designer.page.get_by_role("menuitem", name=self.random.choice(WRAPPERS), exact=True)
        return self.designer.edit_by(item)

    def drag(self) -> bool:
        """Take a block to a `+`, if it may be dropped there."""
        page = self.designer.page
        block, slot = self.any(page.locator("[data-block-id] .pw-title")), self.any(page.locator(".pw-slot"))
        if block is None or slot is None:
            return False
        start, end = block.bounding_box(), slot.bounding_box()
        assert start is not None
        assert end is not None
        page.mouse.move(start["x"] + 5, start["y"] + 5)
        page.mouse.down()
        page.mouse.move(end["x"] + 8, end["y"] + 8, steps=3)
        self.designer.painted()
        if not page.locator(".pw-slot-over").count():
            page.mouse.up()
            return False
        with self.designer.edits() as changed:
            page.mouse.up()
        return changed[0]

    def sql(self) -> bool:
        if not self.select() or not self.designer.test_id("sql-editor").count():
            return False
        return self.designer.write_sql(f"SELECT {self.random.randrange(1000)} AS \"a 'quoted' name\"")

    def name(self) -> bool:
        if not self.select() or not self.designer.page.locator("#pw-name").count():
            return False
        return self.designer.name_result(f"name_{self.random.randrange(1000)}")


def as_windows_writes(content: bytes) -> bytes:
    """The same with a byte order mark and CRLF at the ends of lines."""
    return b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("example", [*EXAMPLES, None], ids=lambda path: path.stem if path else "windows")
def test_ten_edits_by_pointing_are_undone_to_the_byte(
    design: Callable[..., Designer], example: Path | None, tmp_path: Path
) -> None:
    content = example.read_bytes() if example else as_windows_writes(EXAMPLES[0].read_bytes())
    path = tmp_path / "program.df"
    path.write_bytes(content)
    designer = design(path)
    chance = Chance(designer, example.stem if example else "windows")
    ways = [chance.insert, chance.replace, chance.by_key, chance.wrap, chance.drag, chance.sql, chance.name]
    texts = [designer.text]
    tried = []
    while len(texts) <= EDITS:
        way = chance.random.choice(ways)
        tried.append(way.__name__)
        assert len(tried) < 10 * EDITS, tried
        if way():
            assert designer.text != texts[-1], tried
            texts.append(designer.text)
    designer.save()
    assert path.read_text(encoding="utf-8-sig") == texts[-1]
    assert (b"\r\n" in path.read_bytes()) == (example is None)
    designer.page.locator(".pw-canvas").focus()
    for text in reversed(texts[:-1]):
        designer.press("Control+z")
        designer.see_text(text, whole=True)
    designer.save()
    assert path.read_bytes() == content
