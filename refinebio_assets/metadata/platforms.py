"""Arrays and sequencers: which are supported, under which names, made by whom.

`platforms.tsv` lists the arrays, `sequencing_platforms.tsv` the sequencers that
refine.bio supports. An array has an internal name (its chip type, lower case, without
punctuation; Illumina's are spelt as refine.bio spells them) and external accessions: GEO's
GPL, ArrayExpress's A-AFFY, A-MEXP, …. Every GPL<n> is also A-GEOD-<n>. `organism` is what
the array's name says, empty where that is no single species; some arrays carry probes of
further ones. Not here: reading the header of a CEL file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

RNA_SEQ = "RNA-SEQ"
MICROARRAY = "MICROARRAY"
UNKNOWN = "UNKNOWN"

_VERSION_OF_ST = re.compile(r"(?<=st)v[0-9]\Z", re.IGNORECASE)
_CHIP_VERSION = re.compile(r"(?<=st)v[12]\Z")
_ANY_VERSION = re.compile("v[12]")
_NOT_IN_KEYS = re.compile("[^a-z0-9]")
_GEO_AT_ARRAYEXPRESS = re.compile(r"A-GEOD-(?=[0-9]+\Z)", re.IGNORECASE)
# Makers by a word in the platform's name; the first word found counts.
_MAKERS = {
    MICROARRAY: {
        "AGILENT": "AGILENT",
        "ILLUMINA": "ILLUMINA",
        "NEXTSEQ": "ILLUMINA",
        "AFFYMETRIX": "AFFYMETRIX",
    },
    RNA_SEQ: {"ILLUMINA": "ILLUMINA", "NEXTSEQ": "NEXTSEQ", "ION TORRENT": "ION_TORRENT"},
}


@dataclass(frozen=True)
class ArrayPlatform:
    """A supported array.

    `name` is Affymetrix's own where refine.bio lists one. `is_brainarray`: BrainArray has
    probe sets for it, so that its values are per Ensembl gene.
    """

    internal: str
    is_brainarray: bool
    name: str | None
    manufacturer: str
    organism: str | None
    external: tuple[str, ...]


@dataclass(frozen=True)
class Platform:
    """A sample's platform; the fields are those of `sources.records.Sample`."""

    platform: str
    platform_name: str
    technology: str
    manufacturer: str


def find_array(accession: str, *, first: bool = False) -> ArrayPlatform | None:
    """The supported array of this name, external or internal, in any case.

    'A-GEOD-570' and 'GPL570' are the same; 'hugene10stv1' is 'hugene10st'; 'HuEx-1_0-st'
    is 'huex10st'. GPL3240, GPL9197 and GPL15396 are listed under two arrays: the survey of
    GEO takes the last, the reader of submitters' values the `first`.
    """
    candidates = _arrays_by_name().get(_canonical(accession), ())
    return candidates[0 if first else -1] if candidates else None


def array_of_chip(chip_type: str, *, strict: bool = False) -> ArrayPlatform | None:
    """The supported Affymetrix array that a CEL file's header names, e.g. 'HG_U95Av2'.

    Punctuation and case do not count. A version of an ST array is left out where only the
    array without it is listed: 'HuGene-1_0-st-v1' is hugene10st.

    `strict` does as refine.bio does, and leaves out every 'v1' and 'v2': 'HG_U95Av2' is hgu95a,
    'MG_U74Av2' mgu74a.
    """
    name = _cleaned(chip_type)
    if strict:
        return _arrays_by_chip().get(_ANY_VERSION.sub("", name))
    return _arrays_by_chip().get(name) or _arrays_by_chip().get(_CHIP_VERSION.sub("", name))


def chip_key(chip_type: str) -> str:
    """A name for any chip: of its array where that is supported, else made in the same way.

    'HG-Focus' -> 'hgfocus'. Letters a-z, digits and `_` only, so that it may name a folder;
    empty where the chip type has no letter or digit.
    """
    array = array_of_chip(chip_type)
    return array.internal if array else _CHIP_VERSION.sub("", _cleaned(chip_type))


def find_sequencer(text: str) -> str | None:
    """The supported sequencer that a text names, e.g. a GPL's title; the longest if several."""
    upper = text.upper()
    return next((name for name in _longest_first() if name.upper() in upper), None)


