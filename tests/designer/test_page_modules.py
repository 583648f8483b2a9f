"""The rooms of the designer's page import only downward; `import type` counts. tests/house/test_imports.py finds cycles."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import networkx as nx

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES = Path(__file__).parents[2] / "designer" / "web" / "src"

# Each room (a folder, or a module beside them) with the rooms that it may import.
ROOMS: dict[str, set[str]] = {
    "protocol": set(),
    "parts": set(),
    "connection": {"protocol"},
    "state": {"connection", "protocol"},
    "text": {"state", "parts", "protocol"},
    "canvas": {"state", "parts", "protocol"},
    "runs": {"state", "parts", "protocol"},
    "panels": {"text", "canvas", "runs", "state", "parts", "protocol"},
    "page": {"panels", "text", "canvas", "runs", "state", "parts", "connection", "protocol"},
    "App": {"page", "panels", "text", "canvas", "runs", "state", "parts"},
    "main": {"App", "text", "state", "parts", "connection"},
}


def imports(modules: Mapping[str, str]) -> nx.DiGraph[str]:
    """Which module imports which. modules: source texts by path without suffix, such as "state/tree"."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(modules)
    for module, source in modules.items():
        for target in re.findall(r"""(?:\bfrom|\bimport|\bimport\()\s*["'](\.[^"']*)["']""", source):
            parts: list[str] = []
            for part in (PurePosixPath(module).parent / target).parts:
                if part == ".." and parts:
                    parts.pop()
                else:
                    parts.append(part)
            if "/".join(parts) in modules:  # the rest are style sheets and the notebooks' mode for CodeMirror
                graph.add_edge(module, "/".join(parts))
    return graph


def upward(modules: Mapping[str, str]) -> list[str]:
    """Imports that the table of rooms does not admit."""
    return sorted(
        f"{module} -> {target}"
        for module, target in imports(modules).edges
        if room(module) != room(target) and room(target) not in ROOMS[room(module)]
    )


def room(module: str) -> str:
    return module.partition("/")[0]


def page() -> dict[str, str]:
    return {
        path.relative_to(SOURCES).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in SOURCES.rglob("*.ts*")
        if not path.name.endswith(".d.ts")
    }


def test_every_module_of_the_page_is_in_a_room() -> None:
    assert {room(module) for module in page()} == set(ROOMS)


def test_the_rooms_of_the_page_import_only_downward() -> None:
    assert upward(page()) == []
    assert nx.is_directed_acyclic_graph(nx.DiGraph((name, other) for name, others in ROOMS.items() for other in others))


def test_an_import_of_a_higher_room_is_found() -> None:
    planted = {"state/a": 'export * from "../canvas/b";', "canvas/b": 'const c = import("../state/c");', "state/c": ""}
    assert upward(planted) == ["state/a -> canvas/b"]
    assert set(imports(planted).edges) == {("state/a", "canvas/b"), ("canvas/b", "state/c")}
