"""The seed's program, built from an empty canvas: what is saved is what the formatter writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.studio import SEED_CHILD, SEED_PARENT, seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.studio import Designer


def test_the_seed_s_parent_and_child_are_built_by_pointing(design: Callable[..., Designer]) -> None:
    designer = design()
    designer.page.get_by_role("button", name="Add the first step").click()
    designer.choose("child")
    designer.fill("label", "generate-report")
    designer.name_result("child")
    designer.add("Add a step after child", "sql")
    designer.write_sql(SEED_PARENT)
    designer.select("SELECT 1")
    designer.write_sql(SEED_CHILD)
    designer.label("parent-workflow")
    designer.lay_out()
    designer.save()
    assert designer.path.read_text(encoding="utf-8") == seed()