def is_supported(platform: str) -> bool:
    """Whether data of this platform are processed.

    `platform` is an array's accession or internal name, or names a sequencer with or
    without spaces ('IlluminaHiSeq2000').
    """
    squeezed = _squeezed(platform)
    return find_array(squeezed) is not None or any(
        _squeezed(name) in squeezed for name in sequencers()
    )


def is_bead_array(platform: str) -> bool:
    """Whether a platform, by accession or name, is one of Illumina's bead arrays."""
    array = find_array(platform)
    return (array.internal if array else platform).lower().startswith("illumina")


def manufacturer_of(name: str, technology: str) -> str:
    """Who made a platform, by its name: AFFYMETRIX, ILLUMINA, …, or UNKNOWN."""
    upper = name.upper()
    makers = _MAKERS.get(technology, {})
    return next((maker for word, maker in makers.items() if word in upper), UNKNOWN)


def pretty_name(name: str, platform: str) -> str:
    """'[HG-U133A] Affymetrix U133A', 'hgu133a' -> 'Affymetrix U133A (hgu133a)'."""
    _, bracket, after = name.partition("]")
    return f"{after.strip() if bracket else name} ({platform})"


def platform_of_gpl(gpl: str | None, title: str | None) -> Platform:
    """The platform of a GEO sample, from its own platform's accession and title.

    Never refuses: what isn't supported is named as GEO names it, and UNKNOWN. A sample
    without a platform may still turn out to be an array, by its CEL file.
    """
    if not gpl:
        return Platform(UNKNOWN, UNKNOWN, MICROARRAY, UNKNOWN)
    array = find_array(gpl)
    if array is not None:
        name = array.name or title or array.internal
        maker = (
            array.manufacturer
            if array.name
            else manufacturer_of(pretty_name(name, array.internal), MICROARRAY)
        )
        return Platform(array.internal, name, MICROARRAY, maker)
    sequencer = find_sequencer(title or "")
    if sequencer is not None:
        return Platform(sequencer, sequencer, RNA_SEQ, manufacturer_of(sequencer, RNA_SEQ))
    return Platform(gpl, title or gpl, UNKNOWN, UNKNOWN)


@cache
def arrays() -> tuple[ArrayPlatform, ...]:
    """The supported arrays, in the order of their list."""
    return tuple(
        ArrayPlatform(
            internal=row["internal"],
            is_brainarray=row["is_brainarray"] == "y",
            name=row["name"] or None,
            manufacturer=row["manufacturer"],
            organism=row["organism"] or None,
            external=tuple(row["external"].split(";")),
        )
        for row in _rows("platforms.tsv")
    )


@cache
def sequencers() -> tuple[str, ...]:
    """The names of the supported sequencers, in the order of their list."""
    return tuple(row["name"] for row in _rows("sequencing_platforms.tsv"))


@cache
def _longest_first() -> tuple[str, ...]:
    return tuple(sorted(sequencers(), key=len, reverse=True))


@cache
def _arrays_by_chip() -> dict[str, ArrayPlatform]:
    affymetrix = (array for array in arrays() if array.manufacturer == "AFFYMETRIX")
    return {_cleaned(array.internal): array for array in affymetrix}


@cache
def _arrays_by_name() -> dict[str, tuple[ArrayPlatform, ...]]:
    named: dict[str, tuple[ArrayPlatform, ...]] = {}
    for array in arrays():
        for name in (array.internal, *array.external):
            key = _canonical(name)
            named[key] = (*named.get(key, ()), array)
    # refine.bio's list spells this one array as its maker does.
    named[_canonical("HuEx-1_0-st")] = named[_canonical("huex10st")]
    return named


def _canonical(name: str) -> str:
    """'A-GEOD-570' -> 'GPL570', 'hugene10stv1' -> 'HUGENE10ST'."""
    geo = _GEO_AT_ARRAYEXPRESS.sub("GPL", name.strip())
    return _VERSION_OF_ST.sub("", geo).upper()


def _cleaned(chip_type: str) -> str:
    """'HG_U95Av2' -> 'hgu95av2'."""
    return _NOT_IN_KEYS.sub("", chip_type.lower())


def _squeezed(name: str) -> str:
    return name.upper().replace(" ", "")


def _rows(filename: str) -> Iterator[dict[str, str]]:
    text = (resources.files(__package__) / filename).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
