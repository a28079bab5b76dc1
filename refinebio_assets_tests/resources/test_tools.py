"""Salmon, sra-toolkit, RSEM and R as they are installed here, and as they might be missing."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from refinebio_assets.errors import (
    InvalidReference,
    InvalidRun,
    ReadsDoNotMatchReference,
    ToolFailed,
    ToolMissing,
    ToolTimedOut,
    ToolTooOld,
)
from refinebio_assets.resources.doctor import examine
from refinebio_assets.resources.r import PACKAGES, R
from refinebio_assets.resources.rsem import Rsem
from refinebio_assets.resources.salmon import Salmon, plain
from refinebio_assets.resources.sra_toolkit import Layout, RunStatistics, SraToolkit
from refinebio_assets.resources.tool import Tool
from refinebio_assets.rnaseq.quantification import SalmonOptions, read_arguments
from refinebio_assets.rnaseq.transcriptome import gene_map_from_annotation
from refinebio_assets.rnaseq.tximport import gene_level
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.synthetic import make_transcriptome, write_catalogue, write_pair

SILENT: Callable[[object], None] = lambda _: None  # noqa: E731


def program(path: Path, script: str) -> str:
    """An executable shell script in the place of a tool."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


# --- versions -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "package"),
    [(Salmon(), "salmon"), (SraToolkit(), "sra-toolkit"), (Rsem(), "rsem"), (R(), "r-base-core")],
    ids=["salmon", "sra-toolkit", "rsem", "r"],
)
def test_the_version_is_the_installed_package_s(tool: Tool, package: str) -> None:
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True
    )
    if found.returncode != 0:
        pytest.skip(f"{package} is not installed by the system")
    version = tool.version()
    assert found.stdout.split(".")[:2] == version.split(".")[:2]  # RSEM 1.3.3 says 1.3.1
    assert tuple(map(int, version.split("."))) >= tool.minimum


def configured(command: str) -> list[Tool]:
    return [
        Salmon(program=command),
        SraToolkit(fastq_dump=command),
        Rsem(calculate_expression=command),
        R(rscript=command),
    ]


@pytest.mark.parametrize("tool", configured("no-such-program"))
def test_a_missing_program_says_how_to_get_it(tool: Tool) -> None:
    with pytest.raises(ToolMissing, match=f"apt-get install {tool.debian_packages}") as raised:
        tool.version()
    assert not raised.value.blames_sample


@pytest.mark.parametrize("number", range(4))
def test_an_old_program_says_what_is_needed(tmp_path: Path, number: int) -> None:
    tool = configured(program(tmp_path / f"old{number}", "echo 'tool version v0.9.3'"))[number]
    oldest = ".".join(map(str, tool.minimum))
    with pytest.raises(ToolTooOld, match=f"0.9.3 is too old: {oldest} or newer .*apt-get install"):
        tool.version()


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 'salmon 1.10.1'", "1.10.1"),
        ("echo 'v1.5' >&2; exit 1", "1.5"),
        ("echo; echo '\"prog\" : 2.11.3 ( 2.11.2-1 )'", "2.11.3"),
    ],
)
def test_versions_are_found_in_any_answer(tmp_path: Path, script: str, version: str) -> None:
    assert Salmon(program=program(tmp_path / "salmon", script)).version() == version


@pytest.mark.parametrize("script", ["echo hello", "exit 3", "kill -9 $$"])
def test_a_program_that_tells_no_version(tmp_path: Path, script: str) -> None:
    with pytest.raises(ToolMissing, match="does not tell its version"):
        Salmon(program=program(tmp_path / "salmon", script)).version()


def test_doctor_finds_what_is_here_and_says_how_to_mend_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = {finding.what: finding for finding in examine()}
    assert {"Python", "Salmon", "sra-toolkit", "RSEM", "R", "R tximport", "Free space"} <= set(here)
    assert here["Salmon"].version == Salmon().version()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "not" / "yet"))
    bare = {finding.what: finding for finding in examine()}
    for tool in (Salmon(), SraToolkit(), Rsem(), R()):
        assert not bare[tool.title].ok
        assert f"apt-get install {tool.debian_packages}" in bare[tool.title].remark
    assert not bare["R tximport"].ok
    assert bare["Free space"].version


# --- Salmon ---------------------------------------------------------------------------

