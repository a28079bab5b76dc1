"""The dispatcher ticks for real: what it starts, what it parks, what it leaves alone."""

from __future__ import annotations

import dagster as dg
import pytest

from refinebio_assets.definitions import defs
from refinebio_assets.dispatcher import dispatcher, nightly_sweep
from refinebio_assets.partitions import RANGE_END, RANGE_START
from refinebio_assets.resources.attempts import Attempts
from refinebio_assets.running import run_job
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.synthetic import write_pair, write_sheet


@pytest.fixture
def surveyed(laboratory: Laboratory) -> Laboratory:
    """Four experiments: A, B and D of good reads, C of a file that is not there."""
    rows = [
        {
            "experiment": f"LAB-{name}",
            "sample": f"s{name}",
            "organism": "Homo sapiens",
            "files": write_pair(laboratory.inputs, name, HUMAN, 300, seed=number)
            if name != "C"
            else "memory://nowhere/C.fastq",
        }
        for number, name in enumerate("ABCD")
    ]
    laboratory.survey(write_sheet(laboratory.inputs / "sheet.tsv", rows))
    names = [f"LAB-{name}" for name in "ABCD"]
    [batch] = run_job(laboratory.instance, "survey_experiments", names)
    assert batch.errors == []
    return laboratory


def _tick(laboratory: Laboratory) -> list[dg.RunRequest]:
    context = dg.build_sensor_context(
        instance=laboratory.instance, definitions=defs, resources=defs.resources
    )
    return list(dispatcher.evaluate_tick(context).run_requests)


def _launch(laboratory: Laboratory, request: dg.RunRequest) -> None:
    """What the daemon does with a run request, in this process."""
    job = defs.resolve_job_def(request.job_name or "")
    job.execute_in_process(
        instance=laboratory.instance,
        run_config=request.run_config,
        tags=request.tags,
        raise_on_error=False,
    )


def _settings(laboratory: Laboratory, **limits: int) -> None:
    lines = ["dispatch:", *(f"  {name}: {value}" for name, value in limits.items())]
    (laboratory.home / "settings.yaml").write_text("\n".join(lines) + "\n")


def test_dispatches_until_all_is_done_or_parked(surveyed: Laboratory) -> None:
    _settings(surveyed, experiments_per_run=2, attempts=2)
    seen = []
    for _ in range(12):
        requests = _tick(surveyed)
        if not requests:
            break
        for request in requests:
            seen.append(
                (request.job_name, request.tags.get(RANGE_START), request.tags.get(RANGE_END))
            )
            _launch(surveyed, request)
    processing = [each[1:] for each in seen if each[0] == "process_experiments"]
    assert processing[:2] == [("LAB-A", "LAB-B"), ("LAB-C", "LAB-D")]
    # C alone is tried again, once, and then parked
    assert set(processing[2:]) <= {("LAB-C", "LAB-C")}
    statuses = surveyed.statuses()
    assert {statuses[f"s{name}"][0] for name in "ABD"} == {"processed"}
    assert statuses["sC"][0] in ("failed", "waiting")
    keys = [each for each in seen if each[0] == "build_warehouse"]
    assert keys  # the catalogue was rebuilt after runs, by the dispatcher itself


def test_what_waits_for_its_index_is_parked_and_released(surveyed: Laboratory) -> None:
    _settings(surveyed, attempts=1)
    index = surveyed.storage.reference("HOMO_SAPIENS", "1") / "salmon_index_long"
    index.rename(surveyed.home / "aside")
    surveyed.ask("SELECT 1")
    [request] = _tick(surveyed)
    _launch(surveyed, request)
    surveyed.ask("SELECT 1")
    assert _tick(surveyed) == []  # parked
    (surveyed.home / "aside").rename(index)
    assert _tick(surveyed) == []
    Attempts(surveyed.storage).forget(["LAB-A", "LAB-B"])
    [request] = _tick(surveyed)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("LAB-A", "LAB-B")


def test_a_run_in_progress_is_not_started_twice(surveyed: Laboratory) -> None:
    surveyed.ask("SELECT 1")
    [request] = _tick(surveyed)
    job = defs.resolve_job_def("process_experiments")
    surveyed.instance.create_run_for_job(job, tags=request.tags, status=dg.DagsterRunStatus.STARTED)
    assert _tick(surveyed) == []


def test_ceiling_of_the_day(surveyed: Laboratory) -> None:
    _settings(surveyed, experiments_per_run=1, runs_per_tick=2, runs_per_day=3)
    surveyed.ask("SELECT 1")
    assert [len(_tick(surveyed)) for _ in range(3)] == [2, 1, 0]


def test_nightly_sweep_asks_for_the_same(surveyed: Laboratory) -> None:
    surveyed.ask("SELECT 1")
    context = dg.build_schedule_context(
        instance=surveyed.instance, resources=defs.resources, scheduled_execution_time=None
    )
    result = nightly_sweep.evaluate_tick(context)
    [request] = result.run_requests
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("LAB-A", "LAB-D")


def test_unreadable_settings_are_said_on_the_tick(surveyed: Laboratory) -> None:
    surveyed.ask("SELECT 1")
    (surveyed.home / "settings.yaml").write_text("dispatch: {runs_per_week: 3}\n")
    context = dg.build_sensor_context(
        instance=surveyed.instance, definitions=defs, resources=defs.resources
    )
    skipped = dispatcher.evaluate_tick(context)
    assert "runs_per_week" in (skipped.skip_message or "")
