"""pgweave: design durable SQL workflows, check and compile them, run them on plain PostgreSQL."""

from __future__ import annotations

__version__ = "0.1.0"
