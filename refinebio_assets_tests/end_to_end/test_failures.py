"""What goes wrong in practice, done for real: each a reason on its own sample."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator

import dagster as dg
import pytest

from refinebio_assets.assets.stage import ExperimentsConfig
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.end_to_end.conftest import HUMAN, MOUSE, Laboratory
from refinebio_assets_tests.synthetic import make_pairs, write_fastq, write_pair, write_sheet


def _sheet(laboratory: Laboratory, samples: dict[str, str], organism: str = "Homo sapiens") -> None:
    rows = [
        {"experiment": "LAB-1", "sample": sample, "organism": organism, "files": files}
        for sample, files in samples.items()
    ]
    laboratory.survey(write_sheet(laboratory.inputs / "sheet.tsv", rows))


def test_every_bad_sample_has_its_reason_and_the_good_one_finishes(laboratory: Laboratory) -> None:
    inputs = laboratory.inputs
    good = write_pair(inputs, "good", HUMAN, 1000)
    first, second = make_pairs(HUMAN, 1000, seed=5)
    whole = write_fastq(inputs / "whole.fastq.gz", first)
    (inputs / "truncated.fastq.gz").write_bytes(whole.read_bytes()[:-2000])
    write_fastq(inputs / "cut.fastq", first)
    (inputs / "cut.fastq").write_bytes((inputs / "cut.fastq").read_bytes()[:-100])
    write_fastq(inputs / "unequal_1.fastq.gz", first, 1)
    write_fastq(inputs / "unequal_2.fastq.gz", second[:-10], 2)
    (inputs / "page.fastq.gz").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (inputs / "empty.fastq").touch()
    (inputs / "junk.sra").write_bytes(b"NCBI.sra" + os.urandom(5000))
    _sheet(
        laboratory,
        {
            "good": good,
            "truncated": "truncated.fastq.gz",
            "cut": "cut.fastq",
            "unequal": "unequal_1.fastq.gz;unequal_2.fastq.gz",
            "page": "page.fastq.gz",
            "empty": "empty.fastq",
            "absent": "absent.fastq",
            "junk": "junk.sra",
            "other_species": write_pair(inputs, "mouse", MOUSE, 1000),
        },
    )
    [batch] = laboratory.process("LAB-1")
    assert batch.errors == []
    assert laboratory.statuses() == {
        "good": ("processed", None),
        "truncated": ("failed", "truncated_fastq"),
        "cut": ("failed", "truncated_fastq"),
        "unequal": ("failed", "unequal_mates"),
        "page": ("failed", "unsupported_raw_file"),
        "empty": ("failed", "unsupported_raw_file"),
        "absent": ("failed", "raw_file_missing"),
        "junk": ("failed", "invalid_sra_run"),
        "other_species": ("failed", "reads_do_not_match_reference"),
    }
    assert laboratory.ask("SELECT DISTINCT sample FROM expression") == [("good",)]
    [(reason, remedy)] = laboratory.ask(
        "SELECT reason, remedy FROM sample_status WHERE sample = 'page'"
    )
    assert "HTML" in reason
    assert remedy


def test_one_experiments_failure_is_its_own(laboratory: Laboratory) -> None:
    inputs = laboratory.inputs
    files = {name: write_pair(inputs, name, HUMAN, 800, seed=n) for n, name in enumerate("ac")}
    (inputs / "b.fastq").write_text("no reads here")
    rows = [
        {"experiment": f"LAB-{name}", "sample": name, "organism": "Homo sapiens", "files": file}
        for name, file in {**files, "b": "b.fastq"}.items()
    ]
    laboratory.survey(write_sheet(inputs / "sheet.tsv", rows))
    [batch] = laboratory.process("LAB-a", "LAB-b", "LAB-c")
    [error] = batch.errors
    assert "1 of 3 experiments failed: LAB-b" in error
    done = laboratory.instance.get_materialized_partitions(dg.AssetKey("gene_counts"))
    assert done == {"LAB-a", "LAB-c"}
    assert {
        name for name, (status, _) in laboratory.statuses().items() if status == "processed"
    } == {
        "a",
        "c",
    }


def test_missing_index_waits_until_it_is_built(laboratory: Laboratory) -> None:
    reference = laboratory.storage.reference("HOMO_SAPIENS", "1")
    (reference / "salmon_index_long").rename(laboratory.home / "aside")
    _sheet(laboratory, {"s": write_pair(laboratory.inputs, "s", HUMAN, 800)})
    laboratory.process("LAB-1")
    assert laboratory.statuses() == {"s": ("waiting", "missing_index")}
    (laboratory.home / "aside").rename(reference / "salmon_index_long")
    laboratory.process("LAB-1")
    assert laboratory.statuses() == {"s": ("processed", None)}


def test_a_file_replaced_by_a_broken_one_takes_its_values_away(laboratory: Laboratory) -> None:
    inputs = laboratory.inputs
    for seed, name in enumerate(("a", "b")):
        write_fastq(inputs / f"{name}.fastq", make_pairs(HUMAN, 800, seed=seed)[0])
    _sheet(laboratory, {"a": "a.fastq", "b": "b.fastq"})
    laboratory.process("LAB-1")
    (inputs / "a.fastq").write_bytes((inputs / "b.fastq").read_bytes()[:-10])
    laboratory.process("LAB-1")
    assert laboratory.statuses() == {
        "a": ("failed", "truncated_fastq"),
        "b": ("processed", None),
    }
    assert laboratory.ask("SELECT DISTINCT sample FROM expression") == [("b",)]


def test_organism_without_reference(laboratory: Laboratory) -> None:
    files = write_pair(laboratory.inputs, "s", HUMAN, 800)
    _sheet(laboratory, {"s": files}, organism="Danio rerio")
    [batch] = laboratory.process("LAB-1")
    assert "No sample of LAB-1" in batch.errors[0]
    assert laboratory.statuses() == {"s": ("failed", "unsupported_organism")}


def test_missing_salmon_says_how_to_get_it(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sheet(laboratory, {"s": write_pair(laboratory.inputs, "s", HUMAN, 800)})
    monkeypatch.setenv("PATH", "/nonexistent")
    [batch] = laboratory.process("LAB-1")
    assert "apt-get install salmon" in batch.errors[0]


def test_early_tximport_waits_for_enough_samples(laboratory: Laboratory) -> None:
    """21 samples, of which some wait for their index: above 80 % the others are summarised."""
    inputs, storage = laboratory.inputs, laboratory.storage
    samples = {}
    for number in range(21):
        reads, _ = make_pairs(HUMAN, 60, length=50 if number < 5 else 80, seed=number)
        write_fastq(inputs / f"{number}.fastq", reads)
        samples[f"s{number}"] = f"{number}.fastq"
    short = storage.reference("HOMO_SAPIENS", "1") / "salmon_index_short"
    short.rename(laboratory.home / "aside")
    _sheet(laboratory, samples)
    [batch] = laboratory.process("LAB-1")  # 16 of 21: 76 %
    assert "16 of 21 samples of LAB-1 are quantified" in batch.errors[0]
    [batch] = laboratory.process("LAB-1", early_fraction=0.75)
    assert batch.errors == []
    assert laboratory.ask("SELECT count(DISTINCT sample) FROM expression") == [(16,)]
    assert ExperimentsConfig().early_fraction == 0.80
    assert ExperimentsConfig().early_samples == 20


@pytest.fixture
def small_disk(laboratory: Laboratory) -> Iterator[Laboratory]:
    """The laboratory's home moved to a file system with hardly any space left."""
    size = sum(path.stat().st_size for path in laboratory.home.rglob("*") if path.is_file())
    aside = laboratory.home.rename(laboratory.home.with_name("aside"))
    laboratory.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size + (600 << 10)}", "tmpfs", laboratory.home]
    if os.getuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("a full disk is made with mount, which is not allowed here")
    try:
        shutil.copytree(aside, laboratory.home, dirs_exist_ok=True)
        yield laboratory
    finally:
        subprocess.run(["umount", "-l", laboratory.home], check=True)


