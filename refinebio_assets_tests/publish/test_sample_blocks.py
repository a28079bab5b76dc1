"""Samples in blocks: every value where it belongs, and no sample with a gap."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidQuantification
from refinebio_assets.matrix.expression import write_gene_counts
from refinebio_assets.matrix.join import LeftOut
from refinebio_assets.matrix.sample_files import SamplesOfFile
from refinebio_assets.publish.sample_blocks import (
    GENE_LAYERS,
    TRANSCRIPT_LAYERS,
    SampleBlock,
    gene_blocks,
    regrouped,
    shared_genes,
    shared_transcripts,
    transcript_blocks,
)
from refinebio_assets.rnaseq.tximport import (
    GeneQuantification,
    find_quant_files,
    gene_level,
    read_gene_map,
    read_quant,
)
from refinebio_assets_tests.conftest import shared_data

QUANT_HEADER = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"


def quantified(genes: Sequence[str], samples: Sequence[str], seed: int = 0) -> GeneQuantification:
    rng = np.random.default_rng(seed)
    shape = len(genes), len(samples)
    abundance, counts, length = (rng.uniform(1, 100, shape) for _ in range(3))
    return GeneQuantification(list(genes), list(samples), abundance, counts, length, 0)


def nobody(left_out: LeftOut) -> None:
    raise AssertionError(left_out)


def quant_sf(path: Path, counts: dict[str, float]) -> Path:
    rows = (f"{name}\t100\t{50 + reads}\t{reads / 2}\t{reads}\n" for name, reads in counts.items())
    path.write_text(QUANT_HEADER + "".join(rows))
    return path


def test_real_genes_come_as_they_were_written(tmp_path: Path) -> None:
    folder = shared_data("salmon/yeast")
    quantification = gene_level(find_quant_files(folder), read_gene_map(folder / "tx2gene.tsv"))
    path = tmp_path / "SRP1.parquet"
    write_gene_counts(path, [quantification], {})
    file = SamplesOfFile(path, quantification.samples[::-1])
    genes = shared_genes([file])
    assert genes.to_list() == quantification.genes
    (block,) = gene_blocks([file], genes, nobody, list(GENE_LAYERS))
    assert block.samples == quantification.samples[::-1]
    expected = {
        "counts": quantification.counts,
        "tpm": quantification.abundance,
        "length_scaled_tpm": quantification.length_scaled_tpm(),
        "effective_length": quantification.length,
    }
    assert list(block.layers) == list(expected)
    for layer, values in expected.items():
        np.testing.assert_array_equal(block.layers[layer][::-1].T, values.astype(np.float32))


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_samples_of_several_indices(data: st.DataObject, tmp_path: Path) -> None:
    """Only what all have is shared; who lacks a gene that is asked for is left out."""
    parts = []
    for number in range(data.draw(st.integers(1, 3))):
        genes = sorted(data.draw(st.sets(st.sampled_from("abcdef"), min_size=1)))
        samples = [f"s{number}{each}" for each in range(data.draw(st.integers(1, 4)))]
        parts.append(quantified(genes, samples, number))
    together = data.draw(st.integers(1, len(parts)))  # in one file; the others in another
    files = []
    for name, some in (("one", parts[:together]), ("two", parts[together:])):
        if some:
            path = tmp_path / f"{name}.parquet"
            write_gene_counts(path, some, {})
            samples = [sample for part in some for sample in part.samples]
            files.append(SamplesOfFile(path, data.draw(st.permutations(samples))))
    shared = shared_genes(files)
    assert shared.to_list() == sorted(set.intersection(*(set(part.genes) for part in parts)))

    genes = pl.Series(data.draw(st.permutations("abcdef")))[: data.draw(st.integers(1, 6))]
    left_out: list[LeftOut] = []
    cells = data.draw(st.integers(1, 30))
    blocks = list(gene_blocks(files, genes, left_out.append, ["counts", "tpm"], cells))
    found = [sample for block in blocks for sample in block.samples]
    good = {s for part in parts if set(genes) <= set(part.genes) for s in part.samples}
    assert found == [sample for file in files for sample in file.samples if sample in good]
    everybody = {sample for part in parts for sample in part.samples}
    assert {each.sample for each in left_out} == everybody - good
    for block in blocks:
        assert len(block.samples) <= max(1, cells // (2 * len(genes)))
        for row, sample in enumerate(block.samples):
            part = next(each for each in parts if sample in each.samples)
            rows = [part.genes.index(gene) for gene in genes]
            column = part.samples.index(sample)
            for layer, values in (("counts", part.counts), ("tpm", part.abundance)):
                expected = values[rows, column].astype(np.float32)
                np.testing.assert_array_equal(block.layers[layer][row], expected)


def test_files_that_cannot_be_read_and_absent_samples_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good.parquet"
    write_gene_counts(good, [quantified("ab", ["s1"])], {})
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    files = [
        SamplesOfFile(tmp_path / "bad.parquet", ["x"]),
        SamplesOfFile(tmp_path / "absent.parquet", ["y"]),
        SamplesOfFile(good, ["z", "s1"]),
    ]
    left_out: list[LeftOut] = []
    genes = shared_genes(files)
    assert genes.to_list() == ["a", "b"]
    (block,) = gene_blocks(files, genes, left_out.append)
    assert block.samples == ["s1"]
    assert [each.sample for each in left_out] == ["x", "y", "z"]
    assert "bad.parquet cannot be read" in left_out[0].reason
    assert "absent.parquet cannot be read: No such file" in left_out[1].reason
    assert left_out[2].reason == "good.parquet lacks 2 values of it."
    assert shared_genes(files[:2]).is_empty()


def test_real_transcripts_come_as_salmon_wrote_them() -> None:
    files = find_quant_files(shared_data("salmon/yeast"))
    transcripts = shared_transcripts(files.values())
    assert len(transcripts) == 6763
    blocks = list(transcript_blocks(files, transcripts, nobody, list(TRANSCRIPT_LAYERS), 60_000))
    assert [len(block.samples) for block in blocks] == [2, 2, 2, 2, 1]
    assert [sample for block in blocks for sample in block.samples] == list(files)
    for block in blocks:
        for row, sample in enumerate(block.samples):
            table = read_quant(files[sample])
            for layer, column in TRANSCRIPT_LAYERS.items():
                expected = table[column].to_numpy()
                np.testing.assert_array_equal(block.layers[layer][row], expected)


def test_transcripts_of_several_indices(tmp_path: Path) -> None:
    files = {
        "long": quant_sf(tmp_path / "long", {"t3": 3, "t1": 1, "t2": 2}),
        "short": quant_sf(tmp_path / "short", {"t0": 0, "t1": 4, "t2": 5, "t3": 6}),
        "other": quant_sf(tmp_path / "other", {"t1": 7, "t3": 8}),
        "damaged": tmp_path / "damaged",
    }
    (tmp_path / "damaged").write_text(QUANT_HEADER + "t3\t1")
    transcripts = shared_transcripts([files["long"], files["short"]])
    assert transcripts.to_list() == ["t3", "t1", "t2"]
    left_out: list[LeftOut] = []
    for cells in (1, 1000):
        found = {
            sample: counts.tolist()
            for block in transcript_blocks(files, transcripts, left_out.append, most_cells=cells)
            for sample, counts in zip(block.samples, block.layers["counts"], strict=True)
        }
        assert found == {"long": [3, 1, 2], "short": [6, 4, 5]}
    assert [each.sample for each in left_out] == ["other", "damaged"] * 2
    assert left_out[0].reason == "Its index lacks 1 of the transcripts."
    assert "truncated" in left_out[1].reason
    with pytest.raises(InvalidQuantification, match=r"No quant\.sf"):
        shared_transcripts([])
    shutil.rmtree(tmp_path)
    with pytest.raises(InvalidQuantification, match="cannot be read"):
        shared_transcripts(files.values())


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 7), max_size=8), size=st.integers(1, 9))
def test_regrouping_changes_nothing_but_the_blocks(sizes: list[int], size: int) -> None:
    values = np.arange(sum(sizes) * 3, dtype=np.float32).reshape(-1, 3)
    names = [f"s{number}" for number in range(len(values))]
    ends = np.cumsum(sizes, dtype=int)
    blocks = [
        SampleBlock(
            names[end - count : end],
            {"a": values[end - count : end], "b": -values[end - count : end]},
        )
        for count, end in zip(sizes, ends, strict=True)
    ]
    found = list(regrouped(blocks, size))
    assert [name for block in found for name in block.samples] == names
    assert all(len(block.samples) == size for block in found[:-1])
    for layer, sign in (("a", 1), ("b", -1)):
        parts = [block.layers[layer] for block in found]
        np.testing.assert_array_equal(np.vstack([*parts, values[:0]]), sign * values)
