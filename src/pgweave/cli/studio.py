"""`studio`: the visual designer as a page of this machine."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import Dsn, say
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from types import FrameType

    from pgweave.designer.session import Session

LIBRARIES = frozenset({"starlette", "uvicorn", "websockets", "anyio", "h11", "click"})


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(studio)


def studio(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A program; created when it is saved, if it does not exist.")
    ] = None,
    dsn: Dsn = None,
    port: Annotated[int, typer.Option(help="Port of the page; 0: any that is free.", min=0, max=65535)] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address, open no browser.")] = False,
    no_setup: Annotated[
        bool, typer.Option("--no-setup", help="Do not run FILE's companion NAME.setup.sql before a start.")
    ] = False,
) -> None:
    """Design a program on a page in the browser, until Ctrl-C."""
    try:
        from pgweave.designer.studio_server import serve  # lazy: starlette and uvicorn are optional
    except ImportError as error:
        if (error.name or "").split(".")[0] not in LIBRARIES:
            raise
        raise PgweaveError(
            "The designer's page needs starlette, uvicorn and websockets.", "Install: pip install 'pgweave[studio]'"
        ) from error
    from pgweave.designer.browser import opener  # lazy: start-up
    from pgweave.designer.opening import open_file  # lazy: start-up

    session = open_file(file, dsn, setup=not no_setup, report=say)

    def opened(url: str) -> None:
        typer.echo(url)
        say(
            f"{session.name} is open there. The address holds a secret: it lets whoever has it edit and run. Ctrl-C ends."
        )
        if not no_browser and _has_screen():
            open_in_browser(url)

    before = signal.signal(signal.SIGTERM, _interrupt)  # so that it ends as with Ctrl-C, unsaved text and all
    try:
        with opener() as open_in_browser:
            serve(session, port, opened)
    finally:
        signal.signal(signal.SIGTERM, before)
        _keep_unsaved(session)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _has_screen() -> bool:
    """Whether a browser would open in a window; one in this terminal would only be in the way."""
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _keep_unsaved(session: Session) -> None:
    """What was never saved is written beside the file: closing the page must not lose work."""
    if session.saved:
        return
    beside = Path(f"{session.name if session.keeper is None else session.keeper.file.path}.unsaved")
    data = session.document.text.encode()
    try:
        where = _new_file(beside, data)
    except OSError:  # a folder that may not be written to
        where = _new_file(Path(tempfile.mkdtemp(prefix="pgweave-")) / beside.name, data)
    say(f"\nWhat was not saved is in {where}.")


def _new_file(path: Path, data: bytes) -> Path:
    """Write a file under this name, or the next one that is free: an earlier page may have left something too."""
    for number in count(2):
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError:
            path = path.with_suffix(f".unsaved-{number}")
        else:
            break
    return path