SMALL = make_transcriptome("HOMO_SAPIENS", genes=5, seed=11)
OTHER = make_transcriptome("MUS_MUSCULUS", genes=5, seed=12)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    write_catalogue(folder, SMALL)
    lines: list[str] = []
    salmon = Salmon(threads=1)
    salmon.build_index(folder / "HOMO_SAPIENS.fa.gz", folder / "index", 23, lines.append)
    assert lines
    assert all(line == plain(line) for line in lines)
    return folder / "index"


def test_reads_of_another_organism_are_told_from_a_failure(index: Path, tmp_path: Path) -> None:
    names = write_pair(tmp_path, "s", OTHER, 300).split(";")
    reads = read_arguments([tmp_path / name for name in names], "PAIRED", SalmonOptions())
    with pytest.raises(ReadsDoNotMatchReference) as raised:
        Salmon(threads=1).quantify(index, reads, tmp_path / "out", SILENT, SILENT)
    assert raised.value.blames_sample


def test_salmon_s_own_words_are_in_the_error(index: Path, tmp_path: Path) -> None:
    reads: list[str | Path] = ["-l", "A", "-r", tmp_path / "missing.fq"]
    with pytest.raises(ToolFailed, match=r"missing\.fq"):
        Salmon(threads=1).quantify(index, reads, tmp_path / "out", SILENT, SILENT)


def test_salmon_has_a_time_limit(index: Path, tmp_path: Path) -> None:
    slow = Salmon(program=program(tmp_path / "salmon", "sleep 1000"), timeout_hours=0.1 / 3600)
    with pytest.raises(ToolTimedOut):
        slow.quantify(index, [], tmp_path / "out", SILENT, SILENT)


def test_transcripts_that_salmon_refuses(tmp_path: Path) -> None:
    (tmp_path / "empty.fa").write_text("")
    with pytest.raises(InvalidReference, match="Salmon refused the transcripts"):
        Salmon(threads=1).build_index(tmp_path / "empty.fa", tmp_path / "index", 23, SILENT)


def test_a_line_without_its_ornaments() -> None:
    line = "\x1b[33m[2026-01-02 03:04:05.678] [jointLog] [warning] few \x1b[0mreads\n"
    assert plain(line) == "[warning] few reads"


# --- RSEM -----------------------------------------------------------------------------


def unzipped(source: Path, target: Path) -> Path:
    target.write_bytes(gzip.decompress(source.read_bytes()))
    return target


def rsem_inputs(folder: Path) -> tuple[Path, Path, Path]:
    source = shared_data("rnaseq/mini_humanX")
    genome = unzipped(source / "minigenome.fa.gz", folder / "genome.fa")
    annotation = unzipped(source / "minigenome.gtf.gz", folder / "genes.gtf")
    table = gene_map_from_annotation(annotation).select("gene", "transcript")
    table.write_csv(folder / "map.tsv", separator="\t", include_header=False)
    return genome, annotation, folder / "map.tsv"


def test_rsem_cuts_the_transcripts_out_of_a_real_genome(tmp_path: Path) -> None:
    genome, annotation, gene_map = rsem_inputs(tmp_path)
    fasta = Rsem(threads=1).transcripts(genome, annotation, gene_map, tmp_path, SILENT)
    names = {line[1:].strip() for line in fasta.read_text().splitlines() if line[0] == ">"}
    assert names == {line.split("\t")[1] for line in gene_map.read_text().splitlines()}


def test_an_annotation_of_another_genome_is_refused(tmp_path: Path) -> None:
    genome, annotation, gene_map = rsem_inputs(tmp_path)
    annotation.write_text(annotation.read_text().replace("minigenome\t", "chrM\t"))
    with pytest.raises(InvalidReference, match="RSEM refused the genome and annotation"):
        Rsem(threads=1).transcripts(genome, annotation, gene_map, tmp_path, SILENT)


# --- sra-toolkit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mini_humanX.sra", RunStatistics(20_898, 3_134_700, "PAIRED", 75)),
        ("ERR3487613.sra", RunStatistics(10, 5_000, "PAIRED", 250)),
        ("SRR599578.sralite", RunStatistics(29, 14_558, "PAIRED", 251)),
        # 785 spots have both mates
        ("SRR6336806.sra", RunStatistics(2_607, 1_016_791, "PAIRED", 1_016_791 / (2_607 + 785))),
        # its second mate is empty in every spot
        ("yeast_htseq_se.sra", RunStatistics(24_999, 899_964, "SINGLE", 36)),
        # 454: a technical read and a biological one; three technical ones
        ("SRR139146.sra", RunStatistics(3_896, 634_055, "SINGLE", 634_055 / 3_896)),
        ("SRR053990.sra", RunStatistics(2_690, 571_935, "SINGLE", 571_935 / 2_690)),
    ],
)
def test_statistics_of_real_runs(name: str, expected: RunStatistics) -> None:
    run = shared_data(f"sra/{name}")
    toolkit = SraToolkit()
    toolkit.check_whole(run)
    assert toolkit.statistics(run) == expected


