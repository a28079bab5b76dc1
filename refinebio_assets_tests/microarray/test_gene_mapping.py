"""Probes found in transcripts: against plain Python, in every way that probes are written."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets import compression
from refinebio_assets.errors import InvalidProbeAnnotation, InvalidReference
from refinebio_assets.microarray.gene_mapping import (
    ORIENTATIONS,
    Orientation,
    map_probes,
    map_probes_to_transcripts,
)
from refinebio_assets.microarray.probe_tab import read_probe_tab
from refinebio_assets.microarray.probes import GeneMap, ProbeTable
from refinebio_assets.rnaseq.transcriptome import gene_map_from_file
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.microarray.test_probes import assert_equal_maps, table_of

R_EXAMPLES = Path("/usr/lib/R/site-library/IsoformSwitchAnalyzeR/extdata")
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def written(sequence: str, orientation: Orientation) -> str:
    if "complement" in orientation:
        sequence = sequence.translate(COMPLEMENT)
    return sequence[::-1] if orientation.startswith("reverse") else sequence


def probes_of(sequences: list[str]) -> ProbeTable:
    """One probe after the other in cells (0, 0), (1, 0), …"""
    return table_of([(x, 0, sequence, "set") for x, sequence in enumerate(sequences)])


def by_hand(
    sequences: list[str], transcripts: dict[str, str], genes: dict[str, str], fewest: int
) -> dict[str, list[int]]:
    """Gene -> numbers of its probes, by Python's `in`."""
    found = defaultdict(list)
    for number, sequence in enumerate(sequences):
        holders = {
            genes[name]
            for name, transcript in transcripts.items()
            if name in genes and sequence in transcript.upper().replace("U", "T")
        }
        if len(holders) == 1:
            found[holders.pop()].append(number)
    return {gene: numbers for gene, numbers in found.items() if len(numbers) >= fewest}


def by_gene(genes: GeneMap) -> dict[str, list[int]]:
    found = defaultdict(list)
    for x, gene in zip(genes.x.tolist(), genes.gene.tolist(), strict=True):
        found[genes.genes[gene]].append(x)
    return dict(found)


def a_fasta(path: Path, transcripts: dict[str, str], width: int = 60) -> Path:
    with path.open("w") as file:
        for name, sequence in transcripts.items():
            file.write(f">{name} cdna chromosome:X\n")
            for start in range(0, len(sequence), width):
                file.write(sequence[start : start + width] + "\n")
    return path


def random_bases(random: np.random.Generator, length: int) -> str:
    return "".join(random.choice(list("ACGT"), length))


def some_transcripts(random: np.random.Generator) -> tuple[dict[str, str], dict[str, str]]:
    """Twelve transcripts of six genes that share a stretch; two more have no gene."""
    shared = random_bases(random, 60)
    transcripts = {
        f"T{number}.{number % 3}": random_bases(random, 150) + shared * (number % 4 == 0) + "N"
        for number in range(14)
    }
    genes = {f"T{number}": f"G{number // 2}" for number in range(12)}
    return transcripts, genes


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_every_way_to_write_probes(tmp_path: Path, orientation: Orientation, seed: int) -> None:
    random = np.random.default_rng(seed)
    transcripts, genes = some_transcripts(random)
    sequences = [
        text[start : start + 25]
        for text in transcripts.values()
        for start in random.integers(0, len(text) - 26, 6)
    ]
    sequences += [random_bases(random, 25) for _ in range(30)]
    versioned = {name: genes[name.partition(".")[0]] for name in list(transcripts)[:12]}
    wanted = by_hand(sequences, transcripts, versioned, fewest=3)
    assert wanted
    path = a_fasta(tmp_path / "t.fa", transcripts)
    probes = probes_of([written(sequence, orientation) for sequence in sequences])
    result = map_probes(probes, path, genes)
    assert result.orientation == orientation
    assert by_gene(result.genes) == wanted
    kept = sum(map(len, wanted.values()))
    assert len(sequences) == (
        kept + result.not_found + result.of_several_genes + result.of_small_genes
    )
    assert result.of_several_genes > 0
    assert_equal_maps(map_probes_to_transcripts(probes, path, genes), result.genes)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c.1", "d"]), st.text("ACn", min_size=1, max_size=60), min_size=1
    ),
    st.integers(1, 70),
    st.integers(0, 2**31),
)
def test_repetitive_transcripts(
    tmp_path_factory: pytest.TempPathFactory,
    transcripts: dict[str, str],
    width: int,
    seed: int,
) -> None:
    """Few letters, so that 25 bases occur in many places; lines may be of any length."""
    random = np.random.default_rng(seed)
    sequences = ["A" * 25, "C" * 25, "AC" * 12 + "A"]
    sequences += [
        text[start : start + 25].upper()
        for text in transcripts.values()
        if len(text) >= 25
        for start in random.integers(0, len(text) - 24, 3)
    ]
    sequences = [sequence for sequence in sequences if "N" not in sequence]
    genes = {"a": "one", "b": "two", "c": "one"}
    own = {name: genes[name[0]] for name in transcripts if name[0] in genes}
    wanted = by_hand(sequences, transcripts, own, fewest=1)
    path = a_fasta(tmp_path_factory.mktemp("fasta") / "t.fa", transcripts, width)
    try:
        result = map_probes(probes_of(sequences), path, genes, fewest_probes=1)
    except InvalidProbeAnnotation:
        assert not wanted
    except InvalidReference:
        assert not own
    else:
        if result.orientation == "as written":
            assert by_gene(result.genes) == wanted