def test_full_disk_is_named_and_a_rerun_completes(small_disk: Laboratory) -> None:
    _sheet(small_disk, {"s": write_pair(small_disk.inputs, "s", HUMAN, 800)})
    ballast = small_disk.home / "ballast"
    free = shutil.disk_usage(small_disk.home).free
    ballast.write_bytes(b"\0" * (free - (64 << 10)))
    [batch] = small_disk.process("LAB-1")
    assert batch.errors
    assert not small_disk.storage.quant_folder("LAB-1", "s").exists()
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk.home], check=True)
    [batch] = small_disk.process("LAB-1")
    assert batch.errors == []
    assert small_disk.statuses() == {"s": ("processed", None)}


def test_sra_and_fastq_of_the_same_reads_agree(laboratory: Laboratory) -> None:
    """Real reads (ERR188245 subset), as .sra and as FASTQ; nothing is written in between."""
    run = shared_data("sra/mini_humanX.sra")
    reads = [shared_data(f"rnaseq/mini_humanX/reads_{mate}.fq.gz") for mate in (1, 2)]
    _use_chromosome_x(laboratory)
    rows = [
        {"experiment": "LAB-1", "sample": sample, "organism": "Homo sapiens", "files": files}
        for sample, files in {"sra": str(run), "fastq": ";".join(map(str, reads))}.items()
    ]
    laboratory.survey(write_sheet(laboratory.inputs / "sheet.tsv", rows))
    [batch] = laboratory.process("LAB-1")
    assert batch.errors == []
    rates = laboratory.ask(
        "SELECT sample, num_processed, index_length, layout, round(percent_mapped) "
        "FROM quantifications ORDER BY sample"
    )
    assert rates == [
        ("fastq", 20898, "short", "PAIRED", 88.0),
        ("sra", 20898, "short", "PAIRED", 88.0),
    ]
    [(genes, correlation)] = laboratory.ask(
        "SELECT count(*), corr(a.counts, b.counts) FROM gene_counts a JOIN gene_counts b "
        "USING (gene) WHERE a.sample = 'sra' AND b.sample = 'fastq'"
    )
    assert genes > 50
    assert correlation > 0.999
    assert not list(laboratory.home.rglob("*.fastq"))


