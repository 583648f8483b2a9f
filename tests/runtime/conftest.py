"""Databases of every supported version, for tests of the df schema itself (`any_database`, `db`), and `quiet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.checker import check
from support.database import TemplateDatabases, prepare
from support.role_database import RoleDatabases
from support.servers import VERSIONS, running
from support.work import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.role_database import RoleDatabase

    from pgweave.runtime.server.embedded import Server


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda version: f"pg{version}")
def any_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """DSN of a server of each version in turn; the newest is everybody's."""
    if request.param == VERSIONS[-1]:
        server: Server = request.getfixturevalue("server")
        yield server.dsn
        return
    with running(request.param) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def any_databases(any_server: str) -> TemplateDatabases:
    """Clones of a prepared template."""
    return TemplateDatabases(any_server, prepare)


@pytest.fixture
def any_database(any_databases: TemplateDatabases) -> Iterator[str]:
    """DSN of a fresh database with the df schema in it."""
    dsn = any_databases.create()
    yield dsn
    any_databases.drop(dsn)


@pytest.fixture(scope="session")
def role_databases(any_server: str) -> RoleDatabases:
    """Databases with several roles in them."""
    return RoleDatabases(any_server)


@pytest.fixture
def db(role_databases: RoleDatabases) -> Iterator[RoleDatabase]:
    """A fresh database with an owner, a worker, ann, bob, eve, and people with strange names."""
    with role_databases.create() as found:
        yield found


@pytest.fixture
def quiet(database: str) -> Iterator[Database]:
    """A database without a worker; steps leave their marks in fx."""
    place = Database(database)
    place.sql("create table fx (step text)")
    yield place
    place.client.close()
    check(database)
