"""A small installation with arrays, reads, a target, and a server over it."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from refinebio_assets.api.app import create_app
from refinebio_assets.api.service import Settings
from refinebio_assets.dataset_requests import dataset_requests
from refinebio_assets.definitions import defs
from refinebio_assets.partitions import RANGE_START, register_experiments
from refinebio_assets.resources.compendia import RECORD, publish_release
from refinebio_assets.resources.registry import register_sample_sheet
from refinebio_assets.running import run_job
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.end_to_end.conftest import built_home as built_home
from refinebio_assets_tests.end_to_end.test_datasets import ARRAYS, _row
from refinebio_assets_tests.end_to_end.test_microarrays import CHIP_TYPE, annotate, of_chip
from refinebio_assets_tests.end_to_end.test_qn_target import make
from refinebio_assets_tests.synthetic import write_pair, write_sheet
from refinebio_assets_tests.synthetic_arrays import make_chip, write_cel

ORGANISM = "HOMO_SAPIENS"
UNLIMITED = Settings(requests_per_second=None)


@pytest.fixture(scope="session")
def installation(
    built_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Laboratory]:
    """LAB-A and LAB-B of arrays, one of them broken, LAB-R of reads; a target of 5 arrays."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copytree(built_home / "home", folder / "home")
    (folder / "inputs").mkdir()
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("REFINEBIO_HOME", str(folder / "home"))
        laboratory = Laboratory(folder / "home", folder / "inputs", instance)
        chip = make_chip(laboratory.inputs, CHIP_TYPE)
        annotate(laboratory, of_chip(chip))
        rows = []
        for experiment, samples in ARRAYS.items():
            for number, sample in enumerate(samples):
                write_cel(laboratory.inputs / f"{sample}.CEL", chip, seed=sum(sample.encode()))
                rows.append(_row(experiment, sample, f"{sample}.CEL", "MICROARRAY", str(number)))
        (laboratory.inputs / "bad.CEL").write_text("nothing")
        rows.append(_row("LAB-B", "bad", "bad.CEL", "MICROARRAY", "9"))
        reads = write_pair(laboratory.inputs, "r1", HUMAN, 400, seed=1)
        rows.append(_row("LAB-R", "r1", reads, "RNA-SEQ", "0"))
        sheet = write_sheet(laboratory.inputs / "sheet.tsv", rows)
        found = register_sample_sheet(laboratory.storage, str(sheet))
        register_experiments(laboratory.instance, found)
        laboratory.process("LAB-A", "LAB-B", "LAB-R")
        laboratory.ask("SELECT 1")
        assert make(laboratory, 5) == []
        _publish_compendia(laboratory)
        laboratory.ask("SELECT 1")
        yield laboratory


def _publish_compendia(laboratory: Laboratory) -> None:
    """Two releases that have a record and a zip, which is all that the API looks at."""
    for version in (1, 2):
        with publish_release(laboratory.storage, "normalized", ORGANISM, version) as folder:
            name = f"{ORGANISM}.zip"
            with zipfile.ZipFile(folder / name, "w") as archive:
                archive.writestr("README.md", f"release {version}")
            content = (folder / name).read_bytes()
            record = {
                "organism": ORGANISM,
                "version": version,
                "organisms": [ORGANISM],
                "num_samples": 5,
                "num_experiments": 2,
                "num_genes": 10,
                "engine": "svd",
                "num_bytes": len(content),
                "sha1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                "sha256": hashlib.sha256(content).hexdigest(),
                "file": f"compendia/{ORGANISM}/{version}/{name}",
                "code_version": "0.1.0",
                "run_id": "none",
                "recorded_at": f"2026-01-0{version}T00:00:00+00:00",
            }
            (folder / RECORD).write_text(json.dumps(record))


@pytest.fixture(scope="session")
def app(installation: Laboratory) -> FastAPI:
    return create_app(installation.storage, installation.instance, settings=UNLIMITED)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """For requests only: it neither starts nor ends the application."""
    return TestClient(app, raise_server_exceptions=False)


@dataclass
class Server:
    """A server on loopback, in a thread."""

    url: str
    laboratory: Laboratory

    def make_datasets(self) -> int:
        """What Dagster's daemon would do: one tick of the sensor, and the runs it asks for."""
        instance = self.laboratory.instance
        context = dg.build_sensor_context(
            instance=instance, definitions=defs, resources=defs.resources
        )
        requests = dataset_requests.evaluate_tick(context).run_requests or []
        for request in requests:
            list(run_job(instance, "make_datasets", [request.tags[RANGE_START]]))
        return len(requests)


@pytest.fixture
def server(app: FastAPI, installation: Laboratory) -> Iterator[Server]:
    settings = uvicorn.Config(app, port=0, log_level="warning", lifespan="off")
    running = uvicorn.Server(settings)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield Server(f"http://127.0.0.1:{port}", installation)
    running.should_exit = True
    thread.join()
