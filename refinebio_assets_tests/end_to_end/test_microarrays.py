"""Arrays from raw files to SQL: CEL files, bead tables, submitted values; good and bad ones."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_sources import read_gene_map, read_probes
from refinebio_assets.microarray.scan import SCANFAST
from refinebio_assets.partitions import register_platforms
from refinebio_assets.resources.registry import register_references
from refinebio_assets.running import run_job
from refinebio_assets_tests.end_to_end.conftest import Laboratory
from refinebio_assets_tests.synthetic import write_sheet
from refinebio_assets_tests.synthetic_arrays import (
    Chip,
    make_bead_annotation,
    make_chip,
    write_bead_table,
    write_cel,
    write_platforms,
)

CHIP_TYPE = "HG-U133A"
PLATFORM = "hgu133a"


@pytest.fixture(scope="session")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Chip:
    return make_chip(tmp_path_factory.mktemp("chip"), CHIP_TYPE)


def annotate(laboratory: Laboratory, platforms: dict[str, dict[str, str]]) -> None:
    catalogue = write_platforms(laboratory.inputs / "platforms.yaml", platforms)
    register_references(laboratory.storage, str(catalogue))
    register_platforms(laboratory.instance, platforms)
    for platform in platforms:
        [batch] = run_job(laboratory.instance, "annotate_platforms", [platform])
        assert batch.errors == []


def of_chip(chip: Chip) -> dict[str, dict[str, str]]:
    return {PLATFORM: {"probes": str(chip.probe_tab), "genes": str(chip.gene_map)}}


def sheet(laboratory: Laboratory, files: dict[str, str], **columns: str) -> Path:
    rows = [
        {
            "experiment": "LAB-ARRAYS",
            "sample": sample,
            "organism": "Homo sapiens",
            "technology": "MICROARRAY",
            "files": file,
            **columns,
        }
        for sample, file in files.items()
    ]
    return write_sheet(laboratory.inputs / "arrays.tsv", rows)


def errors_of(batches: list) -> list[str]:
    return [error for batch in batches for error in batch.errors]


def test_cel_files_become_genes(laboratory: Laboratory, chip: Chip) -> None:
    annotate(laboratory, of_chip(chip))
    files = {}
    for number in range(4):
        path = write_cel(laboratory.inputs / f"a{number}.CEL", chip, seed=number)
        files[f"a{number}"] = path.name
    zipped = laboratory.inputs / "a1.CEL"  # gzip under a name without .gz
    zipped.write_bytes(gzip.compress(zipped.read_bytes()))
    laboratory.survey(sheet(laboratory, files, platform="GPL96"))
    assert errors_of(laboratory.process("LAB-ARRAYS", parallel_samples=2)) == []
    assert laboratory.statuses() == dict.fromkeys(files, ("processed", None))
    model = ArrayModel.prepared(
        read_probes([chip.probe_tab]), read_gene_map(chip.gene_map), SCANFAST
    )
    for sample, name in files.items():
        expected = model.expression(read_cel(laboratory.inputs / name))
        rows = laboratory.ask(
            "SELECT gene, value FROM expression WHERE sample = ? ORDER BY gene", sample
        )
        assert [gene for gene, _ in rows] == expected.names == chip.genes
        np.testing.assert_allclose([value for _, value in rows], expected.values, rtol=1e-6)
    arrays = laboratory.ask(
        "SELECT chip_type, platform, labelled_platform, method, feature, num_genes, converged "
        "FROM arrays"
    )
    row = (CHIP_TYPE, PLATFORM, "GPL96", "SCANfast", "gene", len(chip.genes), True)
    assert arrays == [row] * 4
    assert laboratory.ask("SELECT DISTINCT technology FROM expression") == [("MICROARRAY",)]
    assert laboratory.ask("SELECT DISTINCT platform, platform_name FROM samples") == [
        (PLATFORM, "[HG-U133A] Affymetrix Human Genome U133A Array")
    ] or laboratory.ask("SELECT DISTINCT platform FROM samples") == [(PLATFORM,)]
    assert laboratory.ask(
        "SELECT has_annotation, num_genes FROM platforms WHERE platform = ?", PLATFORM
    ) == [(True, len(chip.genes))]


def test_a_bad_array_costs_itself_only(laboratory: Laboratory, chip: Chip) -> None:
    annotate(laboratory, of_chip(chip))
    inputs = laboratory.inputs
    good = write_cel(inputs / "good.CEL", chip, seed=1)
    content = good.read_bytes()
    (inputs / "cut.CEL").write_bytes(content[: len(content) // 2])
    (inputs / "cut-gzip.CEL.gz").write_bytes(gzip.compress(content)[:-500])
    (inputs / "page.CEL").write_text("<html>not found</html>")
    (inputs / "empty.CEL").write_bytes(b"")
    write_cel(inputs / "other.CEL", chip, seed=2, chip_type="Nobody-1_0")
    write_cel(inputs / "waits.CEL", chip, seed=3, chip_type="Mouse430_2")
    names = ("good", "cut", "page", "empty", "other", "waits")
    files = {name: f"{name}.CEL" for name in names}
    files |= {"cut-gzip": "cut-gzip.CEL.gz", "absent": "absent.CEL"}
    laboratory.survey(sheet(laboratory, files))
    laboratory.process("LAB-ARRAYS")
    found = laboratory.statuses()
    assert found == {
        "good": ("processed", None),
        "cut": ("failed", "truncated_cel"),
        "cut-gzip": ("failed", "unsupported_raw_file"),
        "page": ("failed", "invalid_cel"),
        "empty": ("failed", found["empty"][1]),
        "other": ("failed", "unsupported_platform"),
        "waits": ("waiting", "missing_probe_annotation"),
        "absent": ("failed", "raw_file_missing"),
    }
    remedies = laboratory.ask(
        "SELECT count(*) FROM sample_status WHERE status <> 'processed' "
        "AND (reason IS NULL OR remedy IS NULL)"
    )
    assert remedies == [(0,)]


def test_what_is_done_is_not_done_again(laboratory: Laboratory, chip: Chip) -> None:
    annotate(laboratory, of_chip(chip))
    files = {"a1": "a1.CEL", "a2": "a2.CEL"}
    for seed, name in enumerate(files.values()):
        write_cel(laboratory.inputs / name, chip, seed=seed)
    laboratory.survey(sheet(laboratory, files))
    laboratory.process("LAB-ARRAYS")
    made = "SELECT sample, recorded_at FROM arrays ORDER BY sample"
    before = dict(laboratory.ask(made))
    values = laboratory.ask("SELECT * FROM expression ORDER BY ALL")
    laboratory.process("LAB-ARRAYS")
    assert dict(laboratory.ask(made)) == before
    assert laboratory.ask("SELECT * FROM expression ORDER BY ALL") == values
    # a changed file and a new one are done, the third is not touched
    write_cel(laboratory.inputs / "a2.CEL", chip, seed=20)
    write_cel(laboratory.inputs / "a3.CEL", chip, seed=30)
    laboratory.survey(sheet(laboratory, {**files, "a3": "a3.CEL"}))
    laboratory.process("LAB-ARRAYS")
    after = dict(laboratory.ask(made))
    assert set(after) == {"a1", "a2", "a3"}
    assert (after["a1"] == before["a1"], after["a2"] == before["a2"]) == (True, False)
    # with another annotation all are done anew
    fewer = laboratory.inputs / "fewer.tsv"
    fewer.write_text("".join(chip.gene_map.read_text().splitlines(keepends=True)[:-500]))
    annotate(laboratory, {PLATFORM: {"probes": str(chip.probe_tab), "genes": str(fewer)}})
    laboratory.process("LAB-ARRAYS")
    assert all(when > after["a3"] for _, when in laboratory.ask(made))


def test_an_array_waits_for_its_probes(laboratory: Laboratory, chip: Chip) -> None:
    write_cel(laboratory.inputs / "a.CEL", chip, seed=1)
    laboratory.survey(sheet(laboratory, {"a": "a.CEL"}))
    laboratory.process("LAB-ARRAYS")
    assert laboratory.statuses() == {"a": ("waiting", "missing_probe_annotation")}
    annotate(laboratory, {PLATFORM: {"probes": str(chip.probe_tab)}})
    assert errors_of(laboratory.process("LAB-ARRAYS")) == []
    assert laboratory.ask("SELECT feature, num_genes FROM arrays") == [("probe set", 600)]
    assert laboratory.ask("SELECT count(*) FROM expression WHERE gene = '0_at'") == [(1,)]


def test_probes_are_matched_to_the_transcriptome(laboratory: Laboratory) -> None:
    """The laboratory's human transcripts, cut into probes, give back their genes."""
    [fasta] = (laboratory.home / "reference/HOMO_SAPIENS").glob("*/transcriptome/transcripts.fa.gz")
    [genes] = (laboratory.home / "reference/HOMO_SAPIENS").glob("*/transcriptome/*.parquet")
    known = dict(pl.read_parquet(genes).select("transcript", "gene").iter_rows())
    rows: list[tuple[str, int, int, str]] = []
    expected = {}
    for record in gzip.decompress(fasta.read_bytes()).decode().split(">")[1:]:
        name, *lines = record.splitlines()
        sequence = "".join(lines)
        for start in range(0, len(sequence) - 25, 25):
            cell = len(rows) % 500, len(rows) // 500
            rows.append((f"{len(rows) // 10}_at", *cell, sequence[start : start + 25]))
            expected[cell] = known[name.split()[0]]
    columns = ("Probe Set Name", "Probe X", "Probe Y", "Probe Sequence")
    tab = laboratory.inputs / "tab.tsv"
    pl.DataFrame(rows, schema=columns, orient="row").write_csv(tab, separator="\t")
    annotate(
        laboratory,
        {PLATFORM: {"probes": str(tab), "genes": "transcriptome", "organism": "Homo sapiens"}},
    )
    mapped = pl.read_parquet(laboratory.home / f"reference/platforms/{PLATFORM}/1/genes.parquet")
    found = {(x, y): gene for x, y, gene in mapped.iter_rows()}
    assert len(found) > 0.5 * len(expected)  # the others are shared by several genes
    assert all(expected[cell] == gene for cell, gene in found.items())


