"""Two hundred clients at once for a minute, while the catalogue is replaced: not one error."""

from __future__ import annotations

import asyncio
import collections
import threading
import time

import httpx
import pytest
import uvicorn

from refinebio_assets.api.app import create_app
from refinebio_assets.cli_serve import KEEP_ALIVE
from refinebio_assets_tests.api.conftest import UNLIMITED
from refinebio_assets_tests.api.test_catalogue import Home
from refinebio_assets_tests.api.test_catalogue import empty as empty
from refinebio_assets_tests.api.test_catalogue import home as home

CLIENTS = 200
SECONDS = 60
ADDRESSES = ("experiments/", "search/?search=e", "samples/", "organisms/", "stats/")


@pytest.mark.slow
def test_no_reader_is_disturbed(home: Home) -> None:
    home.build("E0")
    app = create_app(home.storage, settings=UNLIMITED)
    config = uvicorn.Config(
        app, port=0, log_level="error", lifespan="off", timeout_keep_alive=KEEP_ALIVE
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    codes: collections.Counter[int] = collections.Counter()
    seen: set[str] = set()

    async def read(client: httpx.AsyncClient, number: int, until: float) -> None:
        while time.monotonic() < until:
            address = ADDRESSES[number % len(ADDRESSES)]
            answer = await client.get(f"http://127.0.0.1:{port}/v1/{address}")
            codes[answer.status_code] += 1
            if number % len(ADDRESSES) == 0:
                seen.update(each["accession_code"] for each in answer.json()["results"])

    async def replace(until: float) -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            await asyncio.to_thread(home.build, f"E{number}")
            await asyncio.sleep(1)

    async def all_at_once() -> None:
        until = time.monotonic() + SECONDS
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
            await asyncio.gather(
                replace(until), *(read(client, number, until) for number in range(CLIENTS))
            )

    try:
        asyncio.run(all_at_once())
    finally:
        server.should_exit = True
        thread.join()
    assert set(codes) == {200}
    assert codes[200] > CLIENTS
    assert len(seen) > 5  # catalogues, one after the other
