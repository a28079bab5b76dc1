"""The releases of compendia and of exports: their numbers, their records, where they lie.

A release is a folder that is put in place whole and never changed. Its record has the
columns of `tables.COMPENDIA` or `tables.EXPORTS` and what the release was made from;
`manifest.json` has the size and digest of every other file. Not here: how a release is made.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refinebio_assets.errors import InvalidRequest, UnknownCompendium, UnknownExport
from refinebio_assets.metadata.organisms import organism_name
from refinebio_assets.resources.storage import Storage, read_json

Kind = Literal["normalized", "rnaseq", "archs4", "anndata", "zarr"]

RECORD = "compendium.json"
EXPORT_RECORD = "export.json"
MANIFEST = "manifest.json"
FOLDERS: dict[Kind, str] = {"normalized": "compendia", "rnaseq": "rnaseq_compendia"}
EXPORT_FOLDERS: dict[Kind, str] = {
    "archs4": "exports/archs4",
    "anndata": "exports/anndata",
    "zarr": "exports/zarr",
}

_NAME = re.compile(r"(?P<organism>[^@]+)(@(?P<version>[1-9][0-9]{0,8}))?\Z")


@dataclass(frozen=True)
class Release:
    """One version of an organism's compendium or export; `folder` holds all of it."""

    kind: Kind
    organism: str
    version: int
    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """As people write it: 'HOMO_SAPIENS@3'."""
        return f"{self.organism}@{self.version}"


def releases_of(storage: Storage, kind: Kind, organism: str) -> list[Release]:
    """All releases of an organism, the oldest first."""
    found = []
    for path in _folder(storage, kind, organism).glob(f"*/{record_name(kind)}"):
        record = read_json(path)
        if record is not None and path.parent.name.isdigit():
            number = int(path.parent.name)
            found.append(Release(kind, record["organism"], number, path.parent, record))
    return sorted(found, key=lambda each: each.version)


def all_releases(storage: Storage, kind: Kind) -> list[Release]:
    """Every release of every organism."""
    folders = sorted(_folder_of_kind(storage, kind).glob("*"))
    return [each for folder in folders for each in releases_of(storage, kind, folder.name)]


def release_named(storage: Storage, name: str, kind: Kind = "normalized") -> Release:
    """The release 'HOMO_SAPIENS@3'; without a number, the newest.

    Raises
    ------
    InvalidRequest
        That is not the name of a release.
    UnknownCompendium, UnknownExport
        There is no such release.
    """
    parts = _NAME.match(name)
    if parts is None:
        raise InvalidRequest(
            f"{name[:80]!r} is not the name of a release.",
            remedy="Write it as HOMO_SAPIENS@3, or HOMO_SAPIENS for the newest.",
        )
    organism = organism_name(parts["organism"])
    found = releases_of(storage, kind, organism)
    if parts["version"]:
        found = [each for each in found if each.version == int(parts["version"])]
    if not found:
        known = [each.name for each in all_releases(storage, kind)]
        there = f"There are: {', '.join(known[:20])}." if known else "There is none at all."
        if kind in EXPORT_FOLDERS:
            raise UnknownExport(f"There is no export {name} of kind {kind}. {there}")
        raise UnknownCompendium(f"There is no compendium {name}. {there}")
    return found[-1]


@contextmanager
def publish_release(storage: Storage, kind: Kind, organism: str, version: int) -> Iterator[Path]:
    """Yield a folder to fill; with a manifest added, it becomes the release if the block ends well.

    Raises
    ------
    AlreadyPublished
        Another run has published this number meanwhile.
    """
    final = _folder(storage, kind, organism) / str(version)
    with storage.publish_new_folder(final) as new:
        yield new
        (new / MANIFEST).write_text(json.dumps({"files": _listed(new)}, indent=1) + "\n")


def record_name(kind: Kind) -> str:
    """The file of a release that has its record."""
    return EXPORT_RECORD if kind in EXPORT_FOLDERS else RECORD


def manifest_of(release: Release) -> list[dict[str, Any]]:
    """Of every file but the manifest: `name` (its path in the folder), `bytes`, `sha256`."""
    found: list[dict[str, Any]] = (read_json(release.folder / MANIFEST) or {"files": []})["files"]
    return found


def damaged_files(release: Release) -> list[str]:
    """The files that are not as the manifest says, or not there; reads all of them."""
    said = {each["name"]: each for each in manifest_of(release)}
    there = {each["name"]: each for each in _listed(release.folder)}
    return sorted(name for name in {*said, *there} if said.get(name) != there.get(name))


def _listed(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(each for each in folder.rglob("*") if each.is_file())
    return [
        {
            "name": path.relative_to(folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": _sha256(path),
        }
        for path in paths
        if path.name != MANIFEST
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder(storage: Storage, kind: Kind, organism: str) -> Path:
    return _folder_of_kind(storage, kind) / organism_name(organism)


def _folder_of_kind(storage: Storage, kind: Kind) -> Path:
    return storage.root / (EXPORT_FOLDERS if kind in EXPORT_FOLDERS else FOLDERS)[kind]
