"""The raw files of arrays: CEL files, bead tables, submitted values, and archives of them.

Of the files that a sample names one is chosen. What several samples share, a table or an
archive, is fetched once, into the experiment's shared folder.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refinebio_assets.assets.raw_files import fetch_file, files_folder, manifest_path
from refinebio_assets.assets.stage import SampleResults, Toolbox, for_each_sample
from refinebio_assets.errors import RawFileMissing, RefinebioError, UnsupportedRawFile
from refinebio_assets.metadata.platforms import is_bead_array
from refinebio_assets.resources.storage import read_json

if TYPE_CHECKING:
    from refinebio_assets.microarray.raw_array import Kind, RawArray
    from refinebio_assets.sources.records import RawFile, Sample
    from refinebio_assets.stored_file import StoredFile

MINIML = "_family.xml.tgz"
NON_NORMALISED = re.compile(r"[-_]non[-_]normalized\.txt", re.IGNORECASE)
# Never data of a sample: pictures, positions, probe lists, results of other programs.
ACCESSORY = re.compile(
    r"\.(xml|chp|exp|idat|ndf|pos|pair|gff|sdf|tiff?|jpe?g|locs|rpt|dtt|cdf|bed|wig|pdf)(\.gz)?\Z",
    re.IGNORECASE,
)
CEL_NAME = re.compile(r"\.cel(\.gz)?\Z", re.IGNORECASE)
TABLE_NAME = re.compile(r"\.(txt|tsv|csv|tab)(\.gz)?\Z", re.IGNORECASE)
ARCHIVE_NAME = re.compile(r"(\.tar|\.tgz|\.tar\.gz|\.zip)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class _Found:
    """A file that a URL gave, alone or out of an archive; `head` is the start of its content."""

    stored: StoredFile
    name: str
    head: bytes
    shared: bool
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Member:
    """A file out of an archive."""

    path: Path
    name: str
    columns: tuple[str, ...] = ()


_Shared = dict[str, "_Found | list[_Member] | RefinebioError"]


def fetch_arrays(
    experiment: str, samples: Sequence[Sample], toolbox: Toolbox
) -> SampleResults[RawArray]:
    """Fetch and verify the raw file of every sample, unless that is done; write manifests."""
    known = {each.sample: _still_good(experiment, each, toolbox) for each in samples}
    missing = [each for each in samples if known[each.sample] is None]
    shared = _fetch_shared(experiment, missing, toolbox)
    by_name = {each.sample: each for each in samples}
    return for_each_sample(
        by_name,
        lambda name: known[name] or _verified(experiment, by_name[name], shared, toolbox),
        toolbox,
        experiment,
    )


def stored_array(experiment: str, sample: str, toolbox: Toolbox) -> RawArray | None:
    """A sample's manifest, if its file was verified."""
    from refinebio_assets.microarray.raw_array import RawArray

    manifest = read_json(manifest_path(experiment, sample, toolbox))
    return RawArray.from_json(manifest) if manifest and "kind" in manifest else None


def drop_shared(experiment: str, toolbox: Toolbox) -> None:
    """Delete what was fetched for several samples of an experiment."""
    shutil.rmtree(toolbox.storage.shared_raw_folder(experiment), ignore_errors=True)


def chosen_file(sample: Sample) -> RawFile:
    """The file that holds the sample's data, of all that it names.

    A CEL file before all; then, for raw data, a table of non-normalised values; for
    submitted values GEO's table (MINiML); then any table or archive.

    Raises
    ------
    RawFileMissing
        It names none.
    """
    files = [file for file in sample.files if not ACCESSORY.search(file.filename)]
    if not files:
        raise RawFileMissing("The sample names no file of raw data or of values.", remedy="")

    def rank(file: RawFile) -> int:
        name = file.filename
        wanted = (
            bool(CEL_NAME.search(name)),
            sample.has_raw and bool(NON_NORMALISED.search(name)),
            name.endswith(MINIML),
            bool(TABLE_NAME.search(name)),
            bool(ARCHIVE_NAME.search(name)),
        )
        return wanted.index(True) if True in wanted else len(wanted)

    return min(files, key=rank)


def _still_good(experiment: str, sample: Sample, toolbox: Toolbox) -> RawArray | None:
    from refinebio_assets.assets.microarray import is_expressed

    known = stored_array(experiment, sample.sample, toolbox)
    if known is None or known.sources != tuple(file.source_url for file in sample.files):
        return None
    if known.file.is_unchanged():
        return known
    dropped = known.file.fetched and is_expressed(experiment, sample.sample, known, toolbox)
    return known if dropped else None


# --- what several samples share -------------------------------------------------------


def _is_shared(file: RawFile, times: int) -> bool:
    return times > 1 or file.is_archive or bool(ARCHIVE_NAME.search(file.filename))


def _fetch_shared(experiment: str, samples: Iterable[Sample], toolbox: Toolbox) -> _Shared:
    """For each URL that several samples name, or that is an archive: its files, or an error."""
    wanted: dict[str, tuple[RawFile, list[Sample]]] = {}
    for sample in samples:
        try:
            file = chosen_file(sample)
        except RawFileMissing:
            continue
        wanted.setdefault(file.source_url, (file, []))[1].append(sample)
    found: _Shared = {}
    for url, (file, theirs) in wanted.items():
        if _is_shared(file, len(theirs)):
            try:
                found[url] = _open_shared(experiment, file, theirs, toolbox)
            except RefinebioError as error:
                toolbox.log(f"{experiment}, {file.filename}: {error.code}: {error}")
                found[url] = error
    return found