def test_pieces_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    transcripts, genes = some_transcripts(random)
    sequences = [text[at : at + 25] for text in transcripts.values() for at in range(0, 120, 9)]
    whole = map_probes_to_transcripts(
        probes_of(sequences), a_fasta(tmp_path / "t.fa", transcripts), genes
    )
    (tmp_path / "t.gz").write_bytes(gzip.compress((tmp_path / "t.fa").read_bytes()))
    text = (tmp_path / "t.fa").read_text().replace("\n", "\r\n").lower().replace("t", "u")
    crlf = text.replace(">u", ">T").rstrip()
    (tmp_path / "crlf.fa").write_text(crlf, newline="")
    for size in (7, 26, 61, 1000):
        monkeypatch.setattr(compression, "PIECE", size)
        for name in ("t.fa", "t.gz", "crlf.fa"):
            found = map_probes_to_transcripts(probes_of(sequences), tmp_path / name, genes)
            assert_equal_maps(found, whole)


def test_real_probes_in_real_transcripts() -> None:
    """HG-U95Av2 has an antisense target: its probes read as transcripts do."""
    if not R_EXAMPLES.is_dir():
        pytest.skip("the R package IsoformSwitchAnalyzeR is not installed")
    probes = read_probe_tab(shared_data("affymetrix/annotation/HG-U95Av2_probe_tab.gz"))
    table = gene_map_from_file(R_EXAMPLES / "example.gtf.gz")
    genes = dict(zip(table["transcript"], table["gene"], strict=True))
    fasta = R_EXAMPLES / "example_isoform_nt.fasta.gz"
    holders: dict[str, set[str]] = defaultdict(set)
    for record in gzip.decompress(fasta.read_bytes()).decode().split(">")[1:]:
        head, _, body = record.partition("\n")
        sequence, gene = body.replace("\n", "").upper(), genes[head.split()[0]]
        for start in range(len(sequence) - 24):
            holders[sequence[start : start + 25]].add(gene)
    wanted = defaultdict(set)
    for x, y, codes in zip(probes.x, probes.y, probes.sequence, strict=True):
        of_probe = holders.get("".join("ACGT"[code] for code in codes), set())
        if len(of_probe) == 1:
            wanted[min(of_probe)].add((int(x), int(y)))
    result = map_probes(probes, fasta, genes)
    found = defaultdict(set)
    for x, y, gene in zip(result.genes.x, result.genes.y, result.genes.gene, strict=True):
        found[result.genes.genes[gene]].add((int(x), int(y)))
    assert result.orientation == "as written"
    assert found == {gene: cells for gene, cells in wanted.items() if len(cells) >= 3}
    assert len(probes.x) - result.not_found == 2772


def test_a_cell_in_two_probe_sets_counts_once(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    text = random_bases(random, 100)
    path = a_fasta(tmp_path / "t.fa", {"T": text})
    rows = [(0, 0, text[:25], "a"), (0, 0, text[:25], "b"), (1, 0, text[30:55], "a")]
    with pytest.raises(InvalidProbeAnnotation, match="has 3 probes of its own"):
        map_probes(table_of(rows), path, {"T": "G"})
    assert by_gene(
        map_probes_to_transcripts(table_of(rows), path, {"T": "G"}, fewest_probes=2)
    ) == {"G": [0, 1]}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", InvalidReference, "None of the 0 transcripts"),
        (b"ACGT\n>T\nACGT\n", InvalidReference, "does not begin with '>'"),
        (b"<html>", InvalidReference, "does not begin with '>'"),
        (b">U\nACGT\n", InvalidReference, "None of the 1 transcripts"),
        (b">" + b"T" * (3 << 20), InvalidReference, "a name does not end"),
        (gzip.compress(b">T\nACGT\n")[:-5], InvalidReference, "damaged"),
        (b">T\n" + b"ACGT" * 20, InvalidProbeAnnotation, "None of 1 probes is found"),
        (b">T\n" + bytes(range(256)) * 9, InvalidProbeAnnotation, "None of 1 probes is found"),
        (b">T", InvalidReference, "None of the"),
    ],
)
def test_malformed_transcripts(
    tmp_path: Path, content: bytes, error: type[Exception], message: str
) -> None:
    path = tmp_path / "t.fa"
    path.write_bytes(content)
    with pytest.raises(error, match=message):
        map_probes(probes_of(["AACCGGTTAACCCGGGTTTAAAACC"]), path, {"T": "G"})


def test_transcripts_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidReference, match="cannot be read"):
        map_probes(probes_of(["A" * 25]), tmp_path / "none.fa", {"T": "G"})
