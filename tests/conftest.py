"""One server for the session, one database for each test that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.database import TemplateDatabases, prepare

from pgweave.runtime.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server() -> Iterator[embedded.Server]:
    """A PostgreSQL server that ends with the session however that ends; see `embedded.temporary`."""
    with embedded.temporary() as running:
        yield running


@pytest.fixture(scope="session")
def databases(server: embedded.Server) -> TemplateDatabases:
    """The template, prepared once."""
    return TemplateDatabases(server.dsn, prepare)


@pytest.fixture
def database(databases: TemplateDatabases) -> Iterator[str]:
    """DSN of a fresh database with the df schema in it."""
    dsn = databases.create()
    before = databases.roles()
    yield dsn
    databases.drop(dsn)
    left = databases.roles() - before
    assert not left, f"roles belong to the whole server, and this test leaves some behind: {sorted(left)}"
