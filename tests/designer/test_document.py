"""Many hands, one text: what views, the notebook and editors of the file write at the same time is all there in the end."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pace import examples

from pgweave.designer.differences import difference, merge
from pgweave.designer.disk import File, Layout
from pgweave.designer.document import KERNEL, BadUpdate, Behind, Document, applied, sections, wire_changes
from pgweave.designer.file_sync import CHANGED, CONFLICT, GONE, MERGED, Keeper, new_file
from pgweave.designer.protocol import Update
from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.editing.edits import apply
from pgweave.grammar.span import Span
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from pgweave.designer.protocol import Sections

lines = st.lists(st.sampled_from(("a", "b", "c", "it's", "🐘", "ž", "", "  x", "\r")), max_size=12)
texts = st.builds("\n".join, lines)


# Changes


@given(texts, texts)
def test_a_difference_makes_the_one_text_of_the_other(old: str, new: str) -> None:
    edits = difference(old, new)
    assert apply(old, edits) == new
    assert applied(old, sections(old, edits)) == new
    assert (edits == ()) == (old == new)


def test_a_difference_touches_only_the_lines_that_changed() -> None:
    old = "".join(f"line {number}\n" for number in range(50))
    new = old.replace("line 7\n", "line seven\n").replace("line 40\n", "")
    first, second = difference(old, new)
    assert (first.span.of(old), first.text) == ("7", "seven")
    assert (second.span.of(old), second.text) == ("line 40\n", "")


def test_long_texts_that_say_the_same_again_and_again_are_compared_in_a_moment() -> None:
    old = "'a'\n\n" * 15_000
    new = "'b'\n\n" + "'a'\n\n" * 7_000 + "x\n" + "'a'\n\n" * 8_000
    began = process_time()
    assert apply(old, difference(old, new)) == new
    assert merge(old, new, old) == new
    assert process_time() - began < 5


def test_change_sets_count_utf_16_units() -> None:
    assert applied("🐘a", [2, [1, "b", "c"]]) == "🐘b\nc"
    assert sections("🐘a", [Edit(Span(1, 2), "🐘\n")]) == [2, [1, "🐘", ""]]
    assert wire_changes("🐘a", [Edit(Span(1, 2), "x")]) == [{"from": 2, "to": 3, "insert": "x"}]


@pytest.mark.parametrize(
    "changes",
    [[3], [1], [-1, 3], ["x"], [[2, 5]], [[True]], [2, [0, "\ud800"]], None, [[]], [1, [1, "a"], 1], [[1]], {"a": 1}],
)
def test_a_change_that_does_not_fit_is_refused_and_changes_nothing(changes: Sections) -> None:
    """It comes from a browser: anything at all may be in it. `[1]` would cut an elephant in half."""
    document = Document("🐘")
    with pytest.raises(BadUpdate):
        document.push(0, [Update(clientID="a", changes=changes)])
    assert (document.text, document.version) == ("🐘", 0)


def test_a_change_of_an_old_version_is_refused_and_what_is_missing_can_be_had() -> None:
    document = Document("a")
    document.change("ab", KERNEL)
    with pytest.raises(Behind):
        document.push(0, [Update(clientID="x", changes=[1, [0, "c"]])])
    assert document.since(0) == [{"clientID": "kernel", "changes": [1, [0, "b"]]}]
    with pytest.raises(BadUpdate):
        document.since(2)


# Everybody at once


class Browser:
    """A view as @codemirror/collab works: one change that is not sent yet, rebased over what others did meanwhile."""

    def __init__(self, name: str, document: Document) -> None:
        self.name = name
        self.document = document
        self.confirmed, self.version = document.text, document.version
        self.typed: tuple[int, str] | None = None  # where, and what was put in

    @property
    def text(self) -> str:
        if self.typed is None:
            return self.confirmed
        at, word = self.typed
        return self.confirmed[:at] + word + self.confirmed[at:]

    def type(self, at: int, word: str) -> None:
        self.push()
        self.typed = min(at, len(self.confirmed)), word

    def pull(self) -> None:
        for update in self.document.since(self.version):
            if self.typed is not None:
                self.typed = moved(self.confirmed, update["changes"], self.typed[0]), self.typed[1]
            self.confirmed = applied(self.confirmed, update["changes"])
            self.version += 1

    def push(self) -> None:
        while self.typed is not None:
            at, word = self.typed
            update = Update(clientID=self.name, changes=sections(self.confirmed, [Edit(Span(at, at), word)]))
            try:
                self.version = self.document.push(self.version, [update])
            except Behind:
                self.pull()
                continue
            self.confirmed, self.typed = self.text, None
        self.pull()


def moved(text: str, changes: Sections, at: int) -> int:
    """Where a place (in characters of plain text) is after a change."""
    place = shift = 0
    for section in changes:
        length, inserted = (section, None) if isinstance(section, int) else (section[0], "\n".join(section[1:]))
        if inserted is not None and place <= at:
            shift += len(inserted) - min(length, at - place)
        place += length
    return at + shift


PROGRAM = "".join(f"line {number}\n" for number in range(30))


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 2**32))
def test_interleaved_changes_of_views_notebook_and_file_lose_nothing(seed: int) -> None:
    random = Random(seed)
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.df")
        path.write_text(PROGRAM, encoding="utf-8")
        file = File(path)
        document = Document(file.read() or "")
        keeper = Keeper(document, file, PROGRAM)
        views = [Browser("a", document), Browser("b", document)]
        written: list[str] = []
        for number in range(12):
            word = chr(0x4E00 + number)  # one character, which no other change can come into the middle of
            view = random.choice(views)
            match random.randrange(7):
                case 0 | 1:
                    view.type(random.randrange(len(document.text)), word)
                    written.append(word)
                case 2:
                    view.pull()
                case 3:
                    view.push()
                case 4:
                    at = random.randrange(len(document.text))
                    document.change(document.text[:at] + word + document.text[at:], KERNEL)
                    written.append(word)
                case 5:
                    there = path.read_text(encoding="utf-8").splitlines(keepends=True)
                    there.insert(random.randrange(len(there)), word + "\n")
                    path.write_text("".join(there), encoding="utf-8")
                    written.append(word)
                    keeper.look()
                case _:
                    keeper.save()
            if keeper.theirs is not None:  # both have changed one line: everything is there, and a person will choose
                everything = document.text + keeper.theirs + "".join(view.typed[1] for view in views if view.typed)
                assert all(word in everything for word in written)
                return
        for view in (*views, *views):
            view.push()
        assert {view.text for view in views} == {document.text}
        assert all(document.text.count(word) == 1 for word in written)
        others = "".join(character for character in document.text if character not in written)
        assert others.split() == PROGRAM.split()
        keeper.save()
        assert path.read_text(encoding="utf-8") == document.text


# The file


def test_changes_of_different_lines_are_merged_and_of_the_same_line_are_not() -> None:
    assert merge("a\nb\nc\n", "a\nB\nc\n", "A\nb\nc\n") == "A\nB\nc\n"
    assert merge("a\nb\n", "a\nb\nc\n", "a\n") == "a\nc\n"
    assert merge("a\n", "b\n", "b\n") == "b\n"
    assert merge("a\n", "b\n", "-- new\na\n") == "-- new\nb\n"
    assert merge("a\n", "b\n", "c\n") is None
    assert merge("a\n", "a\nb\n", "a\nc\n") is None
    assert merge("", "a", "a") == "a"


@given(texts, texts, texts)
def test_a_merge_with_one_side_unchanged_is_the_other(base: str, mine: str, theirs: str) -> None:
    assert merge(base, base, theirs) == theirs
    assert merge(base, mine, base) == mine
    assert merge(base, mine, mine) == mine
    assert merge(base, mine, theirs) == merge(base, theirs, mine)


@given(st.binary(max_size=3), st.lists(st.sampled_from(("a", "b", "", "ž")), max_size=8), st.data())
def test_line_ends_and_marks_of_a_file_come_back_byte_for_byte(
    junk: bytes, words: list[str], data: st.DataObject
) -> None:
    ends = data.draw(st.lists(st.sampled_from(("\n", "\r\n")), min_size=len(words), max_size=len(words)))
    text = data.draw(st.sampled_from(("", "\ufeff"))) + "".join(map("".join, zip(words, ends, strict=True)))
    plain, layout = Layout.of(text)
    assert "\r\n" not in plain
    assert not plain.startswith("\ufeff")
    assert layout.restored(plain) == text


def test_a_changed_line_leaves_the_ends_of_all_others() -> None:
    plain, layout = Layout.of("a\r\nb\nc\r\nd\r\n")
    assert layout.restored(plain.replace("b", "B\nnew")) == "a\r\nB\nnew\r\nc\r\nd\r\n"
    assert layout.restored(plain.replace("d", "D")) == "a\r\nb\nc\r\nD\r\n"
    long = "\r\n\n" * 5_000
    plain, layout = Layout.of(long)
    assert layout.restored(plain) == long
    assert layout.restored(plain[:4000] + "x" + plain[4000:]) == long[:6000] + "x" + long[6000:]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "x.df"
    found.write_bytes(b"one\r\ntwo\r\nthree\r\n")
    return found


def opened(path: Path) -> Keeper:
    file = File(path)
    base = file.read()
    return Keeper(Document(base or ""), file, base)


def test_saving_replaces_the_file_at_once_and_keeps_its_rights_and_links(path: Path) -> None:
    path.chmod(0o640)
    link = path.with_name("link.df")
    link.symlink_to(path)
    before = path.stat().st_ino
    keeper = opened(link)
    keeper.document.change("one\n2\nthree\n", KERNEL)
    assert not keeper.saved
    assert keeper.save() == {"saved": True, "name": str(link)}
    assert path.read_bytes() == b"one\r\n2\r\nthree\r\n"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_ino != before  # whoever was reading still has the old text
    assert [one.name for one in sorted(path.parent.iterdir())] == ["link.df", "x.df"]
    assert keeper.saved


def test_a_file_with_two_names_stays_one_file(path: Path) -> None:
    other = path.with_name("other.df")
    other.hardlink_to(path)
    keeper = opened(path)
    keeper.document.change("new", KERNEL)
    keeper.save()
    assert other.read_bytes() == b"new"


def test_a_save_that_fails_leaves_the_file_and_nothing_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = opened(path)
    keeper.document.change("new", KERNEL)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PgweaveError, match="No space left"):
        keeper.save()
    assert path.read_bytes() == b"one\r\ntwo\r\nthree\r\n"
    assert list(path.parent.iterdir()) == [path]
    assert not keeper.saved


def test_a_new_file_is_made_with_the_first_save(tmp_path: Path) -> None:
    keeper = opened(tmp_path / "new.df")
    assert keeper.saved
    keeper.document.change("'a'\n", KERNEL)
    assert not keeper.saved
    keeper.save()
    assert (tmp_path / "new.df").read_bytes() == b"'a'\n"
    assert (tmp_path / "new.df").stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))


def test_a_change_on_disk_is_taken_up(path: Path) -> None:
    keeper = opened(path)
    assert keeper.look() is None
    path.write_bytes(b"one\r\n2\r\nthree\r\n")
    assert keeper.look() == {"type": "disk", "saved": True, "notice": CHANGED}
    assert keeper.document.text == "one\n2\nthree\n"
    assert keeper.look() is None


def test_a_change_on_disk_is_merged_with_what_is_not_saved(path: Path) -> None:
    keeper = opened(path)
    keeper.document.change("ONE\ntwo\nthree\n", KERNEL)
    path.write_bytes(b"one\r\ntwo\r\nTHREE\r\n")
    assert keeper.look() == {"type": "disk", "saved": False, "notice": MERGED}
    assert keeper.document.text == "ONE\ntwo\nTHREE\n"
    assert keeper.save()["saved"]
    assert path.read_bytes() == b"ONE\r\ntwo\r\nTHREE\r\n"


@pytest.mark.parametrize(
    ("choice", "left"), [("mine", b"1\r\ntwo\r\nthree\r\n"), ("theirs", b"uno\r\ntwo\r\nthree\r\n")]
)
def test_a_conflict_writes_nothing_until_somebody_has_chosen(path: Path, choice: str, left: bytes) -> None:
    keeper = opened(path)
    keeper.document.change("1\ntwo\nthree\n", KERNEL)
    path.write_bytes(b"uno\r\ntwo\r\nthree\r\n")
    assert keeper.look() == {"type": "disk", "saved": False, "notice": CONFLICT}
    assert keeper.save() == {
        "saved": False, "name": str(path), "conflict": True, "theirs": "uno\ntwo\nthree\n",
    }  # fmt: skip
    assert path.read_bytes() == b"uno\r\ntwo\r\nthree\r\n"
    assert keeper.document.text == "1\ntwo\nthree\n"
    keeper.resolve("mine" if choice == "mine" else "theirs")
    assert path.read_bytes() == left
    assert keeper.document.text.encode() == left.replace(b"\r\n", b"\n")
    assert keeper.saved


def test_a_file_that_was_deleted_is_written_again_by_saving(path: Path) -> None:
    keeper = opened(path)
    path.unlink()
    assert keeper.look() == {"type": "disk", "saved": False, "notice": GONE}
    assert keeper.look() is None
    keeper.save()
    assert path.read_bytes() == b"one\r\ntwo\r\nthree\r\n"


def test_a_file_that_is_not_utf_8_any_more_is_reported_and_never_written_over(path: Path) -> None:
    keeper = opened(path)
    keeper.document.change("mine", KERNEL)
    path.write_bytes(b"\xff\xfe")
    for action in (keeper.look, keeper.save):
        with pytest.raises(PgweaveError, match="not UTF-8"):
            action()
    assert path.read_bytes() == b"\xff\xfe"


def test_a_new_file_has_a_plain_name_that_is_free(tmp_path: Path) -> None:
    assert new_file(tmp_path, "a").path == tmp_path / "a.df"
    (tmp_path / "b.sql").touch()
    for name in ("b.sql", "../c", ".hidden", "sub/c"):
        with pytest.raises(PgweaveError):
            new_file(tmp_path, name)
