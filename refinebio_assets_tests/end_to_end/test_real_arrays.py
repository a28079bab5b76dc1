"""Real CEL files from a sample sheet to SQL, through Dagster, beside what R's SCAN.UPC made.

All experiments are processed once; the tests ask what became of them. A stand-in maps
HG_U95Av2 to genes (see the shared data), BrainArray's own text HG-Focus; the sequences of
HG-Focus are synthetic, as no public file has them.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_sources import read_gene_map, read_probes
from refinebio_assets.microarray.scan import SCANFAST
from refinebio_assets.partitions import register_platforms
from refinebio_assets.resources.registry import register_references
from refinebio_assets.running import BatchResult, run_job
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.end_to_end.conftest import Laboratory
from refinebio_assets_tests.resources.test_r_scan import install_summary_package, needs
from refinebio_assets_tests.synthetic import write_sheet
from refinebio_assets_tests.synthetic_arrays import write_platforms

SUMMARY_PACKAGE = "hgu95av2hsensgprobe"
PROBE_TAB = "affymetrix/annotation/HG-U95Av2_probe_tab.gz"
STAND_IN = "scan/hgu95av2_gene_map.parquet"
FOCUS_PROBES = "scan/HG-Focus-1-121502_synthetic/probes.parquet"
FOCUS_GENES = "affymetrix/annotation/HGFocus_Hs_ENSG_mapping.txt.gz"
FOCUS_V4 = "affymetrix/HG-Focus/sample01.CEL"

# Sample, file, and the platform that its sheet states.
ARRAYS = {
    "VECTORS": [
        ("C30057", "affymetrix/single/C30057.CEL.gz", "GPL8300"),
        ("CL2001032020AA", "affymetrix/single/CL2001032020AA.cel", "GPL8300"),
        ("labelled-570", "affymetrix/GSE12654/GSM317652.CEL.gz", "GPL570"),
    ],
    "GSE12654": [
        (f"GSM{number}", f"affymetrix/GSE12654/GSM{number}.CEL.gz", "GPL8300")
        for number in range(317649, 317655)
    ],
    "FOCUS": [
        ("calvin", "affymetrix/HG-Focus/HG-Focus-1-121502.CEL", "GPL201"),
        ("v4", FOCUS_V4, "GPL201"),
    ],
    "ODD": [
        ("cut-by-nature", "affymetrix/broken/GSM306831.part.CEL.gz", "GPL1319"),
        ("cut-text", "cut-text.CEL.gz", "GPL8300"),
        ("cut-stream", "cut-stream.CEL.gz", "GPL8300"),
        ("cut-calvin", "cut-calvin.CEL", "GPL201"),
        ("waits", "affymetrix/single/97_(Mouse430_2).CEL.gz", "GPL8300"),
        ("good", "affymetrix/single/C30057.CEL.gz", "GPL8300"),
    ],
}
VECTOR_OF = {
    ("VECTORS", "C30057"): "C30057",
    ("VECTORS", "CL2001032020AA"): "CL2001032020AA",
    ("VECTORS", "labelled-570"): "GSM317652",
    ("GSE12654", "GSM317652"): "GSM317652",
    ("FOCUS", "calvin"): "HG-Focus-1-121502_synthetic",
    ("ODD", "good"): "C30057",
}


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A home with the annotation of two chips and the experiments registered."""
    folder = tmp_path_factory.mktemp("real_arrays")
    (folder / "home").mkdir()
    (folder / "inputs").mkdir()
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("REFINEBIO_HOME", str(folder / "home"))
        laboratory = Laboratory(folder / "home", folder / "inputs", instance)
        # The R engine learns from this name which package it is to summarise by.
        genes = laboratory.inputs / f"{SUMMARY_PACKAGE}_standin.parquet"
        genes.symlink_to(shared_data(STAND_IN))
        annotate(
            laboratory,
            {
                "hgu95av2": {"probes": str(shared_data(PROBE_TAB)), "genes": str(genes)},
                "hgfocus": {
                    "probes": str(shared_data(FOCUS_PROBES)),
                    "genes": str(shared_data(FOCUS_GENES)),
                },
            },
        )
        laboratory.survey(write_inputs(laboratory.inputs))
        yield laboratory


