"""How organisms are named: the scientific name, upper case, words joined by '_'."""

from __future__ import annotations

import re

from refinebio_assets.errors import UnsupportedOrganism

_NAME = re.compile(r"[A-Z][A-Z0-9.-]*(_[A-Z0-9.()-]+)+\Z")
LONGEST = 100


def organism_name(scientific_name: str) -> str:
    """'Homo sapiens' -> 'HOMO_SAPIENS', the form used in keys, tables and paths.

    Raises
    ------
    UnsupportedOrganism
        If the text cannot be a binomial name.
    """
    name = "_".join(scientific_name.strip().upper().replace("_", " ").split())
    if not _NAME.match(name) or ".." in name or len(name) > LONGEST:
        raise UnsupportedOrganism(
            f"{scientific_name[:80]!r} is not a scientific name.",
            remedy="Write genus and species, as in 'Homo sapiens'.",
        )
    return name
