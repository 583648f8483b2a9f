"""`lsp`: the language server for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(lsp)


def lsp() -> None:
    """Serve an editor over standard input and output (Language Server Protocol)."""
    try:
        from pgweave.language_server import serve  # lazy: pygls is optional
    except ImportError as error:
        if (error.name or "").split(".")[0] not in {"pygls", "lsprotocol", "cattrs", "attrs"}:
            raise
        raise PgweaveError("The language server needs pygls.", "Install it with: pip install 'pgweave[lsp]'") from error
    serve()
