"""[tool.pgweave]: what a team agreed on, and that a mistake in it is said and never ignored. Which files are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgweave.cli.files import below, excluded, sources
from pgweave.config import Config, load
from pgweave.runtime.errors import PgweaveError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str = "'SELECT 1'") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_table_everything_has_its_default() -> None:
    write("pyproject.toml", "[project]\nname = 'x'\n")
    assert load() == Config()


def test_every_key_can_be_set() -> None:
    write(
        "pyproject.toml",
        """
        [tool.pgweave]
        select = ["PW1", "PW2"]
        ignore = ["PW201"]
        target = "pg_durable"
        include = ["*.df", "*.sql"]
        exclude = ["legacy"]
        output-format = "github"
        strict = true
        """,
    )
    config = load()
    assert config == Config(
        ("PW1", "PW2"),
        ("PW201",),
        "pg_durable",
        ("*.df", "*.sql"),
        ("legacy",),
        "github",
        strict=True,
        root=config.root,
    )
    assert config.root == Path.cwd()


def test_the_nearest_table_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("pyproject.toml", "[tool.pgweave]\nstrict = true\n")
    write("inner/pyproject.toml", "[project]\nname = 'x'\n")
    write("inner/deep/a.df")
    monkeypatch.chdir(folder / "inner" / "deep")
    assert (load().strict, load().root) == (True, folder)
    assert load(start=folder / "inner").strict


@pytest.mark.parametrize(
    ("text", "said", "advice"),
    [
        ("[tool.pgweave\n", "is not TOML", "[tool.pgweave]"),
        ("[tool]\npgweave = 1\n", "is not a table", "[tool.pgweave]"),
        ("[tool.pgweave]\nselct = []\n", "no key 'selct'", "'select'"),
        ("[tool.pgweave]\nzzz = []\n", "no key 'zzz'", "select, ignore, target"),
        ("[tool.pgweave]\nselect = 'PW1'\n", "select is not a list", 'select = [".."'),
        ("[tool.pgweave]\nselect = [1]\n", "select is not a list", "select"),
        ("[tool.pgweave]\nstrict = 1\n", "strict is not true or false", "true or false"),
        ("[tool.pgweave]\ntarget = 3\n", "target is not a string", "a string"),
        ("[tool.pgweave]\ntarget = 'mysql'\n", "target is 'mysql'", "'pgweave' or 'pg_durable'"),
        ("[tool.pgweave]\noutput-format = 'xml'\n", "output-format is 'xml'", "'sarif'"),
        ("[tool.pgweave]\nignore = ['PW2O1']\n", "no diagnostic begins with 'PW2O1'", "Did you mean PW2"),
    ],
)
def test_a_mistake_in_the_table_is_said_with_what_to_do(text: str, said: str, advice: str) -> None:
    write("pyproject.toml", text)
    with pytest.raises(PgweaveError) as refused:
        load()
    assert said in str(refused.value)
    assert advice in refused.value.advice


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(PgweaveError, match=r"Cannot read other\.toml"):
        load(Path("other.toml"))


@pytest.mark.parametrize(
    ("select", "ignore", "code", "wanted"),
    [
        ((), (), "PW201", True),
        (("PW1",), (), "PW201", False),
        (("PW2",), (), "PW201", True),
        ((), ("PW2",), "PW201", False),
        (("PW201",), ("PW2",), "PW201", True),  # the longer beginning wins
        (("PW2",), ("PW201",), "PW201", False),
        (("PW201",), ("PW201",), "PW201", False),
    ],
)
def test_the_longer_beginning_of_a_code_wins(
    select: tuple[str, ...], ignore: tuple[str, ...], code: str, *, wanted: bool
) -> None:
    assert Config(select=select, ignore=ignore).selects(code) == wanted


def found(**settings: tuple[str, ...]) -> list[str]:
    return [path.as_posix() for path in below(Path(), Config(root=Path.cwd(), **settings))]  # type: ignore[arg-type]


def test_a_folder_is_walked_in_order_without_what_nobody_wrote() -> None:
    for path in (
        "b.df",
        "a/z.df",
        "a/b.sql",
        ".hidden/c.df",
        "node_modules/d.df",
        "env/pyvenv.cfg",
        "env/e.df",
        "x.dfx",
    ):
        write(path)
    assert found() == ["b.df", "a/z.df"]
    assert found(include=("*.df", "*.sql")) == ["b.df", "a/b.sql", "a/z.df"]
    assert found(include=("a/*",)) == ["a/b.sql", "a/z.df"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("old", ["new.df", "a/new.df"]),
        ("old/", ["new.df", "a/new.df"]),
        ("/old", ["new.df", "a/new.df", "a/old/x.df"]),
        ("a/old", ["new.df", "a/new.df", "old/x.df"]),
        ("a/**", ["new.df", "old/x.df"]),
        ("**/old", ["new.df", "a/new.df"]),
        ("*.df", []),
        ("new.??", ["a/old/x.df", "old/x.df"]),
        ("n*", ["a/old/x.df", "old/x.df"]),
        ("new.df/", ["new.df", "a/new.df", "a/old/x.df", "old/x.df"]),
    ],
)
def test_exclude_reads_as_gitignore_does(pattern: str, left: list[str]) -> None:
    for path in ("new.df", "old/x.df", "a/new.df", "a/old/x.df"):
        write(path)
    assert sorted(found(exclude=(pattern,))) == sorted(left)


def test_exclude_is_relative_to_the_table_and_not_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("flows/old/x.df")
    monkeypatch.chdir(folder / "flows")
    config = Config(exclude=("flows/old",), root=folder)
    assert excluded(Path("old/x.df"), config)
    assert not excluded(Path("new/x.df"), config)


def test_a_file_that_is_named_is_looked_at_unless_exclusion_is_forced() -> None:
    write("old/x.df")
    config = Config(exclude=("old",), root=Path.cwd())
    assert [source.name for source in sources(["old/x.df"], config)] == ["old/x.df"]
    assert sources(["old/x.df"], config, force=True) == []


def test_each_file_is_read_once() -> None:
    write("a/x.df")
    assert [source.name for source in sources(["a/x.df", "a", "a/x.df"], Config())] == ["a/x.df"]


def test_a_folder_with_nothing_to_look_at_is_refused() -> None:
    write("a/x.txt")
    with pytest.raises(PgweaveError, match=r"There is no \.df or \.sql file in a"):
        sources(["a"], Config(include=("*.df", "*.sql")))


def test_links_to_folders_are_not_followed() -> None:
    """Else a link to a folder above would never end."""
    write("a/x.df")
    (Path("a") / "up").symlink_to("..")
    assert found() == ["a/x.df"]
