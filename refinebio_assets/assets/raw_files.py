"""What fetching has in common, whatever the technology: where files go, digests, dropping."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.stage import Toolbox
from refinebio_assets.errors import ChecksumMismatch

if TYPE_CHECKING:
    from refinebio_assets.sources.records import RawFile
    from refinebio_assets.stored_file import StoredFile

RAW_STAGE = "raw_samples"


def manifest_path(experiment: str, sample: str, toolbox: Toolbox) -> Path:
    """The JSON document that says which files a sample has, and what is in them."""
    return toolbox.storage.raw_folder(experiment, sample) / "raw.json"


def files_folder(experiment: str, sample: str, toolbox: Toolbox) -> Path:
    """Where a sample's own files are fetched to, beside its manifest."""
    return toolbox.storage.raw_folder(experiment, sample) / "files"


def fetch_file(file: RawFile, target: Path, label: str, toolbox: Toolbox) -> StoredFile:
    """Fetch a file, or find it on this machine; digest it, and compare with what is stated.

    Raises
    ------
    ChecksumMismatch, DownloadFailed, RawFileMissing, UnsupportedRawFile, DiskFull
    """
    from refinebio_assets.stored_file import digest_file

    progress = Progress(toolbox.log, label, file.expected_bytes, "bytes")
    path = toolbox.downloads.fetch(
        file.source_url, target, lambda done, _total: progress.update(done)
    )
    stored = digest_file(path, file.source_url, fetched=path == target)
    if file.expected_md5 and stored.md5 != file.expected_md5.lower():
        if stored.fetched:
            path.unlink()
        raise ChecksumMismatch(
            f"{target.name} has MD5 {stored.md5}, its source states {file.expected_md5}."
        )
    return stored


def drop_fetched(files: Iterable[StoredFile]) -> None:
    """Delete copies that were fetched; the user's own files are never touched."""
    for file in files:
        if file.fetched:
            Path(file.path).unlink(missing_ok=True)