def annotate(laboratory: Laboratory, platforms: dict[str, dict[str, str]]) -> None:
    catalogue = write_platforms(laboratory.inputs / "platforms.yaml", platforms)
    register_references(laboratory.storage, str(catalogue))
    register_platforms(laboratory.instance, platforms)
    for platform in platforms:
        [batch] = run_job(laboratory.instance, "annotate_platforms", [platform])
        assert batch.errors == []


def write_inputs(folder: Path) -> Path:
    """The sample sheet, and the files that were not cut by nature."""
    whole = shared_data("affymetrix/single/C30057.CEL.gz").read_bytes()
    text = gzip.decompress(whole)
    (folder / "cut-text.CEL.gz").write_bytes(gzip.compress(text[: len(text) // 2], 1))
    (folder / "cut-stream.CEL.gz").write_bytes(whole[:-1000])
    calvin = shared_data("affymetrix/HG-Focus/HG-Focus-1-121502.CEL").read_bytes()
    (folder / "cut-calvin.CEL").write_bytes(calvin[: len(calvin) // 2])
    rows = [
        {
            "experiment": experiment,
            "sample": sample,
            "organism": "Homo sapiens",
            "technology": "MICROARRAY",
            "platform": platform,
            "files": str(shared_data(file)) if "/" in file else file,
        }
        for experiment, samples in ARRAYS.items()
        for sample, file, platform in samples
    ]
    return write_sheet(folder / "arrays.tsv", rows)


@pytest.fixture(scope="module")
def processed(laboratory: Laboratory) -> Laboratory:
    """All experiments, processed, and the catalogue."""
    batches = laboratory.process(*ARRAYS, parallel_samples=2)
    assert [error for batch in batches for error in batch.errors] == []
    [batch] = run_job(laboratory.instance, "build_warehouse", [])
    assert batch.errors == []
    return laboratory


def values_of(laboratory: Laboratory, experiment: str, sample: str) -> pl.DataFrame:
    [path] = laboratory.storage.expression_files("MICROARRAY", experiment)
    found = pl.read_parquet(path).filter(pl.col("sample") == sample)
    return found.select("gene", "value").sort("gene")


def reference(array: str, table: str = "genes") -> pl.DataFrame:
    """What SCAN.UPC made of the array."""
    path = shared_data(f"scan/{array}/{table}.tsv.gz")
    table = pl.read_csv(path, separator="\t", schema={"id": pl.String, "value": pl.Float64})
    return table.rename({"id": "gene"}).sort("gene")


def assert_float32_of(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """The same genes, and values that differ by float32's rounding and SCAN.UPC's own."""
    assert found["gene"].to_list() == expected["gene"].str.strip_suffix("_at").to_list()
    assert found["value"].dtype == pl.Float32
    np.testing.assert_allclose(
        found["value"].cast(pl.Float64), expected["value"], rtol=2**-24, atol=2e-8
    )


# --- values -------------------------------------------------------------------------------


@pytest.mark.parametrize(("experiment", "sample"), VECTOR_OF)
def test_genes_are_those_of_scan_upc(processed: Laboratory, experiment: str, sample: str) -> None:
    expected = reference(VECTOR_OF[experiment, sample])
    assert_float32_of(values_of(processed, experiment, sample), expected)


def test_values_can_be_asked_in_sql(processed: Laboratory) -> None:
    expected = reference("C30057")
    rows = processed.ask(
        "SELECT gene, value, organism, technology FROM expression "
        "WHERE experiment = 'VECTORS' AND sample = 'C30057' ORDER BY gene"
    )
    found = pl.DataFrame(
        [row[:2] for row in rows], schema={"gene": pl.String, "value": pl.Float32}, orient="row"
    )
    assert_float32_of(found, expected)
    assert {row[2:] for row in rows} == {("HOMO_SAPIENS", "MICROARRAY")}
    assert processed.ask(
        "SELECT platform, has_annotation, num_probes, num_probe_sets, num_genes FROM platforms "
        "WHERE platform = 'hgu95av2'"
    ) == [("hgu95av2", True, 199_084, 12_453, len(expected))]


def test_a_v4_file_of_the_same_chip_goes_the_same_way(processed: Laboratory) -> None:
    model = ArrayModel.prepared(
        read_probes([shared_data(FOCUS_PROBES)]), read_gene_map(shared_data(FOCUS_GENES)), SCANFAST
    )
    expected = model.expression(read_cel(shared_data(FOCUS_V4)))
    found = values_of(processed, "FOCUS", "v4")
    assert found["gene"].to_list() == expected.names
    assert all(gene.startswith("ENSG") and not gene.endswith("_at") for gene in expected.names)
    np.testing.assert_array_equal(found["value"], expected.values.astype(np.float32))


# --- what was found out of each array -----------------------------------------------------


def test_arrays_say_what_they_are(processed: Laboratory) -> None:
    found = processed.ask(
        "SELECT experiment, sample, file_format, chip_type, platform, labelled_platform, method, "
        "feature, num_probes, converged FROM arrays "
        "WHERE experiment IN ('VECTORS', 'FOCUS') ORDER BY experiment, sample"
    )
    text, u95 = "CEL v3 text", ("HG_U95Av2", "hgu95av2")
    focus, scan = ("HG-Focus", "hgfocus", "GPL201"), ("SCANfast", "gene")
    assert found == [
        ("FOCUS", "calvin", "Command Console", *focus, *scan, 96_690, True),
        ("FOCUS", "v4", "CEL v4 binary", *focus, *scan, 96_690, True),
        ("VECTORS", "C30057", text, *u95, "GPL8300", *scan, 199_084, True),
        ("VECTORS", "CL2001032020AA", text, *u95, "GPL8300", *scan, 199_084, True),
        ("VECTORS", "labelled-570", text, *u95, "GPL570", *scan, 199_084, True),
    ]
    rounds = processed.ask("SELECT experiment, sample, iterations FROM arrays")
    of_r = {
        each: json.loads(shared_data(f"scan/{array}/fit.json").read_text())["iterations"]
        for each, array in VECTOR_OF.items()
    }
    assert of_r.items() <= {(experiment, sample): n for experiment, sample, n in rounds}.items()


def test_of_the_real_experiment_two_files_are_damaged(processed: Laboratory) -> None:
    rows = processed.ask(
        "SELECT sample, status, reason_code, reason, remedy FROM sample_status "
        "WHERE experiment = 'GSE12654' ORDER BY sample"
    )
    damaged = {"GSM317650": "five columns of a cell", "GSM317653": "is not a number"}
    for sample, status, code, reason, remedy in rows:
        if sample in damaged:
            assert (status, code) == ("failed", "invalid_cel")
            assert damaged[sample] in reason
            assert remedy
        else:
            assert (status, code) == ("processed", None)
    assert len(rows) == 6
    [path] = processed.storage.expression_files("MICROARRAY", "GSE12654")
    whole = sorted({sample for sample, *_ in rows} - damaged.keys())
    assert pl.read_parquet(path)["sample"].unique().sort().to_list() == whole
    correlations = processed.ask("SELECT correlation FROM arrays WHERE experiment = 'GSE12654'")
    assert len(correlations) == 4
    assert all(0.85 < correlation < 1 for (correlation,) in correlations)


def test_cut_files_and_arrays_without_annotation(processed: Laboratory) -> None:
    rows = processed.ask(
        "SELECT sample, status, reason_code FROM sample_status WHERE experiment = 'ODD'"
    )
    assert sorted(rows, key=lambda row: row[0]) == [
        ("cut-by-nature", "failed", "truncated_cel"),
        ("cut-calvin", "failed", "truncated_cel"),
        ("cut-stream", "failed", "unsupported_raw_file"),
        ("cut-text", "failed", "truncated_cel"),
        ("good", "processed", None),
        ("waits", "waiting", "missing_probe_annotation"),
    ]


def test_the_header_wins_over_the_label_and_a_check_says_so(processed: Laboratory) -> None:
    run_id = processed.ask("SELECT DISTINCT run_id FROM arrays WHERE experiment = 'VECTORS'")[0][0]
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    records = processed.instance.get_records_for_run(run_id, of_type=kind).records
    checks = {
        each.check_name: each
        for record in records
        if (each := record.event_log_entry.dagster_event.event_specific_data).asset_key
        == dg.AssetKey("microarray_expression")
    }
    mislabelled = checks["platform_as_labelled"]
    assert not mislabelled.passed
    assert mislabelled.severity == dg.AssetCheckSeverity.WARN
    assert "VECTORS, labelled-570: hgu95av2, labelled GPL570" in mislabelled.description
    assert "C30057" not in mislabelled.description
    assert not checks["all_samples_processed"].passed
    assert "GSE12654, GSM317653" in checks["all_samples_processed"].description
    for good in ("same_samples", "model_converged", "genes_covered", "not_saturated"):
        assert checks[good].passed


# --- R's own SCAN.UPC ---------------------------------------------------------------------


@pytest.fixture
def with_scan_upc(processed: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """One array, to be processed by R, with a summary package made of the stand-in."""
    pytest.importorskip("rpy2.rinterface_lib")
    needs("SCAN.UPC", "pd.hg.u95av2")
    library = processed.home.parent / "r_library"
    library.mkdir()
    install_summary_package(SUMMARY_PACKAGE, pl.read_parquet(shared_data(STAND_IN)), library)
    monkeypatch.setenv("R_LIBS", os.pathsep.join([str(library), os.environ.get("R_LIBS", "")]))
    row = {
        "experiment": "IN-R",
        "sample": "C30057",
        "organism": "Homo sapiens",
        "technology": "MICROARRAY",
        "files": str(shared_data("affymetrix/single/C30057.CEL.gz")),
    }
    processed.survey(write_sheet(processed.inputs / "in_r.tsv", [row]))
    return processed


@pytest.mark.slow
def test_r_does_the_same_through_dagster(with_scan_upc: Laboratory) -> None:
    laboratory = with_scan_upc

    def engine() -> tuple[str, str, bool]:
        [row] = laboratory.ask(
            "SELECT engine, feature, iterations IS NULL FROM arrays WHERE experiment = 'IN-R'"
        )
        return row

    assert errors_of(laboratory.process("IN-R", scan_engine="r")) == []
    assert engine() == ("R SCAN.UPC", "gene", True)
    assert_float32_of(values_of(laboratory, "IN-R", "C30057"), reference("C30057"))

    assert errors_of(laboratory.process("IN-R")) == []  # another engine: done anew
    assert engine() == ("refinebio_assets", "gene", False)

    annotate(laboratory, {"hgu95av2": {"probes": str(shared_data(PROBE_TAB))}})
    assert errors_of(laboratory.process("IN-R", scan_engine="r")) == []
    assert engine() == ("R SCAN.UPC", "probe set", True)
    found = values_of(laboratory, "IN-R", "C30057")
    expected = reference("C30057", "probesets")
    assert found["gene"].to_list() == expected["gene"].to_list()
    np.testing.assert_allclose(found["value"], expected["value"], rtol=2**-23, atol=2e-8)


def errors_of(batches: list[BatchResult]) -> list[str]:
    return [error for batch in batches for error in batch.errors]
