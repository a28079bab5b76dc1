"""Names that become partition keys and folders, and which source an accession belongs to."""

from __future__ import annotations

import re
from typing import Literal

from refinebio_assets.errors import InvalidAccession

Source = Literal["GEO", "SRA", "ARRAY_EXPRESS"]

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_PUBLIC: dict[Source, re.Pattern[str]] = {
    "GEO": re.compile(r"GS[EM]\d{1,9}\Z"),
    "SRA": re.compile(r"(?:[SED]R[PRXS]\d{5,10}|PRJ[A-Z]{1,3}\d{1,10})\Z"),
    "ARRAY_EXPRESS": re.compile(r"E-[A-Z]{4}-\d{1,9}\Z"),
}


def valid_accession(name: str, *, what: str = "experiment") -> str:
    """The trimmed name, if it may become a partition key and a path component.

    Experiments (GSE…, SRP…, E-MTAB-…, a lab's own names), samples and releases all pass
    through here before they are used in a path or registered.

    Raises
    ------
    InvalidAccession
        For anything but 1-100 of letters, digits, '.', '_', '-' after a letter or digit.
    """
    trimmed = name.strip()
    if not _ALLOWED.match(trimmed) or ".." in trimmed:
        raise InvalidAccession(f"{name[:120]!r} is not a valid {what} name.")
    return trimmed


def source_of(accession: str) -> Source | None:
    """The public source that issues accessions of this form; None for a lab's own name."""
    for source, pattern in _PUBLIC.items():
        if pattern.match(accession):
            return source
    return None
