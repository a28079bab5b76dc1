"""Annotations and transcript files: real ones from Ensembl, small ones, damaged ones."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidReference
from refinebio_assets.rnaseq.transcriptome import (
    gene_map_from_annotation,
    gene_map_from_file,
    join_transcripts,
    open_text,
    without_pseudogenes,
    write_filtered_annotation,
)
from refinebio_assets_tests.conftest import shared_data

YEAST = "rnaseq/yeast/Saccharomyces_cerevisiae.R64-1-1"
CUFFLINKS = """\
chr1\tCufflinks\texon\t1\t90\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; exon_number "1";
chr1\tCufflinks\texon\t100\t190\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; exon_number "2";
chr1\tCufflinks\tCDS\t100\t190\t.\t+\t.\tgene_id "G9"; transcript_id "T9";
chr1\tCufflinks\texon\t300\t390\t.\t-\t.\ttranscript_id "T2"; gene_id "G2"; gene_name "two";
"""
MAP = pl.DataFrame({"transcript": ["T1", "T2"], "gene": ["G1", "G2"]})


def lines_of(path: Path, *patterns: str) -> int:
    """How many lines zgrep finds, counted without any code of ours."""
    found = subprocess.run(
        ["zgrep", "-c", *patterns, path], capture_output=True, text=True, check=False
    )
    return int(found.stdout)


def write(path: Path, text: str, *, zipped: bool = False) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


# --- pseudogenes ----------------------------------------------------------------------


def test_pseudogenes_of_a_real_annotation_are_dropped(tmp_path: Path) -> None:
    annotation = shared_data(f"{YEAST}.115.gtf.gz")
    filtered = tmp_path / "filtered.gtf"
    write_filtered_annotation(annotation, filtered)
    left = filtered.read_text().splitlines()
    assert 0 < len(left) < lines_of(annotation, "")
    assert len(left) == lines_of(annotation, "-v", "pseudogene")
    with gzip.open(annotation, "rt") as original:
        assert left == [line.rstrip("\n") for line in original if "pseudogene" not in line]


def test_the_word_counts_wherever_it_stands_but_only_in_lower_case() -> None:
    lines = ["#!pseudogene\n", "a\tunprocessed_pseudogene\n", "a\tPseudogene\n", "b\n"]
    assert list(without_pseudogenes(lines)) == ["a\tPseudogene\n", "b\n"]


# --- the gene map ---------------------------------------------------------------------


def test_gene_map_of_a_real_annotation() -> None:
    annotation = shared_data(f"{YEAST}.115.gtf.gz")
    gene_map = gene_map_from_annotation(annotation)
    assert gene_map.columns == ["transcript", "gene", "symbol"]
    assert len(gene_map) == lines_of(annotation, "-P", r"^[^\t]*\t[^\t]*\ttranscript\t")
    assert gene_map["gene"].n_unique() == lines_of(annotation, "-P", r"^[^\t]*\t[^\t]*\tgene\t")
    rows = {row["transcript"]: row for row in gene_map.to_dicts()}
    assert len(rows) == len(gene_map)
    assert rows["YDL246C_mRNA"] == {
        "transcript": "YDL246C_mRNA",
        "gene": "YDL246C",
        "symbol": "SOR2",
    }
    assert None in set(gene_map["symbol"])  # most open reading frames have no name


def test_gene_map_without_pseudogenes_is_smaller_by_their_transcripts(tmp_path: Path) -> None:
    annotation = shared_data(f"{YEAST}.115.gtf.gz")
    filtered = tmp_path / "filtered.gtf"
    write_filtered_annotation(annotation, filtered)
    dropped = lines_of(annotation, "-P", r"^[^\t]*\t[^\t]*\ttranscript\t.*pseudogene")
    assert dropped > 0
    gene_map = gene_map_from_annotation(annotation)
    assert len(gene_map_from_annotation(filtered)) == len(gene_map) - dropped


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_gene_map_of_exons(tmp_path: Path, zipped: bool, line_end: str) -> None:
    path = write(tmp_path / "a.gtf", CUFFLINKS.replace("\n", line_end), zipped=zipped)
    assert gene_map_from_annotation(path).rows() == [("T1", "G1", None), ("T2", "G2", "two")]


def test_real_exons_without_transcript_lines() -> None:
    gene_map = gene_map_from_annotation(shared_data("rnaseq/mini_humanX/minigenome.gtf.gz"))
    assert len(gene_map) == 364
    assert ("CSF2RA^NM_006140", "CSF2RA", "CSF2RA") in gene_map.rows()


def test_a_transcript_of_two_genes_belongs_to_the_first(tmp_path: Path) -> None:
    twice = CUFFLINKS.splitlines()[0].replace("G1", "G7")
    path = write(tmp_path / "a.gtf", f"{CUFFLINKS}{twice}\n")
    assert gene_map_from_annotation(path).rows()[0] == ("T1", "G1", None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.gtf", CUFFLINKS),
        ("a.gff2", CUFFLINKS),
        ("a.tsv", "transcript\tgene\nT1\tG1\nT2\tG2\n"),
        ("a.csv", "T1,G1\nT2,G2\n"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_gene_map_is_a_gtf_or_a_table(tmp_path: Path, name: str, text: str, zipped: bool) -> None:
    path = write(tmp_path / (name + ".gz" * zipped), text, zipped=zipped)
    found = gene_map_from_file(path)
    assert found.columns == ["transcript", "gene", "symbol"]
    assert found.select("transcript", "gene").equals(MAP)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "<html>\n",
        ">T1\nACGT\n",
        'c\tx\ttranscript\t1\t2\t.\t+\t.\tgene_id "G";\n',
    ],
)
def test_what_is_no_annotation(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidReference, match="names no transcript: is it a GTF"):
        gene_map_from_annotation(write(tmp_path / "a.gtf", text))


# --- joining FASTA --------------------------------------------------------------------


def test_real_transcripts_are_joined(tmp_path: Path) -> None:
    sources = [shared_data(f"{YEAST}.cdna.all.fa.gz"), shared_data(f"{YEAST}.ncrna.fa.gz")]
    joined = tmp_path / "joined.fa"
    gene_map = gene_map_from_annotation(shared_data(f"{YEAST}.115.gtf.gz"))
    count = join_transcripts(sources, joined, gene_map)
    headers = [line[1:] for line in joined.read_text().splitlines() if line.startswith(">")]
    assert count == len(headers) == sum(lines_of(source, "^>") for source in sources)
    assert set(headers) <= set(gene_map["transcript"])
    bases = "".join(line for line in joined.open() if not line.startswith(">"))
    expected = subprocess.run(
        ["zgrep", "-hv", "^>", *sources], capture_output=True, text=True, check=True
    )
    assert bases == expected.stdout


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (">T1", "T1"),
        (">T1 cdna chromosome:1 gene:G1.2", "T1"),
        (">T1\tx", "T1"),
        (">T1.12", "T1"),  # the map knows it without a version only
        (">T2.1", "T2.1"),  # the map knows it with its version
        (">T9.1", "T9.1"),  # the map does not know it: kept, for reads to map to
    ],
)
def test_names_are_cut_as_the_gene_map_has_them(tmp_path: Path, header: str, name: str) -> None:
    gene_map = pl.DataFrame({"transcript": ["T1", "T2", "T2.1", "T"], "gene": ["G"] * 4})
    source = write(tmp_path / "a.fa", f">T\nAC\nGT\n{header}\nACGT")
    assert join_transcripts([source], tmp_path / "joined.fa", gene_map) == 2
    assert (tmp_path / "joined.fa").read_text() == f">T\nAC\nGT\n>{name}\nACGT\n"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([">T1\nA\n", ">T1\nA\n"], "'T1' is empty or occurs twice"),
        ([">T1\nA\n>T1.2\nA\n"], "'T1' is empty or occurs twice"),
        ([">\nA\n"], "'' is empty"),
        (["ACGT\n"], "1.fa is not FASTA"),
        (["@r\nACGT\n"], "1.fa is not FASTA"),
        ([""], "None of 0 transcripts is in the gene map"),
        ([">X\nA\n"], r"the FASTA has \['X'\], the map \['T1', 'T2'\]"),
    ],
)
def test_faulty_transcripts(tmp_path: Path, texts: list[str], message: str) -> None:
    sources = [write(tmp_path / f"{n}.fa", text) for n, text in enumerate(texts, 1)]
    with pytest.raises(InvalidReference, match=message):
        join_transcripts(sources, tmp_path / "joined.fa", MAP)


# --- files ----------------------------------------------------------------------------


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "no.gtf", tmp_path):
        with pytest.raises(InvalidReference, match="cannot be read"):
            gene_map_from_annotation(path)


ZIPPED = gzip.compress((CUFFLINKS * 50).encode())


@given(at=st.integers(2, len(ZIPPED) - 1))
def test_a_cut_gzip_file_is_refused(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.gtf.gz"
    path.write_bytes(ZIPPED[:at])
    with pytest.raises(InvalidReference, match="damaged"):
        gene_map_from_annotation(path)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gtf"
    path.write_bytes(CUFFLINKS.replace("two", "zw\u00f6lf").encode("latin-1"))
    with pytest.raises(InvalidReference, match="damaged"):
        gene_map_from_annotation(path)


def test_the_content_decides_whether_it_is_gzip(tmp_path: Path) -> None:
    with open_text(write(tmp_path / "plain.gz", "text")) as text:
        assert text.read() == "text"
    with open_text(write(tmp_path / "zipped", "text", zipped=True)) as text:
        assert text.read() == "text"
