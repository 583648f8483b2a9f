"""Databases of every supported version, for tests of the df schema itself: ask for `any_database`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.database import TemplateDatabases, prepare
from support.servers import VERSIONS, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda version: f"pg{version}")
def any_databases(request: pytest.FixtureRequest) -> Iterator[TemplateDatabases]:
    """Clones of a prepared template, on a server of each version in turn; the newest is everybody's."""
    if request.param == VERSIONS[-1]:
        yield request.getfixturevalue("databases")
        return
    with running(request.param) as dsn:
        yield TemplateDatabases(dsn, prepare)


@pytest.fixture
def any_database(any_databases: TemplateDatabases) -> Iterator[str]:
    """DSN of a fresh database with the df schema in it."""
    dsn = any_databases.create()
    yield dsn
    any_databases.drop(dsn)
