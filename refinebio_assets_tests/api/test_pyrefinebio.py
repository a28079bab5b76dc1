"""refine.bio's own Python client works as it is, from search to the downloaded zip."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import requests

from refinebio_assets.resources.qn_targets import newest_target
from refinebio_assets_tests.api.conftest import ORGANISM, Server

ROOT = Path(__file__).parents[2]
SESSION = Path(__file__).with_name("pyrefinebio_session.py")


@pytest.fixture(scope="session")
def client_python() -> str:
    named = os.environ.get("REFINEBIO_CLIENT_PYTHON")
    path = Path(named) if named else ROOT / ".venvs" / "pyrefinebio" / "bin" / "python"
    if not path.exists():
        pytest.skip(f"pyrefinebio is not installed: no {path}; REFINEBIO_CLIENT_PYTHON names it")
    return str(path)


@pytest.mark.slow
def test_a_session(server: Server, client_python: str, tmp_path: Path) -> None:
    while server.make_datasets():  # what other tests have left waiting
        pass
    environment = {
        **os.environ,
        "REFINEBIO_BASE_URL": f"{server.url}/v1/",
        "REFINEBIO_CONFIG_FILE": str(tmp_path / "refinebio.yaml"),
        "REFINEBIO_API_MAX_CALLS_PER_SECOND": "1000",
    }
    with subprocess.Popen(
        [client_python, "-u", str(SESSION), str(tmp_path)],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as session:
        lines = []
        for line in session.stdout or ():
            lines.append(line)
            if line.startswith("Processing"):
                make_what_is_asked(server, session)
    assert session.returncode == 0, "".join(lines)
    check(json.loads(lines[-1]), server, tmp_path)


def make_what_is_asked(server: Server, session: subprocess.Popen[str]) -> None:
    """Be the daemon until a dataset is made; then let the client look again."""
    while server.make_datasets() == 0:
        assert session.poll() is None, "the client ended while it waited"
    assert session.stdin is not None
    session.stdin.write("\n")
    session.stdin.flush()


def check(found: dict[str, Any], server: Server, folder: Path) -> None:
    assert found["searched"] == ["LAB-A"]
    assert found["pages"] == ["LAB-A", "LAB-B", "LAB-R"]
    assert found["filtered"] == 3
    assert found["samples"] == {"b1": True, "b2": True, "bad": False}
    assert found["of_experiment"] == ["a1", "a2", "a3"]
    assert found["processors_of_sample"] == ["Salmon Quant", "Tximport"]
    assert found["index_of_sample"] == ORGANISM
    assert found["experiments_of_sample"] == ["LAB-R"]
    assert found["original_file"].startswith("r1")
    assert found["computed_files"] == ["LAB-R.parquet", "quant.sf"]
    assert found["result_files"] == 1
    assert found["organisms"] == [ORGANISM, "MUS_MUSCULUS"]
    assert found["organism"] is True
    assert found["platforms"] == ["", "hgu133a"]
    assert found["institutions"] == 1
    assert found["processor"] is True
    assert found["targets"] == [ORGANISM]
    is_target, target = found["target"]
    assert is_target is True
    numbers = newest_target(server.laboratory.storage, ORGANISM).path
    assert requests.get(target, timeout=10).content == numbers.read_bytes()
    count, kind, index = found["index"]
    assert (count, kind) == (1, "TRANSCRIPTOME_SHORT")
    check_index(index, server)
    assert found["original_files"] == 1
    assert found["targets_among_files"] == 1
    assert found["results"] == 5
    assert found["jobs"] == [1, "AFFY_TO_PCL", True]
    assert found["job"] is True
    assert found["downloader"] is True
    assert found["survey"] == 0
    assert found["errors"] == {
        "filter": "InvalidFilters",
        "type": "InvalidFilterType",
        "missing": "NotFound",
        "target": "NotFound",
        "data": "InvalidData",
        "start": "BadRequest",
    }
    assert sorted(found["versions"]) == [1, 2]
    assert found["compendium"] == 2
    assert zipfile.ZipFile(folder / "compendium.zip").read("README.md") == b"release 2"
    assert found["saved"] == {"LAB-A": ["a1", "a2"], "LAB-B": ["b1", "b2"]}
    assert found["dataset"] == [True, {"LAB-A": ["a1", "a2", "a3"], "LAB-B": ["b1", "b2"]}]
    with zipfile.ZipFile(folder / "dataset.zip") as archive:
        assert archive.testzip() is None
        content = archive.read(f"{ORGANISM}/{ORGANISM}.tsv")
        told = json.loads(archive.read("aggregated_metadata.json"))
    matrix = pl.read_csv(io.BytesIO(content), separator="\t")
    assert matrix.columns == ["Gene", "a1", "a2", "a3", "b1", "b2"]
    assert told["aggregate_by"] == "SPECIES"
    assert told["scale_by"] == "NONE"  # the client forgets the transformation it was given
    assert found["second"] == {"LAB-R": ["r1"]}
    assert "LAB-R/LAB-R.tsv" in zipfile.ZipFile(folder / "second.zip").namelist()


def check_index(address: str, server: Server) -> None:
    """The index comes as a tar file of known length, whole."""
    answer = requests.get(address, timeout=30)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert "Content-Encoding" not in answer.headers
    folder = next(server.laboratory.storage.root.glob(f"reference/{ORGANISM}/*/salmon_index_short"))
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        found = {each.name: archive.extractfile(each) for each in archive}
    expected = {f"{folder.name}/{path.name}": path for path in folder.iterdir()}
    assert set(found) == set(expected)
    for name, file in found.items():
        assert file is not None
        assert file.read() == expected[name].read_bytes()
