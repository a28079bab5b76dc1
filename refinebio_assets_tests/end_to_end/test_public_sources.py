"""GEO, SRA/ENA and ArrayExpress from their answers to SQL, over the real HTTP client.

A server on this machine stands in for the public internet. The GEO series and the
ArrayExpress study are real records; the ENA study is invented, so that its reads can be.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import dagster as dg
import pytest

from refinebio_assets.definitions import defs
from refinebio_assets.partitions import register_experiments
from refinebio_assets.resources import registry
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.http import Http
from refinebio_assets.running import run_job
from refinebio_assets.sensors import SENSORS
from refinebio_assets.sources import biostudies, ena, entrez, geo, sra
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.replay import Replay
from refinebio_assets_tests.replay import replay_fixture as replay_fixture
from refinebio_assets_tests.sources.test_arrayexpress import recorded
from refinebio_assets_tests.synthetic import write_pair

STUDY = "SRP900001"
VAULT = "ftp.sra.ebi.ac.uk/vol1/fastq/SRR900/00"


def _serve_geo(replay: Replay, series: str) -> None:
    replay.add(geo.family_url(series), shared_data(f"geo/soft/{series}.soft.gz"))


def _serve_arrayexpress(replay: Replay, accession: str) -> None:
    for url, body in recorded(accession).pages.items():
        replay.add(url, body)


def _serve_study(replay: Replay, folder: Path) -> dict[str, str]:
    """An ENA study of two runs; returns the URLs of its first mates."""
    fields = [*ena.INDISPENSABLE, *ena.ONE_OF, *ena.FILES, "library_layout", "study_title", "sex"]
    known = {"dataPortal": "ena", "result": "read_run", "format": "json"}
    answer = [{"columnId": name, "description": ""} for name in fields]
    replay.add(f"{ena.PORTAL}/returnFields?{urlencode(known)}", json.dumps(answer).encode())
    runs, first = [], {}
    for number in (1, 2):
        run = f"SRR900000{number}"
        names = write_pair(folder, run, HUMAN, 400, seed=number).split(";")
        files = [folder / name for name in names]
        places = [f"{VAULT}{number}/{run}/{file.name}" for file in files]
        for place, file in zip(places, files, strict=True):
            replay.add(f"https://{place}", file)
        first[run] = f"https://{places[0]}"
        runs.append(
            {
                "run_accession": run,
                "scientific_name": "Homo sapiens",
                "instrument_platform": "ILLUMINA",
                "instrument_model": "Illumina HiSeq 2500",
                "library_strategy": "RNA-Seq",
                "library_source": "TRANSCRIPTOMIC",
                "library_layout": "PAIRED",
                "secondary_study_accession": STUDY,
                "study_accession": "PRJNA900001",
                "study_title": "An invented study",
                "sex": "F",
                "fastq_ftp": ";".join(places),
                "fastq_md5": ";".join(_md5(file) for file in files),
                "fastq_bytes": ";".join(str(file.stat().st_size) for file in files),
            }
        )
    runs.append({**runs[0], "run_accession": "SRR9000003", "library_strategy": "ChIP-Seq"})
    fields_asked = ena.negotiate(fields).asked
    report = {"accession": STUDY, "result": "read_run", "fields": ",".join(fields_asked)}
    url = f"{ena.PORTAL}/filereport?{urlencode({**report, 'format': 'json'})}"
    replay.add(url, json.dumps(runs).encode())
    return first


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _survey(laboratory: Laboratory, *accessions: str) -> None:
    found = [
        registry.survey(laboratory.storage, each, Http(first_wait=0.01)) for each in accessions
    ]
    register_experiments(laboratory.instance, found)
    [batch] = run_job(
        laboratory.instance, "survey_experiments", [each.experiment for each in found]
    )
    assert batch.errors == []


def test_three_sources_are_surveyed_and_queried(
    laboratory: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    _serve_geo(replay, "GSE14618")
    _serve_arrayexpress(replay, "E-MTAB-3050")
    _serve_study(replay, tmp_path / "reads")
    replay.fail(geo.family_url("GSE14618"), "status", status=429, headers={"Retry-After": "0"})
    _survey(laboratory, "GSE14618", "E-MTAB-3050", STUDY)
    found = laboratory.ask(
        "SELECT experiment, source_database, num_samples > 0 FROM experiments ORDER BY experiment"
    )
    assert found == [
        ("E-MTAB-3050", "ARRAY_EXPRESS", True),
        ("GSE14618", "GEO", True),
        (STUDY, "SRA", True),
    ]
    # every sample has a row and, where it won't be processed, a reason
    assert laboratory.ask(
        "SELECT count(*) FROM samples ANTI JOIN sample_status USING (experiment, sample)"
    ) == [(0,)]
    assert laboratory.ask(
        "SELECT count(*) FROM sample_status WHERE status = 'skipped' AND reason_code IS NULL"
    ) == [(0,)]
    relations = laboratory.ask("SELECT relation, target FROM experiment_relations")
    assert ("superseries_of", "GSE14613") in relations
    assert ("bioproject", "PRJNA900001") in relations
    assert laboratory.ask("SELECT sex FROM samples WHERE sample = 'SRR9000001'") == [("female",)]
    assert laboratory.ask("SELECT count(*) FROM samples WHERE experiment = 'E-MTAB-3050'") == [(5,)]


def test_the_asset_says_what_was_kept_and_what_ena_no_longer_has(
    laboratory: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    _serve_study(replay, tmp_path / "reads")
    _survey(laboratory, STUDY)
    key = dg.AssetKey("experiment_metadata")
    event = laboratory.instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    said = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    index = json.loads((laboratory.home / "documents" / STUDY / "index.json").read_text())
    assert said["n_documents"] == len(index["documents"]) >= 2
    assert said["document_bytes"] == sum(each["bytes"] for each in index["documents"])
    assert said["n_documents_not_kept"] == 0
    assert "tissue_type" in str(said["missing_ena_fields"])
    assert "library_layout" not in str(said["missing_ena_fields"])


def test_reads_come_over_a_bad_network(
    laboratory: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    first = _serve_study(replay, tmp_path / "reads")
    _survey(laboratory, STUDY)
    replay.fail(first["SRR9000001"], "reset")
    replay.fail(first["SRR9000001"], "status", status=503, headers={"Retry-After": "0"})
    replay.fail(first["SRR9000002"], "truncated")
    [batch] = laboratory.process(STUDY)
    assert batch.errors == []
    assert laboratory.statuses() == {
        "SRR9000001": ("processed", None),
        "SRR9000002": ("processed", None),
        "SRR9000003": ("skipped", "not_rnaseq"),
    }
    assert not list((laboratory.home / "raw").rglob("*.fastq.gz"))  # dropped once processed


def test_a_source_that_was_down_is_tried_again_in_the_same_run(
    laboratory: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    first = _serve_study(replay, tmp_path / "reads")
    _survey(laboratory, STUDY)
    patience = {"attempts": 1, "first_wait": 0.0}
    for url in first.values():
        replay.fail(url, "status", status=503)
    elsewhere = [f"{sra.OPEN_DATA}/{run}/{run}" for run in first]
    for url in elsewhere:
        replay.fail(url, "status", status=503)
    job = defs.resolve_job_def("process_experiments")
    result = job.execute_in_process(
        instance=laboratory.instance,
        partition_key=STUDY,
        run_config={"ops": {"experiments": {"config": {"retry_seconds": 0}}}},
        resources={**defs.resources, "downloads": Downloads(**patience)},
    )
    assert result.success
    assert any(event.is_step_up_for_retry for event in result.all_events)
    assert laboratory.statuses()["SRR9000001"] == ("processed", None)


def test_a_run_that_ena_lacks_comes_from_the_open_data_bucket(
    laboratory: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    first = _serve_study(replay, tmp_path / "reads")
    _survey(laboratory, STUDY)
    replay.fail(first["SRR9000001"], "status", times=100, status=404)
    replay.add(f"{sra.OPEN_DATA}/SRR9000001/SRR9000001", shared_data("sra/mini_humanX.sra"))
    laboratory.process(STUDY)
    statuses = laboratory.statuses()
    assert statuses["SRR9000002"] == ("processed", None)
    # it was fetched and dumped; its real human reads don't fit the made-up transcriptome
    assert statuses["SRR9000001"] == ("failed", "reads_do_not_match_reference")


def test_the_canary_knows_a_changed_answer(laboratory: Laboratory, replay: Replay) -> None:
    brief = {"acc": "GSE2018", "targ": "self", "form": "text", "view": "brief"}
    replay.add(
        f"{geo.QUERY}?{urlencode(brief)}", b"^SERIES = GSE2018\n!Series_title = Lung transplant\n"
    )
    fields = {"dataPortal": "ena", "result": "read_run", "format": "json"}
    replay.add(f"{ena.PORTAL}/returnFields?{urlencode(fields)}", b'[{"columnId": "new_name"}]')
    job = defs.resolve_job_def("check_sources")
    result = job.execute_in_process(
        instance=laboratory.instance,
        resources={**defs.resources, "http": Http(attempts=1, first_wait=0.01)},
        raise_on_error=False,
    )
    checks = {
        each.asset_key.to_user_string(): each for each in result.get_asset_check_evaluations()
    }
    assert checks["geo"].passed
    assert not checks["ena"].passed
    assert checks["ena"].severity == dg.AssetCheckSeverity.ERROR
    assert "no longer offers" in (checks["ena"].description or "")
    assert not checks["arrayexpress"].passed


def test_a_file_with_another_digest_is_refused(
    laboratory: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    first = _serve_study(replay, tmp_path / "reads")
    _survey(laboratory, STUDY)
    other = (tmp_path / "reads" / "SRR9000002_1.fastq.gz").read_bytes()
    replay.add(first["SRR9000001"], other)
    laboratory.process(STUDY)
    statuses = laboratory.statuses()
    assert statuses["SRR9000001"][1] in ("checksum_mismatch", "download_failed")
    assert statuses["SRR9000002"] == ("processed", None)


def test_metadata_overrides_are_applied(
    laboratory: Laboratory, replay: Replay, tmp_path: Path
) -> None:
    _serve_study(replay, tmp_path / "reads")
    (laboratory.home / "metadata_overrides.yaml").write_text(
        "- {sample: SRR9000001, field: sex, value: male, why: the submitter wrote to us}\n"
    )
    _survey(laboratory, STUDY)
    assert laboratory.ask("SELECT sample, sex FROM samples ORDER BY sample")[:2] == [
        ("SRR9000001", "male"),
        ("SRR9000002", "female"),
    ]
    assert laboratory.ask(
        "SELECT value FROM sample_attributes WHERE sample = 'SRR9000001' AND key = 'sex'"
    ) == [("F",)]


# --- sensors ----------------------------------------------------------------------------


def _sensor(name: str) -> dg.SensorDefinition:
    return next(each for each in SENSORS if each.name == f"{name}_discovery")


def _tick(laboratory: Laboratory, cursor: str | None, source: str = "geo") -> dg.SensorResult:
    resources = {**defs.resources, "http": Http(attempts=1, first_wait=0.01)}
    context = dg.build_sensor_context(
        instance=laboratory.instance, cursor=cursor, definitions=defs, resources=resources
    )
    return _sensor(source).evaluate_tick(context)


def _serve_search(replay: Replay, *series: str) -> None:
    today = datetime.now(UTC).date()
    term = entrez.search_term(today - timedelta(days=7), today)
    question = {"db": "gds", "term": term, "retmode": "json"}
    page = {"retmax": str(entrez.PAGE), "retstart": "0"}
    ids = [f"2000{name.removeprefix('GSE')}" for name in series]
    hits = {"esearchresult": {"count": str(len(ids)), "idlist": ids, "querytranslation": term}}
    replay.add(
        f"{entrez.BASE}esearch.fcgi?{urlencode({**question, **page})}", json.dumps(hits).encode()
    )
    summaries = {
        uid: {"accession": name, "taxon": "Homo sapiens", "n_samples": 6, "pdat": "2026/11/20"}
        for uid, name in zip(ids, series, strict=True)
    }
    asked = {"db": "gds", "id": ",".join(ids), "retmode": "json"}
    answer = json.dumps({"result": {"uids": ids, **summaries}}).encode()
    replay.add(f"{entrez.BASE}esummary.fcgi?{urlencode(asked)}", answer)


def test_a_sensor_registers_what_is_new_once(laboratory: Laboratory, replay: Replay) -> None:
    (laboratory.home / "settings.yaml").write_text("geo: {per_day: 3}\n")
    _serve_search(replay, "GSE14618", "GSE14613", "GSE14615", "GSE2018")
    tick = _tick(laboratory, None)
    assert len(tick.dynamic_partitions_requests[0].partition_keys) == 3  # the quota of a day
    [request] = tick.run_requests
    keys = tick.dynamic_partitions_requests[0].partition_keys
    assert request.tags["dagster/asset_partition_range_start"] == keys[0]
    assert request.tags["dagster/asset_partition_range_end"] == keys[-1]
    laboratory.instance.add_dynamic_partitions("experiments", list(keys))
    again = _tick(laboratory, tick.cursor)
    assert not again.run_requests
    assert not again.dynamic_partitions_requests[0].partition_keys


def test_new_and_changed_studies_of_ena(laboratory: Laboratory, replay: Replay) -> None:
    today = datetime.now(UTC).date()
    for changed, study in ((False, "SRP900001"), (True, "SRP900002")):
        question = sra.discover_query(today - timedelta(days=7), today, changed=changed)
        row = {"secondary_study_accession": study, "first_public": "2026-11-20"}
        replay.add(f"{ena.SEARCH}?{urlencode(question)}", json.dumps([row, row]).encode())
    laboratory.instance.add_dynamic_partitions("experiments", ["SRP900002"])
    tick = _tick(laboratory, None, "sra")
    assert tick.dynamic_partitions_requests[0].partition_keys == ["SRP900001"]
    start = "dagster/asset_partition_range_start"
    assert {each.tags[start] for each in tick.run_requests} == {"SRP900001", "SRP900002"}
    assert not _tick(laboratory, tick.cursor, "sra").run_requests


def test_new_studies_of_arrayexpress(laboratory: Laboratory, replay: Replay) -> None:
    today = datetime.now(UTC).date()
    window = f"[{today - timedelta(days=7)} TO {today}]"
    question = {"release_date": window, "type": "study", "directsub": "true"}
    page = {"pageSize": str(biostudies.PAGE_SIZE), "page": "1"}
    answer = {
        "page": 1,
        "pageSize": biostudies.PAGE_SIZE,
        "totalHits": 1,
        "isTotalHitsExact": True,
        "hits": [{"accession": "E-MTAB-3050", "title": "Islets", "release_date": str(today)}],
    }
    url = f"{biostudies.API}/arrayexpress/search?{urlencode({**question, **page})}"
    replay.add(url, json.dumps(answer).encode())
    tick = _tick(laboratory, None, "arrayexpress")
    assert tick.dynamic_partitions_requests[0].partition_keys == ["E-MTAB-3050"]


def _serve_arrayexpress_search(replay: Replay, when: dict[str, str], *studies: str) -> None:
    question = {**when, "type": "study", "directsub": "true"}
    page = {"pageSize": str(biostudies.PAGE_SIZE), "page": "1"}
    hits = [{"accession": study, "title": "T", "release_date": "2026-01-01"} for study in studies]
    answer = {"pageSize": 100, "totalHits": len(hits), "isTotalHitsExact": True, "hits": hits}
    url = f"{biostudies.API}/arrayexpress/search?{urlencode({**question, **page})}"
    replay.add(url, json.dumps(answer).encode())


def test_changed_studies_of_arrayexpress(laboratory: Laboratory, replay: Replay) -> None:
    today = datetime.now(UTC).date()
    since = today - timedelta(days=7)
    midnight = datetime(since.year, since.month, since.day, tzinfo=UTC)
    start = int(midnight.timestamp() * 1000)
    window = f"[{start} TO {start + 8 * 86_400_000 - 1}]"
    _serve_arrayexpress_search(replay, {"release_date": f"[{since} TO {today}]"}, "E-MTAB-3")
    _serve_arrayexpress_search(replay, {"mtime": window}, "E-MTAB-9", "E-MTAB-1", "E-MTAB-3")
    info = f"{biostudies.API}/studies/E-MTAB-9/info"
    replay.add(info, json.dumps({"modified": start + 1}).encode())
    laboratory.instance.add_dynamic_partitions("experiments", ["E-MTAB-1", "E-MTAB-2"])
    tick = _tick(laboratory, None, "arrayexpress")
    # of what changed, only what is registered is taken; of what is new, everything
    assert tick.dynamic_partitions_requests[0].partition_keys == ["E-MTAB-3"]
    start_tag = "dagster/asset_partition_range_start"
    assert [each.tags[start_tag] for each in tick.run_requests] == ["E-MTAB-1", "E-MTAB-3"]
    assert not _tick(laboratory, tick.cursor, "arrayexpress").run_requests
    # a service that no longer goes by the time of modification: what is new goes on
    replay.add(info, b"{}")
    again = _tick(laboratory, None, "arrayexpress")
    assert [each.tags[start_tag] for each in again.run_requests] == ["E-MTAB-3"]
    replay.fail(info, "status", status=503)
    down = _tick(laboratory, None, "arrayexpress")
    assert "source_unavailable" in (down.skip_message or "")


def test_a_source_that_is_down_keeps_the_cursor(laboratory: Laboratory, replay: Replay) -> None:
    _serve_search(replay, "GSE14618")
    first = _tick(laboratory, None)
    today = datetime.now(UTC).date()
    term = entrez.search_term(today - timedelta(days=7), today)
    question = {"db": "gds", "term": term, "retmode": "json", "retmax": "500", "retstart": "0"}
    url = f"{entrez.BASE}esearch.fcgi?{urlencode(question)}"
    for kind in ("status", "html"):
        replay.fail(url, kind)  # type: ignore[arg-type]
        skipped = _tick(laboratory, first.cursor)
        assert "No news from geo" in (skipped.skip_message or "")
        assert skipped.cursor in (None, first.cursor)
        assert not skipped.run_requests


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.name)
def test_sensors_are_off_by_default(sensor: dg.SensorDefinition) -> None:
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
