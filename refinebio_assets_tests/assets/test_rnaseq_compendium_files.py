"""Salmon's files while a zip is made of them: as they were read, whatever becomes of them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from refinebio_assets.assets.rnaseq_compendium_files import ReadRuns, read_runs
from refinebio_assets.errors import DiskFull, NothingToDeliver
from refinebio_assets.resources.rnaseq_compendium_selection import QuantSelection
from refinebio_assets.resources.storage import Storage

ORGANISM = "DANIO_RERIO"
HEADER = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(home=str(tmp_path / "home"))


def text(number: int) -> str:
    return f"{HEADER}t1\t100\t50.5\t1000000\t{number}\n"


def add(storage: Storage, experiment: str, sample: str, content: str) -> Path:
    folder = storage.quant_folder(experiment, sample)
    (folder / "aux_info").mkdir(parents=True)
    (folder / "quant.sf").write_text(content)
    (folder / "aux_info" / "meta_info.json").write_text("{}")
    return folder / "quant.sf"


def select(storage: Storage, *samples: str, organisms: Any = None) -> QuantSelection:
    runs = pl.DataFrame(
        {
            "experiment": ["SRP1"] * len(samples),
            "sample": samples,
            "index_organism": pl.Series(organisms or [None] * len(samples), dtype=pl.String),
            "index_sha256": ["ab"] * len(samples),
            "salmon_version": ["1"] * len(samples),
            "bytes": pl.Series(
                [
                    path.stat().st_size if path.exists() else None
                    for sample in samples
                    for path in [storage.quant_folder("SRP1", sample) / "quant.sf"]
                ],
                dtype=pl.Int64,
            ),
        }
    )
    names = ("experiment", "sample", "reason")
    others = pl.DataFrame([("SRP1", "SRR99", "Failed.")], schema=names, orient="row")
    return QuantSelection(ORGANISM, runs, others, "metadata")


def read(
    selection: QuantSelection, storage: Storage, scratch: Path, *, whole: bool = False
) -> ReadRuns:
    return read_runs(
        selection, storage, scratch, whole_folders=whole, threads=2, log=lambda _: None
    )


def test_a_bad_one_is_left_out_with_its_reason(storage: Storage, tmp_path: Path) -> None:
    for number, content in enumerate([text(0), text(1)[:-3], HEADER, text(3), text(4), text(5)]):
        add(storage, "SRP1", f"SRR{number}", content)
    add(storage, "SRP1", "srr0", text(6))
    organisms = [ORGANISM, None, None, "MUS_MUSCULUS", None, None, None]
    samples = [*(f"SRR{number}" for number in range(6)), "srr0"]
    selection = select(storage, *samples, organisms=organisms)
    shutil.rmtree(storage.quant_folder("SRP1", "SRR5"))  # since it was selected
    found = read(selection, storage, tmp_path)
    assert found.delivered["sample"].to_list() == ["SRR0", "SRR4"]
    assert [path.is_dir() for path in found.folders] == [True, True]
    assert found.left_out.select("sample", "rule").rows() == [
        ("SRR1", "malformed"),
        ("SRR2", "malformed"),
        ("SRR3", "other_organism"),
        ("SRR5", "no_file"),
        ("SRR99", "not_quantified"),
        ("srr0", "name"),
    ]
    reasons = dict(found.left_out.select("sample", "reason").iter_rows())
    assert reasons["SRR3"] == "It was quantified as MUS_MUSCULUS."
    assert str(storage.root) not in str(reasons)


@pytest.mark.parametrize("whole", [True, False])
def test_files_stay_as_they_were_read(storage: Storage, tmp_path: Path, whole: bool) -> None:
    path = add(storage, "SRP1", "SRR1", text(1))
    found = read(select(storage, "SRR1"), storage, tmp_path / "scratch", whole=whole)
    held = found.folders[0]
    assert (held / "quant.sf").samefile(path)  # no copy
    with storage.publish_folder(path.parent) as new:  # quantified again
        (new / "quant.sf").write_text(text(2))
    assert (held / "quant.sf").read_text() == text(1)
    assert (held / "aux_info" / "meta_info.json").exists() is whole


def test_without_hard_links_files_are_read_where_they_lie(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    path = add(storage, "SRP1", "SRR1", text(1))
    monkeypatch.setattr(os, "link", refuse)
    found = read(select(storage, "SRR1"), storage, tmp_path / "scratch", whole=True)
    assert found.delivered["bytes"].to_list() == [len(text(1))]
    assert (found.folders[0] / "quant.sf").resolve() == path


def test_what_is_the_machines_fault_ends_the_run(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    add(storage, "SRP1", "SRR1", text(1))
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(DiskFull), storage.staging() as scratch:
        read(select(storage, "SRR1"), storage, scratch)


def test_nothing_whole_is_an_error(storage: Storage, tmp_path: Path) -> None:
    add(storage, "SRP1", "SRR1", "")
    with pytest.raises(NothingToDeliver, match=r"quant\.sf is empty"):
        read(select(storage, "SRR1", "SRR2"), storage, tmp_path)


def test_inputs_follow_files_and_not_what_was_never_quantified(
    storage: Storage, tmp_path: Path
) -> None:
    paths = [add(storage, "SRP1", f"SRR{number}", text(number)) for number in range(2)]

    def inputs(number: int, *, whole: bool = False) -> dict[str, str]:
        selection = select(storage, "SRR0", "SRR1", "SRR2")
        found = read(selection, storage, tmp_path / str(number), whole=whole)
        return found.inputs(selection, whole_folders=whole)

    first = inputs(0)
    os.utime(paths[0], (1, 1))
    assert inputs(1) == first
    folders = inputs(2, whole=True)
    assert {name for name in first if folders[name] != first[name]} == {"files"}
    paths[0].write_text(text(7))
    changed = inputs(4)
    assert {name for name in first if changed[name] != first[name]} == {"samples"}
    paths[0].write_text("")
    lost = inputs(5)
    assert {name for name in first if lost[name] != first[name]} == {"samples", "left_out"}
