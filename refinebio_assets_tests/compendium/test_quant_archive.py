"""Salmon's files in one zip: names that never meet, and a zip that is read, not believed."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.compendium.quant_archive import (
    files_of_folder,
    member_name,
    read_archive,
    read_quant_file,
    unfit_runs,
)
from refinebio_assets.errors import InvalidQuantification
from refinebio_assets.publish.archive import check_names, write_archive

HEADER = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
AT_THE_ROOT = ["README.md", "LICENSE.TXT", "aggregated_metadata.json"]


def quant(number: int) -> bytes:
    return f"{HEADER}t{number}\t100\t50.5\t1000000\t{number}\nt\t90\t40\t0\t0\n".encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- one file ---------------------------------------------------------------------------


def test_a_whole_file_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "quant.sf"
    path.write_bytes(quant(3))
    found = read_quant_file(path)
    assert (found.transcripts, found.size) == (2, len(quant(3)))
    assert found.sha256 == sha256(quant(3))


@pytest.mark.parametrize(
    "content",
    [b"", HEADER.encode(), quant(1)[:-1], quant(1)[:-4], b"<html>", quant(1) + b"x\t1\t1\t-1\t1\n"],
)
def test_what_is_not_whole_is_told_without_where_it_lies(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "quant.sf"
    path.write_bytes(content)
    with pytest.raises(InvalidQuantification) as raised:
        read_quant_file(path)
    assert str(tmp_path) not in raised.value.message
    path.unlink()
    with pytest.raises(InvalidQuantification) as raised:
        read_quant_file(path)
    assert str(tmp_path) not in raised.value.message


# --- names ------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["A", "a", "b", "A.", "a_", "metadata_a.tsv", "metadata_A.tsv", "README.md", "readme.MD"]
) | st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,5}\Z")


@given(st.lists(st.tuples(NAMES, NAMES), unique=True, max_size=12), st.booleans())
def test_runs_that_fit_can_be_in_one_zip(runs: list[tuple[str, str]], whole: bool) -> None:
    """And one that is left out would not fit among the others."""
    unfit = unfit_runs(runs, whole_folders=whole)
    fit = [each for each in runs if each not in unfit]
    check_names(all_names(fit, whole))
    for each in unfit:
        with pytest.raises(ValueError, match=r"archive|folder"):
            check_names(all_names([*fit, each], whole))


def all_names(runs: Iterable[tuple[str, str]], whole: bool) -> list[str]:
    tables = dict.fromkeys(f"{experiment}/metadata_{experiment}.tsv" for experiment, _ in runs)
    quants = [member_name(*run, whole_folder=whole) for run in runs]
    return [*AT_THE_ROOT, *tables, *quants]


def test_usual_names_all_fit() -> None:
    runs = [(f"SRP{number // 3}", f"SRR{number}") for number in range(30)]
    runs.append(("SRP1", "SRR0"))  # a sample of two experiments
    assert unfit_runs(runs, whole_folders=False) == unfit_runs(runs, whole_folders=True) == []


def test_links_and_hidden_files_are_not_salmons(tmp_path: Path) -> None:
    (tmp_path / "aux_info").mkdir()
    for name in ("quant.sf", "aux_info/fld.gz", ".quant.sf.swp", "a b"):
        (tmp_path / name).write_text("")
    (tmp_path / "link.json").symlink_to("/etc/hostname")
    assert files_of_folder(tmp_path) == ["aux_info/fld.gz", "quant.sf"]


# --- the finished zip -------------------------------------------------------------------

RUNS = {("SRP1", "SRR1"): quant(1), ("SRP1", "SRR2"): quant(2), ("SRP2", "SRR1"): quant(3)}
DIGESTS = {run: sha256(content) for run, content in RUNS.items()}


def make(folder: Path, runs: dict[tuple[str, str], bytes], *, whole: bool = False) -> Path:
    files = {}
    for number, (run, content) in enumerate(runs.items()):
        (folder / f"{number}").write_bytes(content)
        files[member_name(*run, whole_folder=whole)] = folder / f"{number}"
        if whole:
            files[member_name(*run, "logs/quant.sf.log", whole_folder=True)] = folder / f"{number}"
    for experiment in ("SRP1", "SRP2"):
        names = [sample for each, sample in RUNS if each == experiment]
        text = "refinebio_accession_code\ttitle\n" + "".join(f"{each}\tµ\n" for each in names)
        (folder / experiment).write_text(text)
        files[f"{experiment}/metadata_{experiment}.tsv"] = folder / experiment
    write_archive(files, folder / "a.zip")
    return folder / "a.zip"


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("threads", [1, 3, 8])
def test_a_good_zip_has_no_fault(tmp_path: Path, whole: bool, threads: int) -> None:
    told: list[None] = []
    path = make(tmp_path, RUNS, whole=whole)
    found = read_archive(path, DIGESTS, threads=threads, on_progress=lambda: told.append(None))
    assert (found.runs, found.faults) == (set(RUNS), [])
    assert len(told) == len(RUNS)


def test_what_lacks_is_too_much_or_another_is_found(tmp_path: Path) -> None:
    there = {**RUNS, ("SRP2", "SRR9"): quant(9), ("SRP1", "SRR1"): quant(8)}
    del there["SRP1", "SRR2"]
    found = read_archive(make(tmp_path, there), DIGESTS)
    assert found.runs == {("SRP2", "SRR1")}
    assert found.faults == [
        "SRP1/SRR1_quant.sf is not the file that was read",
        "SRP2/SRR9_quant.sf is in the zip and not in the table of its samples",
        "SRR2 of SRP1 is in the table of its samples and not in the zip",
        "the metadata table of SRP1 has not the samples of its folder",
        "the metadata table of SRP2 has not the samples of its folder",
    ]


def test_a_damaged_member_is_found(tmp_path: Path) -> None:
    path = make(tmp_path, RUNS)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("SRP1/SRR2_quant.sf").header_offset
    with path.open("r+b") as file:
        file.seek(start + 30 + len("SRP1/SRR2_quant.sf") + 8)
        file.write(b"\xff" * 12)
    found = read_archive(path, DIGESTS)
    assert found.faults == ["SRP1/SRR2_quant.sf cannot be unpacked"]
    assert found.runs == {("SRP1", "SRR1"), ("SRP2", "SRR1")}
