"""So many requests a second of each client."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.api.app import create_app
from refinebio_assets.api.service import Settings
from refinebio_assets.api.throttle import MOST_CLIENTS, SECONDS_AT_ONCE, Throttle
from refinebio_assets.resources.storage import Storage


class Clock:
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200), st.integers(1, 20))
def test_never_more_than_the_rate_and_the_bucket(pauses: list[float], rate: int) -> None:
    clock = Clock()
    throttle = Throttle(rate, clock)
    allowed = 0
    for pause in pauses:
        clock.time += pause
        allowed += throttle.allows("one")
        assert allowed <= rate * SECONDS_AT_ONCE + rate * clock.time + 1e-6


def test_a_client_that_keeps_to_the_rate_is_never_refused() -> None:
    clock = Clock()
    throttle = Throttle(10, clock)
    for _ in range(500):
        clock.time += 0.1
        assert throttle.allows("one")


def test_clients_do_not_share() -> None:
    throttle = Throttle(1, Clock())
    assert [throttle.allows("one") for _ in range(3)] == [True, True, False]
    assert throttle.allows("two")
    for number in range(MOST_CLIENTS + 10):
        throttle.allows(str(number))
    assert len(throttle._buckets) == MOST_CLIENTS


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    settings = Settings(requests_per_second=None, largest_body=1000)
    client = TestClient(create_app(Storage(home=str(tmp_path)), settings=settings))
    assert client.post("/v1/token/", content=b" " * 1000).status_code == 201
    refused = client.post("/v1/token/", content=b" " * 1001)
    assert (refused.status_code, refused.json()["status_code"]) == (413, 413)


def test_too_many_are_refused_in_words(tmp_path: Path) -> None:
    app = create_app(Storage(home=str(tmp_path)), settings=Settings(requests_per_second=1))
    client = TestClient(app)
    codes = [client.get("/v1/token/none/").status_code for _ in range(6)]
    assert codes[:2] == [404, 404]
    refused = client.get("/v1/token/none/")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert "X-Source-Revision" in refused.headers
    assert refused.json()["status_code"] == 429