def _open_shared(
    experiment: str, file: RawFile, samples: list[Sample], toolbox: Toolbox
) -> _Found | list[_Member]:
    from refinebio_assets.resources.archives import kind_of, unpack

    digest = hashlib.sha256(file.source_url.encode()).hexdigest()[:16]
    folder = toolbox.storage.shared_raw_folder(experiment) / digest
    name = _basename(file)
    stored = fetch_file(file, folder / name, f"{experiment}: {name}", toolbox)
    path = Path(stored.path)
    if name.endswith(MINIML):
        found = _tables_of_family(path, folder / "tables", samples, toolbox)
    elif kind_of(path) in ("tar", "zip") or ARCHIVE_NAME.search(name):
        with toolbox.storage.publish_folder(folder / "unpacked") as unpacked:
            files = [each.relative_to(unpacked) for each in unpack(path, unpacked)]
        found = [_Member(folder / "unpacked" / each, each.name) for each in files]
    else:
        return _Found(stored, name, _head(path), shared=True)
    if stored.fetched:
        path.unlink()  # its files are there
    return found


def _basename(file: RawFile) -> str:
    """The name of what the URL gives: an archive's own, where `filename` is that of a member."""
    return file.source_url.partition("?")[0].rstrip("/").rpartition("/")[2] or file.filename


def _tables_of_family(
    archive: Path, folder: Path, samples: list[Sample], toolbox: Toolbox
) -> list[_Member]:
    from refinebio_assets.sources.miniml import extract_family

    with toolbox.storage.publish_folder(folder) as staged, archive.open("rb") as file:
        family = extract_family(file, staged, [sample.sample for sample in samples])
    return [
        _Member(folder / table.path.name, f"{name}-tbl-1.txt", table.columns)
        for name, table in family.tables.items()
    ]


def _member(sample: Sample, file: RawFile, members: Sequence[_Member]) -> _Member:
    """The sample's file among those of an archive: by its name, else by the sample's.

    Raises
    ------
    RawFileMissing
        There is none, or it can't be told which.
    """
    candidates = [each for each in members if not ACCESSORY.search(each.name)]
    named = [each for each in candidates if _same_name(each.name, file.filename)]
    own = re.compile(rf"{re.escape(sample.sample)}(?![0-9])", re.IGNORECASE)
    mine = named or [each for each in candidates if own.match(each.name)]
    cels = [each for each in mine if CEL_NAME.search(each.name)]
    if cels or mine:
        return (cels or mine)[0]
    if len(candidates) == 1:
        return candidates[0]
    raise RawFileMissing(
        f"{_basename(file)} holds no file of {sample.sample}.",
        remedy="The archive at the source would have to be corrected.",
    )


def _same_name(one: str, other: str) -> bool:
    return one.lower().removesuffix(".gz") == other.lower().removesuffix(".gz")


# --- one sample -----------------------------------------------------------------------


def _verified(
    experiment: str,
    sample: Sample,
    shared: _Shared,
    toolbox: Toolbox,
) -> RawArray:
    from refinebio_assets.microarray.raw_array import RawArray

    found = _found(experiment, sample, shared, toolbox)
    kind, chip_type = _kind(sample, found)
    raw = RawArray(
        kind=kind,
        name=found.name,
        file=found.stored,
        sources=tuple(each.source_url for each in sample.files),
        shared=found.shared,
        columns=found.columns,
        chip_type=chip_type,
    )
    toolbox.storage.write_json(manifest_path(experiment, sample.sample, toolbox), raw.to_json())
    return raw


def _found(experiment: str, sample: Sample, shared: _Shared, toolbox: Toolbox) -> _Found:
    from refinebio_assets.stored_file import digest_file

    file = chosen_file(sample)
    given = shared.get(file.source_url)
    if isinstance(given, RefinebioError):
        raise given
    if isinstance(given, list):
        member = _member(sample, file, given)
        stored = digest_file(member.path, file.source_url, fetched=True)
        return _Found(stored, member.name, _head(member.path), True, member.columns)
    if given is not None:
        return given
    target = files_folder(experiment, sample.sample, toolbox) / file.filename
    stored = fetch_file(file, target, f"{sample.sample}: {file.filename}", toolbox)
    return _Found(stored, file.filename, _head(Path(stored.path)), shared=False)


def _head(path: Path) -> bytes:
    """The first bytes of the content; read to the end, a gzip stream proves itself whole."""
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


def _kind(sample: Sample, found: _Found) -> tuple[Kind, str | None]:
    """What the file holds, by its content first, and a CEL file's chip type."""
    from refinebio_assets.microarray.cel import is_cel, read_cel_header

    path = Path(found.stored.path)
    if is_cel(found.head):
        return "CEL", read_cel_header(path).chip_type
    if CEL_NAME.search(found.name):
        read_cel_header(path)  # says what is wrong with it
    if b"\0" in found.head or not found.head.strip():
        raise UnsupportedRawFile(
            f"{found.name} is neither a CEL file nor a table.",
            remedy="Provide a CEL file, or values as text.",
        )
    beads = (sample.manufacturer or "").upper() == "ILLUMINA" or is_bead_array(
        sample.platform or ""
    )
    return ("BEADS" if sample.has_raw and beads else "SUBMITTED"), None