def _use_chromosome_x(laboratory: Laboratory) -> None:
    """Build a reference from a real genome and annotation: the way through RSEM."""
    from refinebio_assets.partitions import register_organisms
    from refinebio_assets.resources.registry import register_references
    from refinebio_assets.running import run_job

    genome = shared_data("rnaseq/mini_humanX/minigenome.fa.gz")
    annotation = shared_data("rnaseq/mini_humanX/minigenome.gtf.gz")
    catalogue = laboratory.inputs / "genome.yaml"
    catalogue.write_text(
        "organisms:\n  Homo sapiens:\n    taxonomy_id: 9606\n    database: EnsemblMain\n"
        "    release: 'X'\n    assembly: mini\n"
        f"    genome: {genome}\n    annotation: {annotation}\n"
    )
    register_references(laboratory.storage, str(catalogue))
    register_organisms(laboratory.instance, ["HOMO_SAPIENS"])
    [batch] = run_job(laboratory.instance, "build_references", ["HOMO_SAPIENS"])
    assert batch.errors == []


def test_gzip_reads_are_not_unpacked_on_disk(laboratory: Laboratory) -> None:
    _sheet(laboratory, {"s": write_pair(laboratory.inputs, "s", HUMAN, 800)})
    laboratory.process("LAB-1")
    assert not [path for path in laboratory.home.rglob("*") if path.suffix in (".fastq", ".fq")]
    with gzip.open(laboratory.inputs / "s_1.fastq.gz") as untouched:
        assert untouched.read(6) == b"@read0"
