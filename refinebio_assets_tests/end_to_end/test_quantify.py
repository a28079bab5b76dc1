"""`refinebio quantify`, with the real Salmon: the numbers of an experiment of the same reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from refinebio_assets.cli import app
from refinebio_assets.resources.references import gene_map_path
from refinebio_assets.rnaseq.tximport import gene_level, read_quant
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.end_to_end.conftest import HUMAN, MOUSE, Laboratory
from refinebio_assets_tests.end_to_end.test_failures import _use_chromosome_x
from refinebio_assets_tests.synthetic import make_pairs, write_fastq, write_pair, write_sheet

WHERE = {"index", "output", "mates1", "mates2", "unmatedReads"}  # of a call of Salmon
GENES = ("counts", "tpm", "effective_length", "length_scaled_tpm")


def quantify(*arguments: object, organism: str = "Homo sapiens") -> Result:
    return CliRunner().invoke(app, ["quantify", "--organism", organism, *map(str, arguments)])


def told(result: Result) -> str:
    return " ".join(result.output.split())


def table(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, separator="\t")


def call_of(folder: Path) -> dict[str, Any]:
    """What Salmon was asked for, without the places of files."""
    call = json.loads((folder / "cmd_info.json").read_text())
    return {name: value for name, value in call.items() if name not in WHERE}


@pytest.fixture
def reads(laboratory: Laboratory) -> list[Path]:
    """Two pairs of 76 bases, of which the mates are given apart, and single reads of 50."""
    inputs = laboratory.inputs
    write_pair(inputs, "liver", HUMAN, 3000)
    write_pair(inputs, "brain", HUMAN, 2000, seed=8)
    write_fastq(inputs / "old.fq", make_pairs(HUMAN, 3000, length=50, seed=11)[0])
    names = ("liver_2", "brain_1", "liver_1", "brain_2")
    return [inputs / "old.fq", *(inputs / f"{name}.fastq.gz" for name in names)]


def test_as_the_pipeline_has_it(laboratory: Laboratory, reads: list[Path]) -> None:
    files = {"old": "old.fq", **{s: f"{s}_1.fastq.gz;{s}_2.fastq.gz" for s in ("liver", "brain")}}
    rows = [
        {"experiment": "LAB-1", "sample": name, "organism": "Homo sapiens", "files": of_sample}
        for name, of_sample in files.items()
    ]
    laboratory.survey(write_sheet(laboratory.inputs / "sheet.tsv", rows))
    [batch] = laboratory.process("LAB-1")
    assert batch.errors == []
    before = {path for path in laboratory.home.rglob("*") if path.name != "staging"}
    out = laboratory.inputs / "new" / "out"
    result = quantify(*reads, "-o", out)
    assert result.exit_code == 0, result.output
    assert {path for path in laboratory.home.rglob("*") if path.name != "staging"} == before

    storage = laboratory.storage
    values = pl.read_parquet(storage.expression_file("HOMO_SAPIENS", "RNA-SEQ", "LAB-1"))
    rates = pl.read_parquet(storage.table_file("quantifications", "LAB-1"))
    told_of = table(out / "samples.tsv")
    ours = {what: table(out / f"gene_{what}.tsv") for what in GENES}
    for each in ours.values():
        assert each.columns == ["Gene", "old", "liver", "brain"]
    for sample in files:
        published = storage.quant_folder("LAB-1", sample)
        assert call_of(out / "salmon" / sample) == call_of(published)
        found = values.filter(sample=sample)
        assert ours["counts"]["Gene"].to_list() == found["gene"].to_list()
        for what in GENES:
            theirs = found[{"length_scaled_tpm": "value"}.get(what, what)].to_numpy()
            mine = ours[what][sample].to_numpy()
            assert np.corrcoef(mine, theirs)[0, 1] > 0.995  # Salmon's threads race
            if what in ("counts", "length_scaled_tpm"):
                assert mine.sum() == pytest.approx(theirs.sum(), rel=1e-4)
        [mine], [theirs] = (each.filter(sample=sample).to_dicts() for each in (told_of, rates))
        assert (mine["status"], mine["index_length"], mine["layout"]) == (
            ("processed", "short", "SINGLE") if sample == "old" else ("processed", "long", "PAIRED")
        )
        for name in ("index_sha256", "index_length", "salmon_version", "reads", "library_type"):
            assert mine[name] == theirs[name]
        assert mine["raw_sha256"] == ", ".join(theirs["raw_sha256"])


def test_tables_are_tximport_of_the_kept_folders(laboratory: Laboratory, reads: list[Path]) -> None:
    out = laboratory.inputs / "out"
    assert quantify(*reads, "-o", out).exit_code == 0
    gene_map = table(out / "transcripts.tsv")
    assert dict(gene_map.select("transcript", "gene").rows()) == HUMAN.genes
    for samples in (["old"], ["liver", "brain"]):  # of one index
        files = {each: out / "salmon" / each / "quant.sf" for each in samples}
        expected = gene_level(files, gene_map)
        for what, matrix in zip(
            GENES,
            (expected.counts, expected.abundance, expected.length, expected.length_scaled_tpm()),
            strict=True,
        ):
            found = table(out / f"gene_{what}.tsv")
            assert found["Gene"].to_list() == expected.genes
            np.testing.assert_array_equal(found.select(samples).to_numpy(), matrix)

    stamps = {path: path.stat().st_ino for path in out.rglob("quant.sf")}
    again = quantify(*reads, "-o", out, "--level", "transcript", "--format", "parquet")
    assert again.exit_code == 0
    assert "Salmon against" not in again.output  # what was quantified is not quantified again
    assert {path: path.stat().st_ino for path in out.rglob("quant.sf")} == stamps
    for what, column in {"counts": "NumReads", "tpm": "TPM",
                         "effective_length": "EffectiveLength"}.items():  # fmt: skip
        found = pl.read_parquet(out / f"transcript_{what}.parquet")
        assert found.columns == ["Transcript", "old", "liver", "brain"]
        assert found["Transcript"].to_list() == sorted(HUMAN.sequences)
        for sample in found.columns[1:]:
            quant = read_quant(out / "salmon" / sample / "quant.sf").sort("Name")
            assert found[sample].to_list() == quant[column].to_list()


def test_replicates_are_not_taken_for_mates(laboratory: Laboratory) -> None:
    """`control-1` and `control-2` look like mates: the reads say they are not."""
    inputs, out = laboratory.inputs, laboratory.inputs / "out"
    files = [
        write_fastq(inputs / f"control-{number}.fq", make_pairs(HUMAN, reads, seed=number)[0])
        for number, reads in ((1, 1500), (2, 1600))
    ]
    refused = quantify(*files, "-o", out)
    assert refused.exit_code == 1
    assert "unequal_mates" in told(refused)
    assert "--each-alone" in told(refused)
    assert quantify(*files, "-o", out, "--each-alone").exit_code == 0
    assert table(out / "gene_counts.tsv").columns == ["Gene", "control-1", "control-2"]


def test_symbols(laboratory: Laboratory, reads: list[Path]) -> None:
    """Two genes of one symbol are added up; a gene without one keeps its id."""
    path = gene_map_path(laboratory.storage.reference("HOMO_SAPIENS", "1"))
    genes = sorted(set(HUMAN.genes.values()))
    symbols = {gene: f"SYM{number // 2}" for number, gene in enumerate(genes)}
    symbols[genes[-1]], symbols[genes[-2]] = "", None
    gene_map = pl.read_parquet(path)
    mapped = [symbols[gene] for gene in gene_map["gene"]]
    gene_map.with_columns(symbol=pl.Series(mapped, dtype=pl.String)).write_parquet(path)

    out = laboratory.inputs / "out"
    assert quantify(reads[0], "-o", out).exit_code == 0
    by_id = dict(table(out / "gene_counts.tsv").rows())
    assert quantify(reads[0], "-o", out, "--ids", "symbol").exit_code == 0
    found = dict(table(out / "gene_counts.tsv").rows())
    assert set(found) == {f"SYM{n}" for n in range(len(genes) // 2 - 1)} | set(genes[-2:])
    assert found["SYM3"] == pytest.approx(by_id[genes[6]] + by_id[genes[7]])
    assert found[genes[-1]] == by_id[genes[-1]]
    refused = quantify(reads[0], "-o", out, "--level", "transcript", "--ids", "symbol")
    assert refused.exit_code == 2


def test_one_bad_sample_is_told_and_left_out(laboratory: Laboratory, reads: list[Path]) -> None:
    inputs, out = laboratory.inputs, laboratory.inputs / "out"
    whole = (inputs / "brain_2.fastq.gz").read_bytes()
    (inputs / "brain_2.fastq.gz").write_bytes(whole[: len(whole) // 2])
    mouse = write_fastq(inputs / "mouse.fq", make_pairs(MOUSE, 2000, length=50)[0])
    other = inputs / "other" / "old.fastq"
    other.parent.mkdir()
    other.write_bytes(reads[0].read_bytes())
    strange = inputs / "a b.fastq"
    strange.write_bytes(reads[0].read_bytes())
    gone, html = inputs / "gone.fq", inputs / "page.fastq.gz"
    html.write_text("<!doctype html><p>404")
    result = quantify(*reads, mouse, other, strange, gone, html, "-o", out)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert table(out / "gene_counts.tsv").columns == ["Gene", "old", "liver"]
    found = table(out / "samples.tsv")
    assert dict(found.select("sample", "reason_code").rows()) == {
        "old": None,
        "liver": None,
        "brain": "truncated_fastq",
        "mouse": "reads_do_not_match_reference",
        "gone": "raw_file_missing",
        "page": "unsupported_raw_file",
        str(other): "invalid_accession",
        str(strange): "invalid_accession",
    }
    for words in ("brain: truncated_fastq:", "another one is", "6 left out", "an HTML page"):
        assert words in told(result)
    assert sorted(path.name for path in (out / "salmon").iterdir()) == ["liver", "old"]


def test_nothing_comes_through(laboratory: Laboratory) -> None:
    out = laboratory.inputs / "out"
    result = quantify(laboratory.inputs / "gone.fq", "-o", out)
    assert result.exit_code == 1
    assert "no_sample_left" in told(result)
    assert [path.name for path in out.iterdir()] == ["samples.tsv"]


def test_an_organism_that_is_not_there(laboratory: Laboratory, reads: list[Path]) -> None:
    out = laboratory.inputs / "out"
    for organism, code in (("Danio rerio", "unsupported_organism"), ("../x", "unsupported_")):
        result = quantify(reads[0], "-o", out, organism=organism)
        assert result.exit_code == 1
        assert code in told(result)
    assert not out.exists()


@pytest.mark.slow
def test_real_reads_as_fastq_and_as_sra(laboratory: Laboratory) -> None:
    run = shared_data("sra/mini_humanX.sra")
    pair = [shared_data(f"rnaseq/mini_humanX/reads_{mate}.fq.gz") for mate in (1, 2)]
    _use_chromosome_x(laboratory)
    out = laboratory.inputs / "out"
    result = quantify(*pair, run, "-o", out)
    assert result.exit_code == 0, result.output
    rows = table(out / "samples.tsv").select(
        "sample", "layout", "num_processed", pl.col("percent_mapped").round(), "unmated_reads"
    )
    assert rows.rows() == [
        ("reads", "PAIRED", 20898, 88.0, 0),
        ("mini_humanX", "PAIRED", 20898, 88.0, 0),
    ]
    counts = table(out / "gene_counts.tsv")
    assert np.corrcoef(counts["reads"], counts["mini_humanX"])[0, 1] > 0.999
