"""A file, or none yet -> a session on it, for the studio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.config import load
from pgweave.designer.disk import File
from pgweave.designer.document import Document
from pgweave.designer.file_sync import Keeper
from pgweave.designer.operator import Operator
from pgweave.designer.session import Session
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Callable

UNTITLED = "untitled.df"


def open_file(
    path: Path | None, dsn: str | None = None, *, setup: bool = True, report: Callable[[str], None] = lambda _: None
) -> Session:
    """Open a program. One that is not there is made when it is saved; without a path it is named then.

    setup: whether its companion NAME.setup.sql runs before a start. report: told of that in a sentence. PgweaveError when the
    program cannot be read.
    """
    if path is None:
        # The working directory: a program without a name is saved there.
        here = Path()
        return Session(Document(""), name=UNTITLED, home="studio", operator=Operator(dsn), config=load(), folder=here)
    if path.suffix == ".ipynb":
        raise PgweaveError(f"{path} is a notebook.", "Open it in Jupyter, and the designer there: workflow.design().")
    if not path.absolute().parent.is_dir():
        raise PgweaveError(f"There is no folder {path.parent}.", "Make it, or choose another.")
    file = File(path)
    # None for a file that does not exist yet: the document is empty, and saving creates it.
    base = file.read()
    document = Document(base or "")
    return Session(
        document,
        name=str(path),
        home="studio",
        keeper=Keeper(document, file, base),
        operator=Operator(dsn, path if setup else None, report),
        config=load(start=path.absolute().parent),
    )
