"""Opens the studio's page in the browser, without its secret on a command line.

Every account of a machine can read the arguments of all processes, and `webbrowser.open(url)` makes the address one. So
the browser gets a file that only this user can read; the file leads to the address.
"""

from __future__ import annotations

import tempfile
import webbrowser
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>pgweave studio</title>
<a href="{url}">Open pgweave studio</a>
"""


@contextmanager
def opener() -> Iterator[Callable[[str], None]]:
    """Gives a function that opens an address. Its file is removed at the end, as a slow browser may read it late."""
    with tempfile.TemporaryDirectory(prefix="pgweave-") as folder:  # which has mode 0700

        def open_address(url: str) -> None:
            file = Path(folder) / "studio.html"
            # Before anything is written to it, or the secret could be read for a moment.
            file.touch(mode=0o600)
            file.write_text(_PAGE.format(url=escape(url)), encoding="utf-8")
            webbrowser.open(file.as_uri())

        yield open_address
