"""What shows a document: a page of the studio, a widget of a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

Message: TypeAlias = Mapping[str, Any]


class View(Protocol):
    """One open page or widget."""

    def send(self, message: Message) -> None:
        """Take an event; from any thread, and without waiting."""
