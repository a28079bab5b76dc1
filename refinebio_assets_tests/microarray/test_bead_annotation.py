"""Annotation of bead arrays: real tables, Bioconductor's names, damage, and the round trip."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidProbeAnnotation, UnsupportedPlatform
from refinebio_assets.microarray.bead_annotation import (
    CANDIDATE_PLATFORMS,
    BeadAnnotation,
    candidate_platforms,
    read_bead_annotation,
    read_bead_annotation_parquet,
    read_bead_choices,
    write_bead_annotation,
)
from refinebio_assets_tests.conftest import shared_data

BASES = "ACGT" * 12 + "AC"


def read(folder: Path, text: str | bytes) -> BeadAnnotation:
    path = folder / "annotation.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_bead_annotation(path)


def assert_equal(one: BeadAnnotation, other: BeadAnnotation) -> None:
    assert one.probe_ids.to_list() == other.probe_ids.to_list()
    assert one.quality.to_list() == other.quality.to_list()
    assert one.genes.to_list() == other.genes.to_list()
    np.testing.assert_array_equal(one.sequence, other.sequence)
    np.testing.assert_array_equal(one.has_sequence, other.has_sequence)


# --- real annotation ------------------------------------------------------------------


@pytest.fixture(scope="module")
def mouse_ref() -> BeadAnnotation:
    return read_bead_annotation(shared_data("illumina/MouseRef-8_annot_full.txt.gz"))


def test_mouse_ref_8(mouse_ref: BeadAnnotation) -> None:
    first = mouse_ref.probe_ids[0], mouse_ref.quality[0], mouse_ref.genes[0].to_list()
    assert first == ("ILMN_1248788", "Perfect", ["ENSMUSG00000022595"])
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[mouse_ref.sequence[0]].tobytes()
    assert letters == b"GCCCTGGCACTTTTCTTGCTCTTGGGTGTCCTGCTGTAAAGCCATGGCCA"
    assert mouse_ref.sequence.shape == (25_697, 50)
    assert mouse_ref.has_sequence.all()
    # 1,336 Bad and 35 without a match; of the others some have no gene
    genes = mouse_ref.gene_of_probe({})
    graded = mouse_ref.quality.str.starts_with("Perfect") | mouse_ref.quality.str.starts_with(
        "Good"
    )
    assert graded.sum() == 24_326
    assert genes.is_not_null().sum() == (graded & (mouse_ref.genes.list.len() == 1)).sum() > 23_900


def test_the_round_trip(mouse_ref: BeadAnnotation, tmp_path: Path) -> None:
    write_bead_annotation(mouse_ref, tmp_path / "probes.parquet")
    assert_equal(read_bead_annotation_parquet(tmp_path / "probes.parquet"), mouse_ref)


@pytest.mark.parametrize(
    ("platform", "rows"),
    [
        *(("Humanv1", 1217), ("Humanv2", 1371), ("Humanv3", 1668), ("Humanv4", 1797)),
        *(("Mousev1", 437), ("Mousev1p1", 442), ("Mousev2", 492), ("Ratv1", 168)),
    ],
)
def test_choices_of_every_platform(platform: str, rows: int) -> None:
    choices = read_bead_choices(shared_data(f"illumina/probe_maps/illumina{platform}.tsv"))
    assert len(choices) == rows
    assert all(gene.startswith("ENS") for gene in choices.values())
    assert f"illumina{platform}" in {each for all_ in CANDIDATE_PLATFORMS.values() for each in all_}


# --- tables ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "ProbeID\tSequence\tProbeQuality\tEnsembl\tSymbol",
        "IlluminaID\tProbeSequence\tProbeQuality\tEnsemblReannotated\tSymbol",
        "PROBE_ID\tPROBESEQUENCE\tPROBEQUALITY\tENSEMBL\tEnsemblReannotated",
    ],
)
def test_names_of_columns(header: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"{header}\nILMN_1\t{BASES}\tGood\tENSG1\tother\n")
    assert found.probe_ids.to_list() == ["ILMN_1"]
    assert found.genes.to_list() == [["ENSG1"]]


@pytest.mark.parametrize(
    ("cell", "genes"),
    [
        ("E1", ["E1"]),
        ("E1;E2", ["E1", "E2"]),
        ("E1 /// E2", ["E1", "E2"]),
        ("E2, E1,E2", ["E2", "E1"]),
        (" E1; NA;", ["E1"]),
        ("", []),
        ("NA", []),
    ],
)
def test_cells_of_genes(cell: str, genes: list[str], tmp_path: Path) -> None:
    header = "ProbeID\tSequence\tProbeQuality\tEnsembl\n"
    for separator in "\t", ",":
        row = separator.join(["ILMN_1", BASES, "Good", f'"{cell}"'])
        found = read(tmp_path, gzip.compress((header.replace("\t", separator) + row).encode()))
        assert found.genes.to_list() == [genes]


def test_a_row_per_gene_and_probes_without_a_sequence(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "IlluminaID\tProbeSequence\tProbeQuality\tENSEMBL\r\n"
        f"b\t{BASES}\tPerfect\tE1\r\na\tNA\tNo match\tNA\r\nb\t{BASES}\tPerfect\tE2\r\n"
        f"b\t{BASES}\tPerfect\tE1\r\nc\t{'acgtN' * 10}\tNA\tE3\r\n",
    )
    assert found.probe_ids.to_list() == ["b", "a", "c"]
    assert found.genes.to_list() == [["E1", "E2"], [], ["E3"]]
    assert found.quality.to_list() == ["Perfect", "No match", None]
    assert found.has_sequence.tolist() == [True, False, True]
    assert found.sequence[0, :6].tolist() == [0, 1, 2, 3, 0, 1]
    assert (found.sequence[1:] == 3).all()
    write_bead_annotation(found, tmp_path / "p.parquet")
    assert_equal(read_bead_annotation_parquet(tmp_path / "p.parquet"), found)


HEADER = "ProbeID\tSequence\tProbeQuality\tEnsembl\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "malformed"),
        (HEADER.replace("Sequence", "Seq"), "no column sequence or probesequence"),
        (HEADER, "no probe with a sequence"),
        (HEADER + "a\tNA\tGood\tE1\n", "no probe with a sequence"),
        (HEADER + f"a\t{BASES}A\tGood\tE1\n", "Probe a .* does not have 50 bases"),
        (HEADER + f"NA\t{BASES}\tGood\tE1\n", "one without an id"),
        (HEADER + f"a\t{BASES}\tGood\tE1\tmore\n", "malformed"),
        (HEADER.encode() + b"a\xff\t" + BASES.encode() + b"\tGood\tE1\n", "malformed"),
        (gzip.compress(HEADER.encode() * 99)[:-12], "cannot be read"),
    ],
    ids=["empty", "column", "header", "bare", "long", "id", "ragged", "latin-1", "cut"],
)
def test_damaged_annotation(content: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidProbeAnnotation, match=words):
        read(tmp_path, content)


def test_damaged_choices(tmp_path: Path) -> None:
    path = tmp_path / "choices.tsv"
    path.write_text("probe_id\tensembl_id\na\tE1\nb\t\n")
    assert read_bead_choices(path) == {"a": "E1"}
    path.write_text("probe_id\tensembl_id\na\tE1\na\tE2\n")
    with pytest.raises(InvalidProbeAnnotation, match="probe a twice"):
        read_bead_choices(path)
    with pytest.raises(InvalidProbeAnnotation, match="cannot be read"):
        read_bead_choices(tmp_path / "absent.tsv")


def test_parquet_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "probes.parquet"
    pl.DataFrame({"probe_id": ["a"]}).write_parquet(path)
    with pytest.raises(InvalidProbeAnnotation, match="no annotation"):
        read_bead_annotation_parquet(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(InvalidProbeAnnotation, match="cannot be read"):
        read_bead_annotation_parquet(path)


def test_candidates() -> None:
    assert candidate_platforms("MUS_MUSCULUS")[1] == "illuminaMousev1p1"
    with pytest.raises(UnsupportedPlatform, match="DANIO_RERIO"):
        candidate_platforms("DANIO_RERIO")


# --- the gene of a probe --------------------------------------------------------------

GRADE = st.sampled_from(["Perfect", "Good", "Good***", "Perfect****", "Bad", "No match", None])
GENES = st.lists(st.sampled_from(["E1", "E2", "E3"]), max_size=3, unique=True)


@settings(deadline=None)
@given(
    st.lists(st.tuples(GRADE, GENES), min_size=1, max_size=9),
    st.dictionaries(st.sampled_from("012345678"), st.sampled_from(["E2", "E9"])),
)
def test_the_gene_of_a_probe(
    probes: list[tuple[str | None, list[str]]], choices: dict[str, str]
) -> None:
    n = len(probes)
    annotation = BeadAnnotation(
        probe_ids=pl.Series("probe_id", [str(number) for number in range(n)]),
        sequence=np.zeros((n, 50), dtype=np.uint8),
        has_sequence=np.ones(n, dtype=bool),
        quality=pl.Series("quality", [grade for grade, _ in probes], dtype=pl.String),
        genes=pl.Series("genes", [genes for _, genes in probes], dtype=pl.List(pl.String)),
    )
    wanted = []
    for number, (grade, genes) in enumerate(probes):
        chosen = genes[0] if len(genes) == 1 else choices.get(str(number)) if genes else None
        wanted.append(chosen if grade and ("Good" in grade or "Perfect" in grade) else None)
    assert annotation.gene_of_probe(choices).to_list() == wanted
