"""`refinebio serve`: a server of its own process, on loopback, that loads no definitions."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

LOADED = (
    "import sys, refinebio_assets.api.app; "
    "print('refinebio_assets.definitions' in sys.modules, 'polars' in sys.modules)"
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_a_server_starts_answers_and_stops(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    environment = {
        **os.environ,
        "REFINEBIO_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path),
    }
    program = "from refinebio_assets.cli import app; app()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--port", str(port)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            answer = wait_for(f"http://127.0.0.1:{port}/v1/token/none", server)
            assert answer.status_code == 404
            assert "server" not in answer.headers
            assert (
                requests.get(f"http://127.0.0.1:{port}/v1/samples", timeout=10).status_code == 503
            )
        finally:
            server.terminate()
        told = server.stderr.read() if server.stderr else ""
    assert "dataset_requests" in told
    assert "no catalogue" in told


def wait_for(address: str, server: subprocess.Popen[str]) -> requests.Response:
    while True:
        assert server.poll() is None, server.stderr.read() if server.stderr else ""
        try:
            return requests.get(address, timeout=10)
        except requests.ConnectionError:
            time.sleep(0.1)


def test_it_loads_neither_definitions_nor_data_frames() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
