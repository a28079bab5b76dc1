"""The thresholds of a normalized compendium, with refine.bio's as defaults.

Source: refine.bio's compendia. Not here: what is done by them, and which samples are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

from refinebio_assets.errors import InvalidRequest

Engine = Literal["svd", "none", "fancyimpute"]

_HOW: Final = "The defaults are refine.bio's; leave the rule out to have them."


@dataclass(frozen=True)
class Rules:
    """How samples become a compendium.

    Attributes
    ----------
    gene_presence
        A gene is considered if more than this share of all usable samples have it.
    low_count_percentile
        A gene is taken out of the RNA-seq samples if the sum of its counts is below this
        percentile of all genes' sums.
    most_missing_per_gene, most_missing_per_sample
        The largest share of missing values that is kept. Zeros of RNA-seq are missing there.
    rank
        Of the approximation that missing values come from.
    engine
        `svd` imputes on disk, `fancyimpute` with the original in memory; `none` leaves gaps.
    quantile_normalize
        Whether every sample is brought to the target of the compendium's organism.
    hold_out_samples
        With so many samples it is measured how far imputed values are off; 0: not at all.

    Raises
    ------
    InvalidRequest
        A rule cannot be followed.
    """

    gene_presence: float = 0.5
    low_count_percentile: float = 10.0
    most_missing_per_gene: float = 0.3
    most_missing_per_sample: float = 0.5
    rank: int = 10
    engine: Engine = "svd"
    quantile_normalize: bool = True
    hold_out_samples: int = 2000

    def __post_init__(self) -> None:
        _check_number("gene_presence", self.gene_presence, 1)
        _check_number("low_count_percentile", self.low_count_percentile, 100)
        _check_number("most_missing_per_gene", self.most_missing_per_gene, 1)
        _check_number("most_missing_per_sample", self.most_missing_per_sample, 1)
        _check_whole("rank", self.rank, 1)
        _check_whole("hold_out_samples", self.hold_out_samples, 0)
        if self.engine not in get_args(Engine):
            known = ", ".join(get_args(Engine))
            raise InvalidRequest(f"engine is {self.engine!r}, and not one of {known}.", remedy=_HOW)
        if not isinstance(self.quantile_normalize, bool):
            raise InvalidRequest("quantile_normalize is true or false.", remedy=_HOW)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `read_rules` reads."""
        return asdict(self)


def read_rules(content: Any) -> Rules:
    """Read and check rules; those that are not given are refine.bio's.

    Raises
    ------
    InvalidRequest
        Saying what is wrong with them.
    """
    if not isinstance(content, Mapping):
        raise InvalidRequest("The rules of a compendium are a mapping.", remedy=_HOW)
    known = [each.name for each in fields(Rules)]
    unknown = sorted(set(map(str, content)) - set(known))
    if unknown:
        raise InvalidRequest(
            f"A compendium has no rule {unknown[0]!r}.", remedy=f"There are {', '.join(known)}."
        )
    return Rules(**content)


def _check_number(name: str, value: object, most: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or math.isnan(value) or not 0 <= value <= most:  # type: ignore[arg-type,operator]
        raise InvalidRequest(f"{name} is {value!r}, and not from 0 to {most}.", remedy=_HOW)


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidRequest(
            f"{name} is {value!r}, and not a whole number from {least} on.", remedy=_HOW
        )
