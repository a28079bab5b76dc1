"""A file is there whole or not at all, and nothing else is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinebio_assets.whole_file import whole_file


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
