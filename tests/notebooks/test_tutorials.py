"""The tutorials run from top to bottom as their readers would run them, and show what is stored beside them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from support.tutorials import TEXTS, cells, executed, link_targets, plain, read, store, stored

if TYPE_CHECKING:
    from pathlib import Path

UPDATE = os.environ.get("PGWEAVE_UPDATE_NOTEBOOKS") == "1"
LARGEST_BYTES = 400_000
OWN_FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "XDG_STATE_HOME")
tutorials = pytest.mark.parametrize("text", TEXTS, ids=[text.stem for text in TEXTS])


@tutorials
def test_it_runs_from_top_to_bottom_and_shows_what_is_stored(
    text: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids, times and the widths of bars may differ. `make notebooks` stores what it shows now."""
    for name in OWN_FOLDERS:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PGWEAVE_DSN", database)
    folder = tmp_path / "work"
    folder.mkdir()
    found = executed(text, folder, os.environ)
    if UPDATE:
        store(found, text)
    assert plain(found) == plain(stored(text))


@tutorials
def test_the_text_and_the_notebook_say_the_same(text: Path) -> None:
    """Whoever reviews a change reads the text; whoever learns reads the notebook."""
    assert cells(read(text)) == cells(stored(text))


@tutorials
def test_what_is_stored_is_small_and_says_nothing_of_the_machine_it_was_made_on(text: Path) -> None:
    content = text.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert len(content.encode()) < LARGEST_BYTES
    assert not re.findall(rf"/tmp/|/home/|/root\b|site-packages|\b{re.escape(os.uname().nodename)}:", content)
    assert "application/vnd.jupyter.widget" not in content


@tutorials
def test_it_ends_with_something_to_try_and_its_links_lead_somewhere(text: Path) -> None:
    words = text.read_text(encoding="utf-8")
    assert "## What to try next" in words.split("\n```\n")[-1]
    assert all((text.parent / target).exists() for target in link_targets(words))
