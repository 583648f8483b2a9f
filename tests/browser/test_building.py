"""The seed's program, built from an empty canvas: what is saved is what the formatter writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pgweave

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.studio import Designer

EXAMPLE = Path(__file__).parents[2] / "examples" / "parent_child.df"
CHILD_SQL = " SELECT 42 AS report_id, 'ready' AS status "
PARENT_SQL = "INSERT INTO audit_log (payload) VALUES ($child::jsonb) RETURNING payload"


def wanted() -> str:
    """The example as the formatter writes it, without the comment at its top: a canvas has no place for one."""
    text = pgweave.format(EXAMPLE.read_text(encoding="utf-8"))
    return text[text.index("SELECT df.start(") :]


def test_the_seed_s_parent_and_child_are_built_by_pointing(design: Callable[..., Designer]) -> None:
    designer = design()
    designer.page.get_by_role("button", name="Add the first step").click()
    designer.choose("child")
    designer.fill("label", "generate-report")
    designer.name_result("child")
    designer.add("Add a step after start child", "sql")
    designer.write_sql(PARENT_SQL)
    designer.select("SELECT 1")
    designer.write_sql(CHILD_SQL)
    designer.label("parent-workflow")
    designer.lay_out()
    designer.save()
    assert designer.path.read_text(encoding="utf-8") == wanted()
