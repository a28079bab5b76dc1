"""Releases: numbered, whole, never changed, and found by the names that people write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refinebio_assets.errors import (
    AlreadyPublished,
    InvalidRequest,
    UnknownCompendium,
    UnknownExport,
    UnsupportedOrganism,
)
from refinebio_assets.resources.compendia import (
    EXPORT_RECORD,
    RECORD,
    Release,
    all_releases,
    damaged_files,
    manifest_of,
    publish_release,
    release_named,
    releases_of,
)
from refinebio_assets.resources.storage import Storage

ORGANISM = "DANIO_RERIO"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(home=str(tmp_path / "home"))


def publish(storage: Storage, version: int, text: str = "values") -> Release:
    with publish_release(storage, "normalized", ORGANISM, version) as folder:
        (folder / "values").mkdir()
        (folder / "values" / "block.txt").write_text(text)
        (folder / RECORD).write_text(json.dumps({"organism": ORGANISM, "version": version}))
    return release_named(storage, f"{ORGANISM}@{version}")


def test_releases_are_found_by_number_and_the_newest_without(storage: Storage) -> None:
    for version in (1, 2, 10):
        publish(storage, version)
    assert [each.version for each in releases_of(storage, "normalized", ORGANISM)] == [1, 2, 10]
    assert release_named(storage, "DANIO_RERIO@2").version == 2
    assert release_named(storage, "danio rerio").name == "DANIO_RERIO@10"
    assert len(all_releases(storage, "normalized")) == 3
    assert all_releases(storage, "rnaseq") == []


def test_what_is_not_there_is_told_with_what_is(storage: Storage) -> None:
    with pytest.raises(UnknownCompendium, match="none at all"):
        release_named(storage, ORGANISM)
    publish(storage, 1)
    with pytest.raises(UnknownCompendium, match="DANIO_RERIO@1"):
        release_named(storage, f"{ORGANISM}@2")


@pytest.mark.parametrize("name", ["", "@1", "DANIO_RERIO@0", "DANIO_RERIO@x", "A@1@2", "../x@1"])
def test_hostile_names_are_refused(name: str, storage: Storage) -> None:
    with pytest.raises((InvalidRequest, UnsupportedOrganism)):
        release_named(storage, name)


def test_a_release_is_never_replaced(storage: Storage) -> None:
    first = publish(storage, 1)
    with pytest.raises(AlreadyPublished):
        publish(storage, 1, "other values")
    assert (first.folder / "values" / "block.txt").read_text() == "values"
    assert not list((storage.root / "staging").iterdir())


def test_exports_are_releases_of_their_own(storage: Storage) -> None:
    publish(storage, 1)
    for version in (1, 2):
        with publish_release(storage, "zarr", ORGANISM, version) as folder:
            record = {"organism": ORGANISM, "version": version}
            (folder / EXPORT_RECORD).write_text(json.dumps(record))
    newest = release_named(storage, ORGANISM, "zarr")
    assert (newest.kind, newest.version) == ("zarr", 2)
    assert newest.folder.relative_to(storage.root).as_posix() == f"exports/zarr/{ORGANISM}/2"
    assert [each["name"] for each in manifest_of(newest)] == [EXPORT_RECORD]
    assert [each.version for each in releases_of(storage, "normalized", ORGANISM)] == [1]
    with pytest.raises(UnknownExport, match="of kind archs4"):
        release_named(storage, ORGANISM, "archs4")


def publish_half(storage: Storage) -> None:
    with publish_release(storage, "rnaseq", ORGANISM, 1) as folder:
        (folder / RECORD).write_text("{}")
        raise OSError("gone")


def test_what_fails_half_way_leaves_nothing(storage: Storage) -> None:
    with pytest.raises(OSError, match="gone"):
        publish_half(storage)
    assert releases_of(storage, "rnaseq", ORGANISM) == []
    assert not (storage.root / "rnaseq_compendia" / ORGANISM / "1").exists()


def test_damage_is_found_by_the_manifest(storage: Storage) -> None:
    release = publish(storage, 1)
    assert damaged_files(release) == []
    (release.folder / "values" / "block.txt").write_text("valuez")
    (release.folder / "new.txt").write_text("")
    (release.folder / RECORD).unlink()
    assert damaged_files(release) == [RECORD, "new.txt", "values/block.txt"]