@pytest.fixture
def cut_run(tmp_path: Path) -> Path:
    content = shared_data("sra/yeast_htseq_se.sra").read_bytes()
    path = tmp_path / "cut.sra"
    path.write_bytes(content[: len(content) // 2])
    return path


def test_a_run_with_a_wrong_checksum_inside() -> None:
    with pytest.raises(
        InvalidRun, match=r"blob_val_inv_chsum\.sra is damaged: .*READ_LEN.*bad data"
    ):
        SraToolkit().check_whole(shared_data("sra/broken/blob_val_inv_chsum.sra"))


def test_a_cut_run(cut_run: Path) -> None:
    with pytest.raises(InvalidRun, match=r"cut\.sra is damaged"):
        SraToolkit().check_whole(cut_run)
    with pytest.raises(InvalidRun, match=r"cut\.sra"):
        SraToolkit().statistics(cut_run)


@pytest.mark.parametrize("content", [b"", b"@r\nA\n+\nI\n", b"NCBI.sra", bytes(1000)])
def test_what_is_no_run(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sra"
    path.write_bytes(content)
    with pytest.raises(InvalidRun, match=r"a\.sra"):
        SraToolkit().statistics(path)


def drained(run: Path, layout: Layout) -> tuple[list[bytes], int | None, int]:
    """What two readers, as Salmon has, find in the pipes; pairs; unmated reads."""
    with SraToolkit().reads(run, layout) as dumped, ThreadPoolExecutor(2) as pool:
        streams = list(pool.map(Path.read_bytes, dumped.pipes))
    assert not any(pipe.exists() for pipe in dumped.pipes)
    return streams, dumped.pairs, dumped.unmated


def bases_of(fastq: bytes) -> list[bytes]:
    return fastq.splitlines()[1::4]


def bases_of_file(path: Path) -> list[bytes]:
    return bases_of(gzip.decompress(path.read_bytes()))


def test_mates_of_a_real_run() -> None:
    (first, second), pairs, unmated = drained(shared_data("sra/mini_humanX.sra"), "PAIRED")
    assert (pairs, unmated) == (20_898, 0)
    assert bases_of(first) == bases_of_file(shared_data("rnaseq/mini_humanX/reads_1.fq.gz"))
    assert bases_of(second) == bases_of_file(shared_data("rnaseq/mini_humanX/reads_2.fq.gz"))


def test_single_reads_of_a_real_run() -> None:
    [reads], pairs, unmated = drained(shared_data("sra/yeast_htseq_se.sra"), "SINGLE")
    assert (pairs, unmated) == (None, 0)
    expected = bases_of_file(shared_data("rnaseq/yeast/yeast_RNASeq_excerpt.fastq.gz"))
    assert bases_of(reads) == expected


def test_reads_without_a_mate_are_dropped_and_counted() -> None:
    (first, second), pairs, unmated = drained(shared_data("sra/SRR6336806.sra"), "PAIRED")
    assert (pairs, unmated) == (785, 2_607 - 785)
    assert len(bases_of(first)) == len(bases_of(second)) == 785


@pytest.mark.parametrize(
    ("name", "spots", "bases"),
    [("SRR139146.sra", 3_896, 634_055), ("SRR053990.sra", 2_690, 571_935)],
)
def test_technical_reads_are_left_out(name: str, spots: int, bases: int) -> None:
    [reads], _, _ = drained(shared_data(f"sra/{name}"), "SINGLE")
    found = bases_of(reads)
    assert len(found) == spots
    assert sum(map(len, found)) == bases


@pytest.mark.parametrize("layout", ["SINGLE", "PAIRED"])
def test_a_run_that_breaks_off_while_it_is_read(cut_run: Path, layout: Layout) -> None:
    with pytest.raises(InvalidRun, match=r"cut\.sra could not be dumped whole:\n."):
        drained(cut_run, layout)


@pytest.mark.parametrize("layout", ["SINGLE", "PAIRED"])
def test_an_error_of_the_reader_comes_through_and_ends_the_dump(layout: Layout) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        SraToolkit().reads(shared_data("sra/mini_humanX.sra"), layout) as dumped,
    ):
        raise ZeroDivisionError
    assert not dumped.pipes[0].exists()


def test_no_reads_are_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where the run lies, nor in the working folder, nor among temporary files."""
    folders = [tmp_path / name for name in ("runs", "work", "temporary")]
    for folder in folders:
        folder.mkdir()
    run = Path(shutil.copy(shared_data("sra/mini_humanX.sra"), folders[0]))
    monkeypatch.chdir(folders[1])
    monkeypatch.setattr("tempfile.tempdir", str(folders[2]))
    before = set(tmp_path.rglob("*"))
    with SraToolkit().reads(run, "PAIRED") as dumped, ThreadPoolExecutor(2) as pool:
        sizes = pool.map(lambda pipe: len(pipe.read_bytes()), dumped.pipes)
        found = {path for path in tmp_path.rglob("*") if path.is_file()} - before
        assert min(sizes) > 1_000_000
    assert found == set()
    assert set(tmp_path.rglob("*")) == before


# --- R --------------------------------------------------------------------------------


def test_packages_of_r() -> None:
    versions = R().package_versions()
    assert set(versions) <= set(PACKAGES)
    assert all(version[0].isdigit() for version in versions.values())


def quantified(folder: Path, samples: int = 3) -> tuple[dict[str, Path], pl.DataFrame]:
    """Small quant.sf with transcripts and genes that are silent in some samples, or in all."""
    random = np.random.default_rng(5)
    transcripts = [f"T{number}" for number in range(60)]
    files = {}
    for sample in map(str, range(samples)):
        silent = (random.random(60) < 0.4) | (np.arange(60) < 4)
        tpm = np.where(silent, 0, random.lognormal(2, 2, 60))
        length = random.integers(300, 3000, 60)
        table = pl.DataFrame(
            {
                "Name": transcripts,
                "Length": length,
                "EffectiveLength": length - random.uniform(100, 250, 60),
                "TPM": tpm,
                "NumReads": tpm * length / 100,
            }
        )
        files[sample] = folder / sample / "quant.sf"
        files[sample].parent.mkdir(parents=True)
        table.write_csv(files[sample], separator="\t")
    genes = pl.DataFrame({"transcript": transcripts, "gene": [f"G{n // 3}" for n in range(60)]})
    return files, genes


@pytest.fixture(scope="module")
def tximport_of_r() -> R:
    pytest.importorskip("rpy2.rinterface_lib")
    if "tximport" not in R().package_versions():
        pytest.skip("R has no tximport")
    return R()


@pytest.mark.parametrize("how", ["no", "lengthScaledTPM", "scaledTPM"])
def test_r_s_tximport_agrees_with_ours(tximport_of_r: R, tmp_path: Path, how: str) -> None:
    files, genes = quantified(tmp_path)
    theirs = tximport_of_r.tximport(files, genes, how)
    ours = gene_level(files, genes)
    counts = {
        "no": ours.counts,
        "lengthScaledTPM": ours.length_scaled_tpm(),
        "scaledTPM": ours.scaled_tpm(),
    }
    order = [theirs["genes"].index(gene) for gene in ours.genes]
    assert sorted(theirs["genes"]) == sorted(ours.genes)
    for name, matrix in (
        ("abundance", ours.abundance),
        ("length", ours.length),
        ("counts", counts[how]),
    ):
        np.testing.assert_allclose(matrix, theirs[name][order], rtol=1e-9, atol=0)


def test_an_error_of_r_becomes_ours(tximport_of_r: R, tmp_path: Path) -> None:
    files, genes = quantified(tmp_path, samples=1)
    with pytest.raises(ToolFailed, match=r"R: Error in tximport(.|\n)*file\.exists"):
        tximport_of_r.tximport({"0": tmp_path / "missing" / "quant.sf"}, genes, "no")
    with pytest.raises(ToolFailed, match="R: "):
        tximport_of_r.tximport(files, genes.with_columns(transcript=pl.lit("X")), "no")


def test_a_crash_of_r_takes_only_the_child_with_it(
    tximport_of_r: R, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "profile.R"
    profile.write_text('if (commandArgs()[1] == "rpy2") tools::pskill(Sys.getpid(), 9)\n')
    monkeypatch.setenv("R_PROFILE_USER", str(profile))
    files, genes = quantified(tmp_path)
    with pytest.raises(ToolFailed, match="R crashed") as raised:
        tximport_of_r.tximport(files, genes, "no")
    assert not raised.value.blames_sample


def test_without_r() -> None:
    with pytest.raises(ToolMissing, match="apt-get install r-base-core"):
        R(rscript="no-such-Rscript").tximport({}, pl.DataFrame(), "no")