def test_bead_tables_become_genes(laboratory: Laboratory) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    annotate(
        laboratory, {"illuminaHumanv4": {"probes": str(make_bead_annotation(laboratory.inputs))}}
    )
    titles = ["s1", "s2", "s3"]
    write_bead_table(laboratory.inputs / "GSE1_non-normalized.txt", titles)
    names = dict.fromkeys([*titles, "nowhere"], "GSE1_non-normalized.txt")
    path = sheet(laboratory, names, platform="GPL10558")
    told = path.read_text().splitlines()
    lines = [
        f"{told[0]}\ttitle",
        *(f"{line}\t{name}" for line, name in zip(told[1:], names, strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    laboratory.survey(path)
    laboratory.process("LAB-ARRAYS")
    assert laboratory.statuses() == {
        **dict.fromkeys(titles, ("processed", None)),
        "nowhere": ("failed", "sample_not_in_table"),
    }
    [row] = laboratory.ask(
        "SELECT DISTINCT platform, method, detection_percentage, mapped_percentage, "
        "background_corrected FROM arrays"
    )
    assert row == ("illuminaHumanv4", "Illumina SCAN", 100, 100, True)
    assert laboratory.ask("SELECT count(*), count(DISTINCT (gene, sample)) FROM expression") == [
        (3000, 3000)
    ]
    path.write_text("\n".join(lines[:-1]) + "\n")  # without the one that is nowhere
    laboratory.survey(path)
    before = laboratory.ask("SELECT sample, recorded_at FROM arrays ORDER BY ALL")
    laboratory.process("LAB-ARRAYS")
    assert laboratory.ask("SELECT sample, recorded_at FROM arrays ORDER BY ALL") == before


def test_submitted_values_keep_their_scale(laboratory: Laboratory, chip: Chip) -> None:
    annotate(laboratory, of_chip(chip))
    inputs = laboratory.inputs
    rows = "".join(f"{number}_at\t{number + 0.5}\n" for number in range(600))
    (inputs / "good.txt").write_text("ID_REF\tVALUE\n" + rows)
    (inputs / "foreign.txt").write_text("".join(f"x{number}\t1.5\n" for number in range(600)))
    laboratory.survey(
        sheet(laboratory, {"good": "good.txt", "foreign": "foreign.txt"}, platform="GPL96")
    )
    laboratory.process("LAB-ARRAYS")
    assert laboratory.statuses() == {
        "good": ("processed", None),
        "foreign": ("failed", "identifiers_not_recognised"),
    }
    found = laboratory.ask("SELECT gene, value FROM expression ORDER BY gene")
    assert found == [(gene, number + 0.5) for number, gene in enumerate(chip.genes)]
    assert laboratory.ask("SELECT method, id_kind FROM arrays") == [
        ("submitter-processed", "PROBEID")
    ]


def test_an_archive_is_fetched_once_and_dropped(
    laboratory: Laboratory, chip: Chip, tmp_path: Path
) -> None:
    annotate(laboratory, of_chip(chip))
    folder = tmp_path / "cels"
    for number in (1, 2):
        write_cel(folder / f"GSM{number}_x.CEL", chip, seed=number)
    archive = laboratory.inputs / "raw.zip"
    subprocess.run(
        ["python3", "-m", "zipfile", "-c", str(archive), *map(str, sorted(folder.iterdir()))],
        check=True,
    )
    files = {"GSM1": "raw.zip", "GSM2": "raw.zip", "GSM3": "raw.zip"}
    laboratory.survey(sheet(laboratory, files))
    laboratory.process("LAB-ARRAYS")
    assert laboratory.statuses() == {
        "GSM1": ("processed", None),
        "GSM2": ("processed", None),
        "GSM3": ("failed", "raw_file_missing"),
    }
    assert archive.exists()  # the user's own
    assert not (laboratory.home / "raw/LAB-ARRAYS/_shared").exists()
