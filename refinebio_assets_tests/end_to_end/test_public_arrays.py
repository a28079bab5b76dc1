"""Arrays of GEO and ArrayExpress from their records to SQL, over the real HTTP client.

A server on this machine stands in for the archives. The records are real; the intensities
and tables that they name are invented.
"""

from __future__ import annotations

import gzip
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pytest

from refinebio_assets.definitions import defs
from refinebio_assets.dispatcher import dispatcher
from refinebio_assets.errors import DiskFull
from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_sources import read_gene_map, read_probes
from refinebio_assets.microarray.scan import SCANFAST
from refinebio_assets.partitions import (
    RANGE_START,
    register_experiments,
    register_organisms,
    register_platforms,
)
from refinebio_assets.resources import archives, registry
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.registry import register_references
from refinebio_assets.resources.storage import Storage
from refinebio_assets.running import run_job
from refinebio_assets.sources import geo
from refinebio_assets.sources.records import Experiment
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.end_to_end.test_kill import KILL_BEFORE_RENAME_OF
from refinebio_assets_tests.replay import Replay
from refinebio_assets_tests.replay import replay_fixture as replay_fixture
from refinebio_assets_tests.sources.test_arrayexpress import PLACE, recorded
from refinebio_assets_tests.synthetic import write_pair, write_sheet
from refinebio_assets_tests.synthetic_arrays import (
    Chip,
    make_bead_annotation,
    make_chip,
    write_bead_table,
    write_cel,
    write_platforms,
)

CHIPS = {
    "hgu133a": "HG-U133A",
    "hgu133b": "HG-U133B",
    "moe430a": "MOE430A",
    "moe430b": "MOE430B",
    "hgu95av2": "HG_U95Av2",
}
HERE = "https://arrays.example.org"
IMPATIENT = {"first_wait": 0.01, "attempts": 3}


@pytest.fixture(scope="session")
def chip(tmp_path_factory: pytest.TempPathFactory) -> Chip:
    """The probes of all the chip types: an invented array does not care."""
    return make_chip(tmp_path_factory.mktemp("public_chip"), "HG-U133A")


