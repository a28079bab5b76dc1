"""The catalogue under the API: read while it is replaced, and read-only."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from fastapi.testclient import TestClient

from refinebio_assets.api.app import create_app
from refinebio_assets.api.catalogue import Catalogue
from refinebio_assets.api.ids import LARGEST, number_of, number_sql
from refinebio_assets.errors import NoCatalogue
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets_tests.api.conftest import UNLIMITED

NAMED = "SELECT any_value(experiment) FROM experiments"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of nothing."""
    storage = Storage(home=str(tmp_path_factory.mktemp("empty")))
    Warehouse().build(storage)
    return storage.catalogue()


@dataclass
class Home:
    """A home folder whose catalogue can be replaced by one of a single experiment."""

    storage: Storage
    empty: Path

    def build(self, name: str) -> None:
        aside = self.storage.root / "aside.duckdb"
        shutil.copyfile(self.empty, aside)
        with duckdb.connect(aside) as database:
            row = "INSERT INTO experiments (experiment, recorded_at) VALUES (?, now())"
            database.execute(row, [name])
        aside.replace(self.storage.catalogue())


@pytest.fixture
def home(tmp_path: Path, empty: Path) -> Home:
    return Home(Storage(home=str(tmp_path)), empty)


def newest(catalogue: Catalogue, name: str) -> None:
    """Ask until the catalogue of that experiment is open; the test's time limit ends it."""
    while True:
        with catalogue.reader() as reader:
            if reader.value(NAMED) == name:
                return
        time.sleep(0.01)


def test_without_a_catalogue(home: Home) -> None:
    with pytest.raises(NoCatalogue), Catalogue(home.storage).reader():
        pass
    client = TestClient(create_app(home.storage, settings=UNLIMITED))
    answer = client.get("/v1/samples/")
    assert (answer.status_code, answer.json()["status_code"]) == (503, 503)
    assert client.get("/v1/token/none/").status_code == 404
    home.build("FIRST")
    assert client.get("/v1/experiments/").json()["count"] == 1


def test_who_reads_keeps_the_catalogue_that_was_there(home: Home) -> None:
    home.build("FIRST")
    catalogue = Catalogue(home.storage)
    with catalogue.reader() as before:
        assert before.value(NAMED) == "FIRST"
        home.build("SECOND")
        newest(catalogue, "SECOND")
        assert before.value(NAMED) == "FIRST"
        home.build("THIRD")
        with Warehouse().connect(home.storage) as database:  # another reader in the same process
            assert database.execute(NAMED).fetchall() == [("THIRD",)]
        newest(catalogue, "THIRD")
        assert before.value(NAMED) == "FIRST"
    assert list((home.storage.root / "staging").glob("*")) == []


def test_a_catalogue_that_cannot_be_read_is_left_alone(home: Home) -> None:
    home.build("FIRST")
    catalogue = Catalogue(home.storage)
    with catalogue.reader() as reader:
        assert reader.value(NAMED) == "FIRST"
    home.storage.catalogue().unlink()
    with catalogue.reader() as reader:
        assert reader.value(NAMED) == "FIRST"
    home.storage.catalogue().write_bytes(b"nothing of use")
    with catalogue.reader() as reader:
        assert reader.value(NAMED) == "FIRST"
    home.build("SECOND")
    newest(catalogue, "SECOND")


def test_many_read_while_it_is_replaced(home: Home) -> None:
    home.build("E0")
    catalogue = Catalogue(home.storage)
    seen: set[str] = set()
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                with catalogue.reader() as reader:
                    names = {reader.value(NAMED) for _ in range(3)}
                assert len(names) == 1
                seen.update(names)
        except BaseException as fault:  # noqa: BLE001  # told below
            faults.append(fault)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for each in readers:
        each.start()
    for number in range(1, 5):
        home.build(f"E{number}")
        newest(catalogue, f"E{number}")
    done.set()
    for each in readers:
        each.join()
    assert faults == []
    assert seen == {f"E{number}" for number in range(5)}


def test_sql_can_neither_write_nor_read_files(home: Home) -> None:
    home.build("FIRST")
    (home.storage.root / "secret.csv").write_text("secret\n1\n")
    with Catalogue(home.storage).reader() as reader:
        for statement in (
            "DELETE FROM catalogue.main.experiments",
            f"SELECT * FROM read_csv('{home.storage.root}/secret.csv')",  # noqa: S608
            f"COPY (SELECT 1) TO '{home.storage.root}/out.csv'",
            f"ATTACH '{home.storage.root}/other.duckdb'",
            "SET enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                reader.rows(statement)


@pytest.mark.parametrize("key", ["a", "HOMO_SAPIENS/1", "µ", "", "it's"])
def test_numbers_are_the_same_in_sql(key: str) -> None:
    [(number,)] = duckdb.execute(f"SELECT {number_sql('sample', '?')}", [key]).fetchall()
    assert number == number_of("sample", key) <= LARGEST < 2**53
