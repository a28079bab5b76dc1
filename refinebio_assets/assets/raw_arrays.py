"""The raw files of arrays: CEL files, bead tables, submitted values, and archives of them.

Of the files that a sample names one is chosen, fetched and looked into; its manifest says
what kind of data it holds. Not here: what several samples share (`shared_arrays`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refinebio_assets.assets.array_files import CEL_NAME, chosen_file, local_name, only_member
from refinebio_assets.assets.raw_files import drop_fetched, files_folder, manifest_path
from refinebio_assets.assets.shared_arrays import (
    SharedFiles,
    SharedTable,
    drop_shared,
    dropped_if_bad,
    fetch_shared,
    fetch_whole,
    folder_of_url,
    head_of,
)
from refinebio_assets.assets.stage import SampleResults, Toolbox, for_each_sample
from refinebio_assets.errors import RefinebioError, UnsupportedRawFile
from refinebio_assets.metadata.platforms import is_bead_array
from refinebio_assets.resources.storage import read_json

if TYPE_CHECKING:
    from refinebio_assets.microarray.raw_array import Kind, RawArray
    from refinebio_assets.sources.records import RawFile, Sample
    from refinebio_assets.stored_file import StoredFile

__all__ = ["drop_shared", "fetch_arrays", "stored_array"]


@dataclass(frozen=True)
class _Found:
    """A sample's file; `head` is the start of its content."""

    stored: StoredFile
    head: bytes
    shared: bool
    columns: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return Path(self.stored.path)


def fetch_arrays(
    experiment: str, samples: Sequence[Sample], toolbox: Toolbox
) -> SampleResults[RawArray]:
    """Fetch and verify the raw file of every sample, unless that is done; write manifests."""
    known = {
        each.sample: raw for each in samples if (raw := _still_good(experiment, each, toolbox))
    }
    missing = {each.sample for each in samples} - known.keys()
    shared = fetch_shared(experiment, samples, missing, toolbox)
    by_name = {each.sample: each for each in samples}

    def verified(name: str) -> RawArray:
        raw = known.get(name)
        if raw is not None and raw.file.source_url not in shared.renewed:
            return raw
        return _verified(experiment, by_name[name], shared, toolbox)

    results = for_each_sample(by_name, verified, toolbox, experiment)
    if not results.transient and not any(raw.shared for raw in results.values()):
        drop_shared(experiment, toolbox)
    return results


def stored_array(experiment: str, sample: str, toolbox: Toolbox) -> RawArray | None:
    """A sample's manifest, if its file was verified."""
    from refinebio_assets.microarray.raw_array import RawArray

    manifest = read_json(manifest_path(experiment, sample, toolbox))
    return RawArray.from_json(manifest) if manifest and "kind" in manifest else None


def _still_good(experiment: str, sample: Sample, toolbox: Toolbox) -> RawArray | None:
    from refinebio_assets.assets.microarray import is_expressed

    known = stored_array(experiment, sample.sample, toolbox)
    if known is None or known.sources != tuple(file.source_url for file in sample.files):
        return None
    if known.file.is_unchanged():
        return known
    dropped = known.file.fetched and is_expressed(experiment, sample.sample, known, toolbox)
    return known if dropped else None


def _verified(experiment: str, sample: Sample, shared: SharedFiles, toolbox: Toolbox) -> RawArray:
    from refinebio_assets.microarray.raw_array import RawArray

    file = chosen_file(sample)
    before = stored_array(experiment, sample.sample, toolbox)
    if before is not None and not before.shared:
        drop_fetched([before.file])  # it is another one now, or was changed
    found = _of_several(sample, file, shared) or _its_own(experiment, sample, file, toolbox)
    name = found.path.name if found.shared else file.filename
    if found.shared:
        kind, chip_type = _kind(sample, name, found)
    else:
        with dropped_if_bad(found.stored):
            kind, chip_type = _kind(sample, name, found)
    raw = RawArray(
        kind=kind,
        name=name,
        file=found.stored,
        sources=tuple(each.source_url for each in sample.files),
        shared=found.shared,
        columns=found.columns,
        chip_type=chip_type,
    )
    toolbox.storage.write_json(manifest_path(experiment, sample.sample, toolbox), raw.to_json())
    return raw


def _of_several(sample: Sample, file: RawFile, shared: SharedFiles) -> _Found | None:
    """The sample's file among those that several share; None where it has one of its own."""
    from refinebio_assets.stored_file import digest_file

    given = shared.found.get(file.source_url)
    if given is None:
        return None
    if isinstance(given, RefinebioError):
        raise given
    if isinstance(given, SharedTable):
        return _Found(given.stored, given.head, shared=True)
    member = only_member(sample, file, given)
    stored = digest_file(member.path, file.source_url, fetched=True)
    return _Found(stored, head_of(member.path), shared=True, columns=member.columns)


def _its_own(experiment: str, sample: Sample, file: RawFile, toolbox: Toolbox) -> _Found:
    folder = files_folder(experiment, sample.sample, toolbox)
    target = folder_of_url(folder, file.source_url) / local_name(file)
    stored = fetch_whole(file, target, f"{sample.sample}: {file.filename}", toolbox)
    with dropped_if_bad(stored):
        return _Found(stored, head_of(Path(stored.path)), shared=False)


def _kind(sample: Sample, name: str, found: _Found) -> tuple[Kind, str | None]:
    """What the file holds, by its content first, and a CEL file's chip type."""
    from refinebio_assets.microarray.cel import is_cel, read_cel_header

    if is_cel(found.head):
        return "CEL", read_cel_header(found.path).chip_type
    if CEL_NAME.search(name):
        read_cel_header(found.path)  # says what is wrong with it
    if b"\0" in found.head or not found.head.strip():
        raise UnsupportedRawFile(
            f"{name} is neither a CEL file nor a table.",
            remedy="Provide a CEL file, or values as text.",
        )
    beads = (sample.manufacturer or "").upper() == "ILLUMINA" or is_bead_array(
        sample.platform or ""
    )
    return ("BEADS" if sample.has_raw and beads else "SUBMITTED"), None
