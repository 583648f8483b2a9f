"""`pgweave fmt`: files in canonical layout, written whole or not at all."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn

import pytest
import typer

import pgweave as library
from pgweave.cli import fmt as command
from pgweave.grammar.span import Source
from pgweave.grammar.writing import formatter
from pgweave.workflow import load_source

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Command

UGLY = "select  df.start('SELECT 1'~>'SELECT 2' ,'two') ;  -- why\n"
NEAT = "select df.start(\n    'SELECT 1'\n    ~> 'SELECT 2',\n    'two'\n); -- why\n"


def test_files_are_laid_out_where_they_are(pgweave: Command) -> None:
    ugly, neat = pgweave.write("ugly.df", UGLY), pgweave.write("neat.df", NEAT)
    before = neat.stat()
    done = pgweave("fmt", "ugly.df", "neat.df")
    assert (done.code, done.out) == (0, "")
    assert done.err == "1 file laid out, 1 file already laid out.\n"
    assert ugly.read_text() == neat.read_text() == NEAT
    assert (neat.stat().st_ino, neat.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_check_says_which_files_are_not_and_writes_nothing(pgweave: Command) -> None:
    ugly = pgweave.write("ugly.df", UGLY)
    done = pgweave("fmt", "--check", "ugly.df")
    assert (done.code, done.out, ugly.read_text()) == (1, "", UGLY)
    assert done.err == "ugly.df would be laid out\n1 file would be laid out.\n"
    pgweave.write("neat.df", NEAT)
    assert pgweave("fmt", "--check", "neat.df").code == 0


def test_diff_shows_what_would_change_and_writes_nothing(pgweave: Command) -> None:
    ugly = pgweave.write("ugly.df", UGLY.rstrip("\n"))
    done = pgweave("fmt", "--diff", "ugly.df")
    assert (done.code, ugly.read_text()) == (1, UGLY.rstrip("\n"))
    assert done.out.splitlines() == [
        "--- ugly.df",
        "+++ ugly.df laid out",
        "@@ -1 +1,5 @@",
        "-" + UGLY.rstrip("\n"),
        "\\ No newline at end of file",
        *("+" + line for line in NEAT.splitlines()),
    ]
    pgweave.write("neat.df", NEAT)
    assert (pgweave("fmt", "--diff", "neat.df").code, pgweave("fmt", "--diff", "neat.df").out) == (0, "")


def test_standard_input_goes_to_standard_output(pgweave: Command) -> None:
    """As an editor calls it. Line ends are bytes like others: they stay what they are."""
    done = pgweave("fmt", "-", stdin=UGLY.replace("\n", "\r\n").encode())
    assert (done.code, done.out, done.err) == (0, NEAT.replace("\n", "\r\n"), "")
    assert pgweave("fmt", "--check", "-", stdin=UGLY.encode()).code == 1
    assert pgweave("fmt", "--check", "-", stdin=NEAT.encode()).code == 0


def test_standard_input_can_have_the_name_of_a_file_that_is_no_program(pgweave: Command) -> None:
    text = "UPDATE  t SET a = 1;\nSELECT df.start('a' ~> 'b');\n"
    done = pgweave("fmt", "-", "--stdin-filename", "migration.sql", stdin=text.encode())
    assert (done.code, done.out) == (0, "UPDATE  t SET a = 1;\nSELECT df.start(\n    'a'\n    ~> 'b'\n);\n")


def test_what_cannot_be_read_is_left_alone_and_the_others_are_laid_out(pgweave: Command) -> None:
    broken, ugly = pgweave.folder / "broken.df", pgweave.write("ugly.df", UGLY)
    before = broken.read_bytes()
    done = pgweave("fmt", "broken.df", "ugly.df")
    assert done.code == 1
    assert "error[PW001]" in done.err
    assert done.err.endswith("1 file laid out, 1 file not readable, left alone.\n")
    assert (broken.read_bytes(), ugly.read_text()) == (before, NEAT)
    assert pgweave("fmt", "-", stdin=b"'a' ~>").out == "'a' ~>"  # a filter loses nothing


def test_a_folder_stands_for_the_programs_below_it(pgweave: Command) -> None:
    files = [pgweave.write(f"flows/{name}", UGLY) for name in ("one.df", "deep/two.df", ".hidden/three.df", "four.sql")]
    done = pgweave("fmt", "flows")
    assert done.err == "2 files laid out.\n"
    assert [file.read_text() for file in files] == [NEAT, NEAT, UGLY, UGLY]


def test_links_and_permissions_stay(pgweave: Command) -> None:
    target, link = pgweave.write("real/flow.df", UGLY), pgweave.folder / "link.df"
    target.chmod(0o640)
    link.symlink_to(target)
    assert pgweave("fmt", "link.df").code == 0
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == (NEAT, 0o640)
    assert [file.name for file in target.parent.iterdir()] == ["flow.df"]


def run(path: Path) -> None:
    command.fmt([str(path)], stdin_filename=None, config_file=None)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "ugly.df"
    path.write_text(UGLY)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(library.PgweaveError, match=r"Cannot write .*ugly\.df: No space left"):
        run(path)
    assert path.read_text() == UGLY
    assert list(tmp_path.iterdir()) == [path]


def test_a_bug_of_the_formatter_is_called_one_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ugly.df"
    path.write_text(UGLY)
    monkeypatch.setattr(formatter, "_program", lambda *_: "'SELECT 1' & 'SELECT 2'")
    with pytest.raises(typer.Exit) as end:
        run(path)
    assert end.value.exit_code == 2
    assert path.read_text() == UGLY
    assert "that is a bug of pgweave. The file is unchanged; please report it." in capsys.readouterr().err


def test_the_library_lays_out_a_text_as_the_command_does() -> None:
    assert library.format(UGLY) == NEAT
    assert library.format("SELECT df.start('a'~>'b'), 1|2", "x.sql") == "SELECT df.start(\n    'a'\n    ~> 'b'\n), 1|2"
    with pytest.raises(library.ProgramError, match="PW001"):
        library.format("'a' ~>")


def test_a_workflow_has_a_text_of_its_own() -> None:
    first, second = load_source(Source("x.df", "'a' ~> 'b'; -- c\ndf.start('c', 'it''s')"))
    assert first.text == "SELECT df.start(\n    'a'\n    ~> 'b'\n);\n"
    assert second.text == "SELECT df.start('c', $$it's$$);\n"
    assert library.parse(second.text).definition == second.definition
