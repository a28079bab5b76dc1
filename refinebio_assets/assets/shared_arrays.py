"""Files that hold the arrays of several samples: tables, archives, families of GEO.

Each is fetched once, into the experiment's shared folder, and archives are unpacked there.
What a killed run left there whole is used by the next one. Not here: whether a sample's
data can be read.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from refinebio_assets.assets.array_files import (
    ARCHIVE_NAME,
    MINIML,
    Member,
    chosen_file,
    local_name,
    members_by_sample,
)
from refinebio_assets.assets.raw_files import drop_fetched, fetch_file, manifest_path
from refinebio_assets.assets.stage import Toolbox, as_error
from refinebio_assets.errors import (
    RawFileMissing,
    RefinebioError,
    SourceAnswerInvalid,
    UnsupportedRawFile,
)
from refinebio_assets.resources.storage import read_json

if TYPE_CHECKING:
    from refinebio_assets.sources.records import RawFile, Sample
    from refinebio_assets.stored_file import StoredFile

Wanted = Sequence[tuple["Sample", "RawFile"]]


@dataclass(frozen=True)
class SharedTable:
    """A file that several samples name; `head` is the start of its content."""

    stored: StoredFile
    head: bytes


@dataclass
class SharedFiles:
    """By URL: a file, or of an archive the files of each sample, or why there is none.

    `renewed` are the URLs that were read anew, so that what is known of their samples' files
    does not hold any more.
    """

    found: dict[str, SharedTable | Mapping[str, list[Member]] | RefinebioError] = field(
        default_factory=dict
    )
    renewed: set[str] = field(default_factory=set)


def fetch_shared(
    experiment: str, samples: Sequence[Sample], missing: Collection[str], toolbox: Toolbox
) -> SharedFiles:
    """Fetch every archive, and every file that several samples name, that is `missing`."""
    by_url: dict[str, list[tuple[Sample, RawFile]]] = {}
    for sample in samples:
        with suppress(RawFileMissing):
            file = chosen_file(sample)
            by_url.setdefault(file.source_url, []).append((sample, file))
    shared = SharedFiles()
    for url, wanted in by_url.items():
        file = wanted[0][1]
        is_shared = len(wanted) > 1 or file.is_archive or ARCHIVE_NAME.search(local_name(file))
        if is_shared and any(sample.sample in missing for sample, _ in wanted):
            try:
                shared.found[url] = _opened(experiment, wanted, missing, shared, toolbox)
            except Exception as fault:  # noqa: BLE001  # its samples', not the experiment's
                error = as_error(fault)
                toolbox.log(f"{experiment}, {local_name(file)}: {error.code}: {error}")
                shared.found[url] = error
    return shared


def drop_shared(experiment: str, toolbox: Toolbox) -> None:
    """Delete what was fetched for several samples of an experiment."""
    shutil.rmtree(toolbox.storage.shared_raw_folder(experiment), ignore_errors=True)


def folder_of_url(folder: Path, url: str) -> Path:
    """Where in a folder a URL's file is: a whole file that lies there is no other URL's."""
    return folder / hashlib.sha256(url.encode()).hexdigest()[:16]


def fetch_whole(file: RawFile, target: Path, label: str, toolbox: Toolbox) -> StoredFile:
    """Fetch a file, unless a run that ended early left the whole of it at `target`.

    Raises
    ------
    ChecksumMismatch, DownloadFailed, RawFileMissing, UnsupportedRawFile, DiskFull
    """
    here = replace(file, source_url=str(target)) if target.is_file() else file
    stored = fetch_file(here, target, label, toolbox)
    return replace(stored, source_url=file.source_url)


@contextmanager
def dropped_if_bad(stored: StoredFile) -> Iterator[None]:
    """Delete a fetched file whose content is at fault: another try fetches it again."""
    try:
        yield
    except RefinebioError as error:
        if not error.transient:
            drop_fetched([stored])
        raise


def head_of(path: Path) -> bytes:
    """The first bytes of the content; read to the end, a gzip stream proves itself whole.

    Raises
    ------
    UnsupportedRawFile
        A gzip stream is damaged.
    """
    from refinebio_assets.compression import DamagedGzip, pieces

    head = b""
    try:
        for piece in pieces(path):
            head = head or piece[:512]
    except DamagedGzip as error:
        raise UnsupportedRawFile(
            f"{path.name}: {error}.", remedy="Copy or download the file again, whole."
        ) from None
    return head


# --- one of them ----------------------------------------------------------------------


def _opened(
    experiment: str,
    wanted: Wanted,
    missing: Collection[str],
    shared: SharedFiles,
    toolbox: Toolbox,
) -> SharedTable | Mapping[str, list[Member]]:
    file = wanted[0][1]
    folder = folder_of_url(toolbox.storage.shared_raw_folder(experiment), file.source_url)
    target = folder / local_name(file)
    # A manifest of a sample whose file is missing: what lies here was changed or used up.
    if any(
        manifest_path(experiment, sample.sample, toolbox).exists()
        for sample, _ in wanted
        if sample.sample in missing
    ):
        target.unlink(missing_ok=True)
    elif (kept := _unpacked(folder, wanted)) is not None:
        return members_by_sample(wanted, kept)
    was_here = target.is_file()
    stored = fetch_whole(file, target, f"{experiment}: {target.name}", toolbox)
    with dropped_if_bad(stored):
        if not _is_archive(Path(stored.path)):
            if stored.fetched and not was_here:
                shared.renewed.add(file.source_url)
            return SharedTable(stored, head_of(Path(stored.path)))
        _unpack(Path(stored.path), folder, [sample.sample for sample, _ in wanted], toolbox)
    shared.renewed.add(file.source_url)
    drop_fetched([stored])  # its files are there
    return members_by_sample(wanted, _unpacked(folder, wanted) or [])


def _is_archive(path: Path) -> bool:
    from refinebio_assets.resources.archives import kind_of

    return kind_of(path) in ("tar", "zip") or ARCHIVE_NAME.search(path.name) is not None


def _unpack(archive: Path, folder: Path, samples: list[str], toolbox: Toolbox) -> None:
    """Publish an archive's files as `content/files`, and `content/index.json` which lists them."""
    from refinebio_assets.resources.archives import unpack

    with toolbox.storage.publish_folder(folder / "content") as staged:
        files = staged / "files"
        if archive.name.endswith(MINIML):
            members = _tables_of_family(archive, files, samples)
        else:
            unpacked = unpack(archive, files, most_bytes=toolbox.downloads.max_bytes)
            members = [Member(path) for path in unpacked]
        index = {
            "samples": samples,
            "members": [[str(each.path.relative_to(files)), each.columns] for each in members],
        }
        toolbox.storage.write_json(staged / "index.json", index)


def _unpacked(folder: Path, wanted: Wanted) -> list[Member] | None:
    """The files of an archive that was unpacked for (at least) these samples."""
    content = folder / "content"
    index = read_json(content / "index.json")
    if index is None or not {sample.sample for sample, _ in wanted} <= {*index["samples"]}:
        return None
    return [Member(content / "files" / name, tuple(columns)) for name, columns in index["members"]]


def _tables_of_family(archive: Path, folder: Path, samples: list[str]) -> list[Member]:
    from refinebio_assets.sources.miniml import extract_family

    folder.mkdir()
    try:
        with archive.open("rb") as file:
            family = extract_family(file, folder, samples)
    except SourceAnswerInvalid as error:
        raise UnsupportedRawFile(
            f"{archive.name}: {error.message}", remedy="Fetch the archive again, later."
        ) from None
    return [Member(table.path, table.columns) for table in family.tables.values()]
