"""pgweave: design durable SQL workflows, check and compile them, run them on plain PostgreSQL.

    import pgweave
    workflow = pgweave.load("nightly.df")
    workflow.check()              # findings, each with a code and a place
    workflow.render("svg")        # a picture, as bytes
    workflow.run()                # on the embedded PostgreSQL, or on run(dsn=..)

    with pgweave.connect() as client:
        client.signal(instance_id, "approved", {"by": "ann"})

Names are loaded when they are first used, so that importing pgweave costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pgweave.version import __version__ as __version__

if TYPE_CHECKING:
    from pgweave.api import Run, Workflow, connect, load, load_all, parse
    from pgweave.formatting import format  # noqa: A004
    from pgweave.runtime.client import Client
    from pgweave.runtime.errors import PgweaveError
    from pgweave.texts import ProgramError

_HOMES = {
    "Client": "pgweave.runtime.client",
    "PgweaveError": "pgweave.runtime.errors",
    "ProgramError": "pgweave.texts",
    "Run": "pgweave.api",
    "Workflow": "pgweave.api",
    "connect": "pgweave.api",
    "format": "pgweave.formatting",
    "load": "pgweave.api",
    "load_all": "pgweave.api",
    "parse": "pgweave.api",
}
__all__ = [
    "Client",
    "PgweaveError",
    "ProgramError",
    "Run",
    "Workflow",
    "connect",
    "format",
    "load",
    "load_all",
    "parse",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pgweave' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def load_ipython_extension(shell: object) -> None:
    """`%load_ext pgweave`: the magics, completion and hover of notebooks."""
    from pgweave.notebooks.magics import load  # lazy: needs IPython

    load(shell)


def unload_ipython_extension(shell: object) -> None:
    """`%unload_ext pgweave`."""
    from pgweave.notebooks.magics import unload  # lazy: needs IPython

    unload(shell)
