"""Which Illumina array a table of bead summaries is from, told by its probe ids.

Not here: the probes of the arrays (`bead_annotation.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from refinebio_assets.errors import IdentifiersNotRecognised

MAPPED_ABOVE: Final = 75.0


@dataclass(frozen=True)
class Detection:
    """The platform whose probes a table has.

    Attributes
    ----------
    platform
        Bioconductor's name, such as `illuminaHumanv3`.
    detection_percentage
        How many of the platform's probes the table has, in per cent.
    mapped_percentage
        Ids of the platform per row of the table, in per cent. A row with an id that was
        there before counts as a row only.
    """

    platform: str
    detection_percentage: float
    mapped_percentage: float


def detect_bead_platform(
    ids: Iterable[str | None], candidates: Mapping[str, Iterable[str]]
) -> Detection:
    """The candidate of whose probes the table has the greatest share.

    Parameters
    ----------
    ids
        One per row of the table.
    candidates
        Platform to the ids of all its probes; of equals the first counts.

    Raises
    ------
    IdentifiersNotRecognised
        Not more than 75 % of the rows are its probes.
    """
    rows = _texts(ids)
    known = rows.drop_nulls().unique(maintain_order=True)
    best: Detection | None = None
    for platform, probes in candidates.items():
        keys = _texts(probes).drop_nulls().unique()
        common = int(known.is_in(keys.implode()).sum())
        if common and (best is None or 100 * common / len(keys) > best.detection_percentage):
            best = Detection(platform, 100 * common / len(keys), 100 * common / len(rows))
    if best is None:
        raise IdentifiersNotRecognised(
            f"None of the table's ids ({', '.join(known.head(3))}, …) is a probe of "
            f"{' or '.join(candidates)}."
        )
    if best.mapped_percentage <= MAPPED_ABOVE:
        raise IdentifiersNotRecognised(
            f"Only {best.mapped_percentage:.1f} % of the table's rows are probes of "
            f"{best.platform}, the likeliest platform; more than {MAPPED_ABOVE:g} % are needed."
        )
    return best


def _texts(ids: Iterable[str | None]) -> pl.Series:
    values = ids if isinstance(ids, pl.Series) else list(ids)
    return pl.Series(values, dtype=pl.String)
