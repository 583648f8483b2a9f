"""Sessions for tests of notebooks. None of them finds a database that its test has not named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.notebook import Notebook, ipython, notebook

from pgweave.observe import background, session_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    """IPython's shell: there is one in a process."""
    with ipython(tmp_path_factory.mktemp("ipython")) as running:
        yield running


@pytest.fixture
def session(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A notebook without a database."""
    monkeypatch.delenv("PGWEAVE_DSN", raising=False)
    monkeypatch.setattr(session_database, "_used", [])
    monkeypatch.setattr(session_database, "_servers", {})
    return notebook(shell)


@pytest.fixture
def connected(session: Notebook, database: str) -> Iterator[Notebook]:
    """A notebook that works with a fresh database; what works in the background ends with the test."""
    session_database.use(database)
    yield session
    background.stop_all()
