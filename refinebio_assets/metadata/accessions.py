"""Names that become partition keys and folders: what is allowed, checked in one place."""

from __future__ import annotations

import re

from refinebio_assets.errors import InvalidAccession

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


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
