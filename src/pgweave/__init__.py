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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgweave.observe.runs import Run
    from pgweave.runtime.client import Client
    from pgweave.runtime.errors import PgweaveError
    from pgweave.workflow import ProgramError, Workflow, connect, format, load, load_all, parse  # noqa: A004

__version__ = "0.1.0"
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

_HOMES = {
    "Client": "pgweave.runtime.client",
    "PgweaveError": "pgweave.runtime.errors",
    "Run": "pgweave.observe.runs",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'pgweave' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "pgweave.workflow")), name)


def load_ipython_extension(shell: object) -> None:
    """`%load_ext pgweave`: the magics, completion and hover of notebooks."""
    from pgweave.notebooks.magics import load

    load(shell)


def unload_ipython_extension(shell: object) -> None:
    """`%unload_ext pgweave`."""
    from pgweave.notebooks.magics import unload

    unload(shell)