@pytest.fixture(scope="session")
def annotated_home(built_home: Path, chip: Chip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References, and the annotation of four Affymetrix arrays and a bead array."""
    home = tmp_path_factory.mktemp("annotated")
    shutil.copytree(built_home / "home", home / "home")
    beads = {"illuminaHumanv2": {"probes": str(make_bead_annotation(home))}}
    names = ("hgu133a", "moe430a", "mgu74av2", "hgu95av2")
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("REFINEBIO_HOME", str(home / "home"))
        annotate(instance, Storage(), home, {name: of_chip(chip) for name in names} | beads)
    return home


@pytest.fixture
def arrays(
    annotated_home: Path, replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Laboratory]:
    """An installation that knows arrays and organisms, and reads the replay server."""
    shutil.copytree(annotated_home / "home", tmp_path / "home")
    monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "home"))
    (tmp_path / "inputs").mkdir()
    with dg.instance_for_test() as instance:
        register_organisms(instance, ["HOMO_SAPIENS"])
        yield Laboratory(tmp_path / "home", tmp_path / "inputs", instance)


def of_chip(chip: Chip) -> dict[str, str]:
    return {"probes": str(chip.probe_tab), "genes": str(chip.gene_map)}


def annotate(
    instance: dg.DagsterInstance,
    storage: Storage,
    folder: Path,
    platforms: dict[str, dict[str, str]],
) -> None:
    catalogue = write_platforms(folder / "platforms.yaml", platforms)
    register_references(storage, str(catalogue))
    register_platforms(instance, platforms)
    for platform in platforms:
        [batch] = run_job(instance, "annotate_platforms", [platform])
        assert batch.errors == []


def survey(laboratory: Laboratory, accession: str) -> Experiment:
    found = registry.survey(laboratory.storage, accession, Http(first_wait=0.01))
    register_experiments(laboratory.instance, [found])
    [batch] = run_job(laboratory.instance, "survey_experiments", [accession])
    assert batch.errors == []
    return found


def process(
    laboratory: Laboratory, experiment: str, downloads: Mapping[str, Any] = IMPATIENT, **config: Any
) -> bool:
    """Run the experiment's stages with a client that does not wait long; whether all went well."""
    settings = {"retry_seconds": 0, **config}
    return (
        defs.resolve_job_def("process_experiments")
        .execute_in_process(
            instance=laboratory.instance,
            partition_key=experiment,
            run_config={
                "loggers": {"console": {}},
                "ops": {"experiments": {"config": settings}},
            },
            resources={**defs.resources, "downloads": Downloads(**downloads)},
            raise_on_error=False,
        )
        .success
    )


def sheet(laboratory: Laboratory, files: Mapping[str, str], experiment: str = "LAB-1") -> None:
    rows = [
        {
            "experiment": experiment,
            "sample": sample,
            "organism": "Homo sapiens",
            "technology": "MICROARRAY",
            "platform": "GPL96",
            "files": file,
        }
        for sample, file in files.items()
    ]
    laboratory.survey(write_sheet(laboratory.inputs / "arrays.tsv", rows))


def cel(chip: Chip, folder: Path, seed: int, platform: str = "hgu133a") -> bytes:
    """The content of an invented CEL file, gzipped."""
    path = write_cel(folder / f"{seed}.CEL", chip, seed=seed, chip_type=CHIPS[platform])
    return gzip.compress(path.read_bytes(), 1)


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w", link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link is not None:
            member = tarfile.TarInfo("link.CEL")
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
    return buffer.getvalue()


def family(series: str, columns: Mapping[str, list[str]], tables: Mapping[str, bytes]) -> bytes:
    """A family archive of GEO: a document with the columns' names, and tables without."""
    records = []
    for sample, names in columns.items():
        described = "".join(
            f'<Column position="{at}"><Name>{name}</Name></Column>'
            for at, name in enumerate(names, 1)
        )
        records.append(
            f'<Sample iid="{sample}"><Title>{sample}</Title><Data-Table>{described}'
            f'<External-Data rows="1">{sample}-tbl-1.txt</External-Data></Data-Table></Sample>'
        )
    document = (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        '<MINiML xmlns="http://www.ncbi.nlm.nih.gov/geo/info/MINiML" version="0.5.0">'
        f"{''.join(records)}</MINiML>"
    )
    files = {f"{sample}-tbl-1.txt": content for sample, content in tables.items()}
    return tarred({f"{series}_family.xml": document.encode(), **files}, "w:gz")


def values_of(probe_sets: int, plus: float, *more: str) -> bytes:
    """A table without a header: probe sets, and the number of each as its value."""
    rest = "".join(f"\t{each}" for each in more)
    return "".join(f"{at}_at\t{at + plus}{rest}\n" for at in range(probe_sets)).encode()


def asked(replay: Replay) -> Counter[str]:
    """How often each file of data was asked for; records are read anew by every run."""
    data = (".CEL.gz", ".zip", ".tar", ".tar.gz", ".tgz", "normalized.txt.gz")
    return Counter(url for url in replay.urls() if url.endswith(data))


def copies(laboratory: Laboratory, experiment: str) -> list[str]:
    """The fetched files of an experiment that are there: neither manifests nor lists."""
    found = (laboratory.home / "raw" / experiment).rglob("*")
    return sorted(each.name for each in found if each.is_file() and each.suffix != ".json")


def look(laboratory: Laboratory, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask the catalogue as it is; `Laboratory.ask` and `statuses` build it anew."""
    with duckdb.connect(laboratory.storage.catalogue(), read_only=True) as database:
        return database.execute(sql, values).fetchall()


def expression(laboratory: Laboratory, sample: str) -> dict[str, float]:
    return dict(look(laboratory, "SELECT gene, value FROM expression WHERE sample = ?", sample))


@cache
def model(probe_tab: Path, gene_map: Path) -> ArrayModel:
    return ArrayModel.prepared(read_probes([probe_tab]), read_gene_map(gene_map), SCANFAST)


def expected(chip: Chip, path: Path) -> dict[str, float]:
    found = model(chip.probe_tab, chip.gene_map).expression(read_cel(path))
    return dict(zip(found.names, found.values, strict=True))


def assert_values(found: Mapping[str, float], wanted: Mapping[str, float]) -> None:
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose([found[gene] for gene in wanted], list(wanted.values()), rtol=1e-5)


# --- GEO ------------------------------------------------------------------------------


def test_a_series_of_four_chips_over_a_bad_network(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path
) -> None:
    replay.add(geo.family_url("GSE3791"), shared_data("geo/soft/GSE3791_family.soft.gz"))
    series = survey(arrays, "GSE3791")
    url = {}
    for number, sample in enumerate(series.samples):
        [file] = [file for file in sample.files if ".CEL" in file.filename]
        url[sample.sample] = file.source_url
        replay.add(file.source_url, cel(chip, tmp_path / "cels", number, sample.platform or ""))
    by_chip = {
        name: [sample.sample for sample in series.samples if sample.platform == name]
        for name in CHIPS
    }
    busy, cut, absent = by_chip["hgu133a"]
    page, slow, wrong = by_chip["moe430a"]
    replay.fail(url[busy], "status", status=429, headers={"Retry-After": "0"})
    replay.fail(url[busy], "reset")
    replay.fail(url[cut], "truncated")
    replay.fail(url[absent], "status", times=100, status=404)
    replay.fail(url[page], "html", times=2)
    replay.fail(url[slow], "slow", seconds=0.3)
    replay.fail(url[wrong], "html", times=100)
    assert process(arrays, "GSE3791")
    unannotated = ("waiting", "missing_probe_annotation")
    assert arrays.statuses() == {
        **dict.fromkeys((busy, cut, page, slow), ("processed", None)),
        absent: ("failed", "raw_file_missing"),
        wrong: ("waiting", "download_failed"),
        **dict.fromkeys(by_chip["hgu133b"] + by_chip["moe430b"], unannotated),
    }
    [(reason,)] = look(arrays, "SELECT reason FROM sample_status WHERE sample = ?", absent)
    assert url[absent] in reason
    resumed = [each.headers for each in replay.asked if each.url == url[cut]]
    assert ["Range" in headers for headers in resumed] == [False, True]
    assert_values(expression(arrays, cut), expected(chip, tmp_path / "cels" / "2.CEL"))
    # copies of what is processed are dropped; those of what waits are not
    waiting = by_chip["hgu133b"] + by_chip["moe430b"]
    assert copies(arrays, "GSE3791") == sorted(f"{name}.CEL.gz" for name in waiting)
    replay.asked.clear()
    process(arrays, "GSE3791")
    assert asked(replay).keys() == {url[absent], url[wrong]}
    # once the chip is annotated, the dispatcher starts the experiment again
    annotate(arrays.instance, arrays.storage, arrays.inputs, {"hgu133b": of_chip(chip)})
    replay.asked.clear()
    _dispatch(arrays, "GSE3791")
    assert not {url[name] for name in waiting} & asked(replay).keys()
    statuses = arrays.statuses()
    assert {statuses[name] for name in by_chip["hgu133b"]} == {("processed", None)}
    assert {statuses[name] for name in by_chip["moe430b"]} == {unannotated}


def _dispatch(laboratory: Laboratory, experiment: str) -> None:
    """Tick, rebuild the catalogue if that is asked for, and launch the run that is due."""
    for _ in range(2):
        context = dg.build_sensor_context(
            instance=laboratory.instance, definitions=defs, resources=defs.resources
        )
        [request] = dispatcher.evaluate_tick(context).run_requests
        if request.job_name == "build_warehouse":
            list(run_job(laboratory.instance, "build_warehouse", []))
            continue
        assert request.tags[RANGE_START] == experiment
        config = request.run_config["ops"]["experiments"]["config"]
        process(laboratory, experiment, **config)
        return
    raise AssertionError("nothing but the catalogue was asked for")


def test_what_another_annotation_makes_stale_is_dispatched(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path
) -> None:
    replay.add(f"{HERE}/a.CEL.gz", cel(chip, tmp_path / "cels", 1))
    sheet(arrays, {"a": f"{HERE}/a.CEL.gz"})
    assert process(arrays, "LAB-1")
    assert arrays.statuses() == {"a": ("processed", None)}
    assert len(expression(arrays, "a")) == len(chip.genes)
    fewer = arrays.inputs / "fewer.tsv"
    rows = chip.gene_map.read_text().splitlines(keepends=True)
    fewer.write_text(rows[0] + "".join(row for row in rows[1:] if not row.endswith("0\n")))
    annotate(
        arrays.instance,
        arrays.storage,
        arrays.inputs,
        {"hgu133a": {**of_chip(chip), "genes": str(fewer)}},
    )
    _dispatch(arrays, "LAB-1")
    assert arrays.statuses() == {"a": ("processed", None)}
    assert len(expression(arrays, "a")) == sum(not gene.endswith("0") for gene in chip.genes)
    assert asked(replay) == {f"{HERE}/a.CEL.gz": 2}  # it had been dropped


def test_a_series_without_raw_files_has_its_own_values(
    arrays: Laboratory, replay: Replay, chip: Chip
) -> None:
    replay.add(geo.family_url("GSE1623"), shared_data("geo/soft/GSE1623_family.soft.txt.gz"))
    series = survey(arrays, "GSE1623")
    names = [sample.sample for sample in series.samples]
    assert len(names) == 8
    columns = {name: ["ID_REF", "VALUE"] for name in names}
    columns[names[1]] = ["ID_REF", "ABS_CALL", "VALUE", "DETECTION P-VALUE"]
    tables = {name: values_of(600, at / 10) for at, name in enumerate(names)}
    tables[names[1]] = "".join(f"{at}_at\tP\t{at}.25\t0.01\n" for at in range(600)).encode()
    tables[names[2]] = b"no_such_1\t1\nno_such_2\t2\n"
    del tables[names[-1]]
    url = geo.miniml_url("GSE1623")
    replay.add(url, family("GSE1623", columns, tables))
    assert process(arrays, "GSE1623")
    assert arrays.statuses() == {
        **dict.fromkeys(names[:-1], ("processed", None)),
        names[2]: ("failed", "identifiers_not_recognised"),
        names[-1]: ("failed", "raw_file_missing"),
    }
    assert asked(replay)[url] == 1
    for at, name in ((0, names[0]), (2.5, names[1]), (3, names[3])):
        wanted = {gene: number + at / 10 for number, gene in enumerate(chip.genes)}
        assert_values(expression(arrays, name), wanted)
    assert look(arrays, "SELECT DISTINCT organism, method, platform FROM arrays") == [
        ("MUS_MUSCULUS", "submitter-processed", "mgu74av2")
    ]
    assert copies(arrays, "GSE1623") == []


SOFT = """^SERIES = GSE900001
!Series_title = Invented
!Series_geo_accession = GSE900001
!Series_sample_id = GSM900001
!Series_sample_id = GSM900002
!Series_sample_id = GSM900003
^PLATFORM = GPL96
!Platform_title = [HG-U133A] Affymetrix Human Genome U133A Array
"""
RECORD = """^SAMPLE = {0}
!Sample_title = {0}
!Sample_geo_accession = {0}
!Sample_channel_count = 1
!Sample_organism_ch1 = Homo sapiens
!Sample_data_processing = RMA
!Sample_platform_id = GPL96
!Sample_supplementary_file = {1}
!Sample_data_row_count = 600
"""


@pytest.mark.parametrize("damage", ["cut", "no document"])
def test_a_damaged_family_costs_only_those_that_need_it(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path, damage: str
) -> None:
    own = f"{geo.folder_url('GSM900001')}/suppl/GSM900001.CEL.gz"
    with_tables = ("GSM900002", "GSM900003")
    records = [RECORD.format("GSM900001", own)]
    records += [RECORD.format(name, "NONE") for name in with_tables]
    replay.add(geo.family_url("GSE900001"), gzip.compress((SOFT + "".join(records)).encode()))
    replay.add(own, cel(chip, tmp_path / "cels", 1))
    survey(arrays, "GSE900001")
    tables = {name: values_of(600, 0) for name in with_tables}
    good = family("GSE900001", {name: ["ID_REF", "VALUE"] for name in tables}, tables)
    bad = {
        "cut": good[: len(good) // 2],
        "no document": tarred({"GSM900002-tbl-1.txt": b"1\t2\n"}, "w:gz"),
    }[damage]
    replay.add(geo.miniml_url("GSE900001"), bad)
    process(arrays, "GSE900001")
    bad_status = ("failed", "unsupported_raw_file")
    assert arrays.statuses() == {
        "GSM900001": ("processed", None),
        **dict.fromkeys(with_tables, bad_status),
    }
    assert copies(arrays, "GSE900001") == []
    if damage == "cut":  # the source has mended it
        replay.add(geo.miniml_url("GSE900001"), good)
        process(arrays, "GSE900001")
        assert set(arrays.statuses().values()) == {("processed", None)}
        assert asked(replay)[own] == 1


def test_a_bead_series_with_one_table_for_all(
    arrays: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    replay.add(geo.family_url("GSE26927"), shared_data("geo/soft/GSE26927.soft.gz"))
    series = survey(arrays, "GSE26927")
    [url] = {file.source_url for sample in series.samples for file in sample.files}
    assert url.endswith("/GSE26927_non-normalized.txt.gz")
    assert len(series.samples) == 118
    here, absent = series.samples[:8], series.samples[8:]
    titles = [sample.title or "" for sample in reversed(here)]
    table = write_bead_table(tmp_path / "table.txt", titles)
    replay.add(url, gzip.compress(table.read_bytes()))
    replay.fail(url, "truncated")
    assert process(arrays, "GSE26927")
    assert arrays.statuses() == {
        **{sample.sample: ("processed", None) for sample in here},
        **{sample.sample: ("failed", "sample_not_in_table") for sample in absent},
    }
    assert asked(replay)[url] == 2  # once, in two parts
    assert look(
        arrays,
        "SELECT DISTINCT platform, method, labelled_platform, background_corrected FROM arrays",
    ) == [("illuminaHumanv2", "Illumina SCAN", "Illumina_HumanRef-8_v2.0", True)]
    assert look(arrays, "SELECT count(DISTINCT sample), count(DISTINCT gene) FROM expression") == [
        (8, 1_000)
    ]
    assert copies(arrays, "GSE26927") == []


# --- ArrayExpress ---------------------------------------------------------------------


def _serve_study(replay: Replay, accession: str) -> None:
    for url, body in recorded(accession).pages.items():
        replay.add(url, body)


def test_a_study_with_a_raw_archive(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path
) -> None:
    _serve_study(replay, "E-MTAB-3050")
    study = survey(arrays, "E-MTAB-3050")
    names = [sample.files[0].filename for sample in study.samples]
    assert names == [f"C{number}.CEL" for number in range(30057, 30062)]
    made = [cel(chip, tmp_path / "cels", number, "hgu95av2") for number in range(4)]
    plain = [gzip.decompress(each) for each in made]
    archive = zipped(
        {
            "readme.txt": b"hello",
            "E-MTAB-3050/batch 1/c30057.cel": plain[0],
            "E-MTAB-3050/C30058.CEL.gz": made[1],
            "more.zip": zipped({"deep/C30059.CEL": plain[2]}),
            "one/C30060.CEL": plain[3],
            "two/C30060.CEL": plain[0],
        }
    )
    url = f"{PLACE}/Files/E-MTAB-3050.raw.1.zip"
    replay.add(url, archive)
    replay.fail(url, "truncated")
    assert process(arrays, "E-MTAB-3050", keep_raw=True)
    samples = [sample.sample for sample in study.samples]
    good = dict.fromkeys(samples[:3], ("processed", None))
    bad = dict.fromkeys(samples[3:], ("failed", "raw_file_missing"))
    assert arrays.statuses() == {**good, **bad}
    for number, sample in enumerate(good):
        assert_values(
            expression(arrays, sample), expected(chip, tmp_path / "cels" / f"{number}.CEL")
        )
    assert asked(replay)[url] == 2
    kept = copies(arrays, "E-MTAB-3050")
    assert {"c30057.cel", "C30058.CEL", "C30059.CEL"} <= {*kept}
    replay.asked.clear()
    assert process(arrays, "E-MTAB-3050", keep_raw=True)
    assert not asked(replay)
    assert copies(arrays, "E-MTAB-3050") == kept
    process(arrays, "E-MTAB-3050")
    assert not asked(replay)
    assert copies(arrays, "E-MTAB-3050") == []
    assert arrays.statuses() == {**good, **bad}


def test_a_study_of_processed_tables(arrays: Laboratory, replay: Replay) -> None:
    _serve_study(replay, "E-GEOD-44719")
    study = survey(arrays, "E-GEOD-44719")
    [url] = {file.source_url for sample in study.samples for file in sample.files}
    assert url.endswith("/E-GEOD-44719.processed.1.zip")
    rows = "".join(f"ILMN_{number}\t{number / 8}\t0.01\n" for number in range(2_000))
    table = f"ID_REF\tVALUE\tDetection Pval\n{rows}".encode()
    names = {sample.sample: sample.files[0].filename for sample in study.samples}
    files = {f"E-GEOD-44719.processed.1/{name}": table for name in names.values()}
    good, odd, *_ = names
    files[f"E-GEOD-44719.processed.1/{names[odd]}"] = b"\x89PNG\0\0\0"
    replay.add(url, zipped(files))
    assert process(arrays, "E-GEOD-44719")
    assert arrays.statuses() == {
        **dict.fromkeys(names, ("processed", None)),
        odd: ("failed", "unsupported_raw_file"),
    }
    assert asked(replay)[url] == 1
    wanted = {f"ENSG{number:011d}": number / 4 + 1 / 16 for number in range(1_000)}
    assert_values(expression(arrays, good), wanted)


# --- archives -------------------------------------------------------------------------


def _nested(levels: int) -> bytes:
    content, name = b"x" * 100, "x.CEL"
    for level in range(levels):
        content, name = zipped({name: content}), f"{level}.zip"
    return content


def test_hostile_archives_cost_their_samples_only(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path
) -> None:
    inside = cel(chip, tmp_path / "cels", 1)
    served = {
        "above.tar": tarred({"above.CEL.gz": inside, "../../../../evil.CEL": b"evil"}),
        "absolute.zip": zipped({"absolute.CEL.gz": inside, f"{tmp_path}/evil.CEL": b"evil"}),
        "linked.tgz": tarred({"linked.CEL.gz": inside}, "w:gz", link="/etc/passwd"),
        "bomb.zip": zipped({"bomb.CEL": bytes(30_000_000)}),
        "bomb.tar.gz": tarred({"bomb2.CEL": bytes(30_000_000)}, "w:gz"),
        "deep.zip": _nested(8),
        "cut.zip": zipped({"cut.CEL.gz": inside})[:-100],
        "page.zip": b"<html>gone</html>",
        "good.zip": zipped({"some/good.CEL.gz": inside}),
    }
    for name, content in served.items():
        replay.add(f"{HERE}/{name}", content)
    replay.add(f"{HERE}/own.CEL.gz", inside)
    files = {name.replace(".", "-"): f"{HERE}/{name}" for name in (*served, "own.CEL.gz")}
    sheet(arrays, files)
    assert process(arrays, "LAB-1", {**IMPATIENT, "max_bytes": 20_000_000})
    bad = [name.replace(".", "-") for name in served if name != "good.zip"]
    assert arrays.statuses() == {
        **dict.fromkeys(bad, ("failed", "unsupported_raw_file")),
        "good-zip": ("processed", None),
        "own-CEL-gz": ("processed", None),
    }
    assert not list(tmp_path.rglob("evil*"))
    assert not [each for each in tmp_path.rglob("*") if each.is_symlink()]
    assert copies(arrays, "LAB-1") == []
    assert not list((arrays.home / "staging").iterdir())
    assert max(each.stat().st_size for each in arrays.home.rglob("*")) < 20_000_000


def test_a_name_that_begins_another_is_not_that_one(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path
) -> None:
    made = {seed: cel(chip, tmp_path / "cels", seed) for seed in (12, 123, 1234)}
    files = {f"GSM{seed}_x.CEL.gz": content for seed, content in reversed(made.items())}
    replay.add(f"{HERE}/RAW.tar", tarred({**files, "GSM12345.CEL.gz": made[12]}))
    sheet(arrays, dict.fromkeys(("GSM1", "GSM12", "GSM123", "GSM1234"), f"{HERE}/RAW.tar"))
    process(arrays, "LAB-1")
    assert arrays.statuses()["GSM1"] == ("failed", "raw_file_missing")
    for seed in made:
        wanted = expected(chip, tmp_path / "cels" / f"{seed}.CEL")
        assert_values(expression(arrays, f"GSM{seed}"), wanted)


# --- interruptions --------------------------------------------------------------------


def test_killed_between_fetching_and_the_manifest(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path
) -> None:
    made = {name: cel(chip, tmp_path / "cels", at) for at, name in enumerate(("a", "b", "c"))}
    replay.add(f"{HERE}/a.CEL.gz", made["a"])
    replay.add(f"{HERE}/bc.zip", zipped({"b.CEL.gz": made["b"], "c.CEL.gz": made["c"]}))
    sheet(arrays, {"a": f"{HERE}/a.CEL.gz", "b": f"{HERE}/bc.zip", "c": f"{HERE}/bc.zip"})
    script = KILL_BEFORE_RENAME_OF.format(name="raw.json", folder="")
    killed = subprocess.run(
        [sys.executable, "-c", script, "process", "LAB-1"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not list((arrays.home / "raw").rglob("raw.json"))
    assert asked(replay) == {f"{HERE}/a.CEL.gz": 1, f"{HERE}/bc.zip": 1}
    assert process(arrays, "LAB-1")
    assert arrays.statuses() == dict.fromkeys("abc", ("processed", None))
    assert asked(replay) == {f"{HERE}/a.CEL.gz": 1, f"{HERE}/bc.zip": 1}
    assert copies(arrays, "LAB-1") == []
    assert not list((arrays.home / "staging").iterdir())


def test_an_archive_that_found_no_room_is_not_fetched_again(
    arrays: Laboratory,
    replay: Replay,
    chip: Chip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replay.add(f"{HERE}/a.zip", zipped({"a.CEL.gz": cel(chip, tmp_path / "cels", 1)}))
    sheet(arrays, {"a": f"{HERE}/a.zip"})
    unpack, tries = archives.unpack, []

    def full_at_first(*args: Any, **limits: Any) -> list[Path]:
        tries.append(1)
        if len(tries) == 1:
            raise DiskFull("No space left.")
        return unpack(*args, **limits)

    monkeypatch.setattr(archives, "unpack", full_at_first)
    assert process(arrays, "LAB-1")
    assert arrays.statuses() == {"a": ("processed", None)}
    assert (len(tries), asked(replay)) == (2, {f"{HERE}/a.zip": 1})


def test_a_changed_copy_is_fetched_anew_with_its_archive(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path
) -> None:
    """What waits for its probes has a copy here, which nobody should change."""
    made = {name: cel(chip, tmp_path / "cels", at, "moe430b") for at, name in enumerate("ab")}
    replay.add(f"{HERE}/ab.tar", tarred({f"{name}.CEL.gz": made[name] for name in made}))
    sheet(arrays, dict.fromkeys("ab", f"{HERE}/ab.tar"))
    process(arrays, "LAB-1")
    waiting = ("waiting", "missing_probe_annotation")
    assert arrays.statuses() == dict.fromkeys("ab", waiting)
    [copy] = (arrays.home / "raw/LAB-1/_shared").rglob("a.CEL")
    copy.write_bytes(copy.read_bytes()[:-10])
    process(arrays, "LAB-1")
    assert arrays.statuses() == dict.fromkeys("ab", waiting)
    assert asked(replay) == {f"{HERE}/ab.tar": 2}
    annotate(arrays.instance, arrays.storage, arrays.inputs, {"moe430b": of_chip(chip)})
    assert process(arrays, "LAB-1")
    assert arrays.statuses() == dict.fromkeys("ab", ("processed", None))
    assert asked(replay) == {f"{HERE}/ab.tar": 2}


# --- both technologies ----------------------------------------------------------------


@pytest.mark.parametrize("broken", ["MICROARRAY", "RNA-SEQ"])
def test_one_technology_fails_and_the_other_completes(
    arrays: Laboratory, replay: Replay, chip: Chip, tmp_path: Path, broken: str
) -> None:
    replay.add(f"{HERE}/a.CEL.gz", cel(chip, tmp_path / "cels", 1))
    for name in write_pair(arrays.inputs, "r", HUMAN, 400).split(";"):
        replay.add(f"{HERE}/{name}", arrays.inputs / name)
    reads = ";".join(f"{HERE}/r_{mate}.fastq.gz" for mate in (1, 2))
    rows = [
        {
            "experiment": "LAB-1",
            "sample": f"{technology}-{number}",
            "organism": "Homo sapiens",
            "technology": technology,
            "files": f"{HERE}/nowhere-{number}.{ending}" if technology == broken else files,
        }
        for technology, files, ending in (
            ("MICROARRAY", f"{HERE}/a.CEL.gz", "CEL"),
            ("RNA-SEQ", reads, "fastq.gz"),
        )
        for number in (1, 2)
    ]
    arrays.survey(write_sheet(arrays.inputs / "both.tsv", rows))
    process(arrays, "LAB-1")
    whole = "RNA-SEQ" if broken == "MICROARRAY" else "MICROARRAY"
    assert arrays.statuses() == {
        f"{technology}-{number}": (
            ("failed", "raw_file_missing") if technology == broken else ("processed", None)
        )
        for technology in (broken, whole)
        for number in (1, 2)
    }
    assert look(
        arrays, "SELECT technology, count(DISTINCT sample) FROM expression GROUP BY ALL"
    ) == [(whole, 2)]
