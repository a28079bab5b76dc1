"""A file is there whole or not at all, and nothing else is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinebio_assets.whole_file import whole_file, whole_new_folder


def test_it_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("old")
    with whole_file(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_broke_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("old")

    def break_off() -> None:
        with whole_file(path) as aside:
            aside.write_text("half")
            raise RuntimeError("broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        break_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out"
    with whole_new_folder(path) as aside:
        (aside / "deeper").mkdir()
        (aside / "deeper" / "table.tsv").write_text("new")
        assert not path.exists()
    assert [each.name for each in path.parent.iterdir()] == ["out"]
    assert (path / "deeper" / "table.tsv").read_text() == "new"


def test_a_folder_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    with whole_new_folder(path) as aside:  # an empty one is as good as none
        (aside / "table.tsv").write_text("old")

    def fill() -> None:
        with whole_new_folder(path) as aside:
            (aside / "table.tsv").write_text("new")
            raise RuntimeError("broke off")

    with pytest.raises(FileExistsError, match="there already"):
        fill()
    assert (path / "table.tsv").read_text() == "old"
    path = tmp_path / "broken"
    with pytest.raises(RuntimeError, match="broke off"):
        fill()
    path = tmp_path / "taken"

    def fill_what_is_taken_meanwhile() -> None:
        with whole_new_folder(path):
            path.write_text("somebody else's")

    with pytest.raises(FileExistsError, match="there already"):
        fill_what_is_taken_meanwhile()
    assert path.read_text() == "somebody else's"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "taken"]
