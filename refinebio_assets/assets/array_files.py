"""Which file holds a sample's array data: of those that it names, and of those in an archive.

By names alone. Not here: fetching them, and what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from refinebio_assets.errors import RawFileMissing

if TYPE_CHECKING:
    from refinebio_assets.sources.records import RawFile, Sample

MINIML = "_family.xml.tgz"
LONGEST_NAME = 100
NON_NORMALISED = re.compile(r"[-_]non[-_]normalized\.txt", re.IGNORECASE)
# Never data of a sample: pictures, positions, probe lists, results of other programs.
ACCESSORY = re.compile(
    r"\.(xml|chp|exp|idat|ndf|pos|pair|gff|sdf|tiff?|jpe?g|locs|rpt|dtt|cdf|bed|wig|pdf)(\.gz)?\Z",
    re.IGNORECASE,
)
CEL_NAME = re.compile(r"\.cel(\.gz)?\Z", re.IGNORECASE)
TABLE_NAME = re.compile(r"\.(txt|tsv|csv|tab)(\.gz)?\Z", re.IGNORECASE)
ARCHIVE_NAME = re.compile(r"(\.tar|\.tgz|\.tar\.gz|\.zip)\Z", re.IGNORECASE)
_GEO_SAMPLE = re.compile(r"gsm[0-9]+\Z")


@dataclass(frozen=True)
class Member:
    """A file out of an archive; `columns` names those of a table without a header."""

    path: Path
    columns: tuple[str, ...] = ()


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
        raise RawFileMissing(
            "The sample names no file of raw data or of values.",
            remedy="Name its CEL file or its table of values in a sample sheet.",
        )

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


def local_name(file: RawFile) -> str:
    """What a fetched copy is called: as its URL ends, which may be an archive's name.

    `filename` is that of a member, where a source knows it.
    """
    path = urlsplit(file.source_url).path if "://" in file.source_url else file.source_url
    name = path.rstrip("/").rpartition("/")[2]
    return (file.filename if name in ("", ".", "..") else name)[-LONGEST_NAME:]


def members_by_sample(
    wanted: Sequence[tuple[Sample, RawFile]], members: Sequence[Member]
) -> dict[str, list[Member]]:
    """For each sample the files of an archive that can be its own, CEL files before others.

    Those with the name of the file that the sample names, wherever they lie, in any case,
    with or without `.gz`; else those whose name begins with the sample's accession, and not
    with the longer one of another. The only file of an archive needs no name, unless it has
    another sample's, or is one array for several samples.
    """
    candidates = [each for each in members if not ACCESSORY.search(each.path.name)]
    named: dict[str, list[Member]] = {}
    owned: dict[str, list[Member]] = {}
    accessions = {sample.sample.lower() for sample, _ in wanted}
    for each in candidates:
        named.setdefault(_plain(each.path.name), []).append(each)
        owned.setdefault(_begins_with(each.path.name, accessions), []).append(each)
    nobodys = candidates if len(candidates) == 1 and owned.get("") else []
    if len(wanted) > 1:
        nobodys = [each for each in nobodys if not CEL_NAME.search(each.path.name)]
    found = {}
    for sample, file in wanted:
        theirs = named.get(_plain(file.filename)) or owned.get(sample.sample.lower()) or nobodys
        cels = [each for each in theirs if CEL_NAME.search(each.path.name)]
        found[sample.sample] = cels or theirs
    return found


def only_member(sample: Sample, file: RawFile, found: Mapping[str, Sequence[Member]]) -> Member:
    """The sample's file in an archive, of those that `members_by_sample` found.

    Raises
    ------
    RawFileMissing
        There is none, or it can't be told which.
    """
    theirs = found.get(sample.sample, ())
    if len(theirs) == 1:
        return theirs[0]
    told = ", ".join(each.path.name for each in theirs[:5])
    raise RawFileMissing(
        f"{local_name(file)} holds several files that could be {sample.sample}'s: {told}."
        if theirs
        else f"{local_name(file)} holds no file of {sample.sample}.",
        remedy="Name the sample's own file in a sample sheet, or have the archive corrected.",
    )


def _plain(name: str) -> str:
    return name.lower().removesuffix(".gz")


def _begins_with(name: str, accessions: set[str]) -> str:
    """The longest accession that a file's name begins with, in lower case; '' if there is none.

    'GSM123_a.CEL' begins with GSM123, and not with GSM12. An accession of GEO that is none of
    the given ones counts, too.
    """
    lower = name.lower()
    for end in range(len(lower), 0, -1):
        start, after = lower[:end], lower[end : end + 1]
        is_of_geo = _GEO_SAMPLE.match(start)
        goes_on = after.isdigit() if is_of_geo else after.isalnum()
        if not goes_on and (start in accessions or is_of_geo):
            return start
    return ""
