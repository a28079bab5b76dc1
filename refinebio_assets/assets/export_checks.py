"""What is seen in an export's file that was read back, and that in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from refinebio_assets.matrix.join import LeftOut

COMPARED = 8  # samples whose values are compared with where they come from
_LISTED = 5


class Verdict(TypedDict):
    """Whether something holds, and that in words; `must_hold`: else nothing is published."""

    holds: bool
    must_hold: bool
    words: str


@dataclass(frozen=True)
class Seen:
    """What reading a file back came to.

    Attributes
    ----------
    contents
        '30 samples × 20,000 genes'.
    as_written
        Whether names and the digests of all values are those that were handed to the writer.
    missing
        Values that are missing or infinite.
    compared
        Sample -> how many of its values are not those that it is made of.
    wanted, there
        Samples.
    """

    contents: str
    as_written: bool
    missing: int
    compared: Mapping[str, int]
    wanted: Sequence[str]
    there: Sequence[str]
    left_out: Sequence[LeftOut]


def verdicts_of(seen: Seen) -> dict[str, Verdict]:
    """Check -> verdict."""
    unlike = [f"{sample} ({wrong:,} values)" for sample, wrong in seen.compared.items() if wrong]
    return {
        "readable": Verdict(
            holds=seen.as_written,
            must_hold=True,
            words=f"{seen.contents}: read back, all values are "
            + ("those written." if seen.as_written else "NOT those written."),
        ),
        "as_the_catalogue": Verdict(
            holds=not unlike,
            must_hold=True,
            words=f"{len(seen.compared)} samples compared with what they are made of: "
            + (f"unlike it are {', '.join(unlike)}." if unlike else "the same values."),
        ),
        "nothing_missing": Verdict(
            holds=not seen.missing,
            must_hold=True,
            words=f"{seen.missing:,} values are missing or infinite.",
        ),
        "samples_complete": _complete(seen),
    }


def _complete(seen: Seen) -> Verdict:
    told = {each.sample for each in seen.left_out}
    there = set(seen.there)
    lost = [sample for sample in seen.wanted if sample not in there | told]
    words = f"{len(there):,} of {len(seen.wanted):,} samples are in it."
    if lost:
        words += f" Lost without a reason: {', '.join(lost[:_LISTED])}."
    if seen.left_out:
        reasons = (f"{each.sample} ({each.reason})" for each in seen.left_out[:_LISTED])
        words += f" Left out, {len(seen.left_out):,}: {' '.join(reasons)}"
    return Verdict(holds=not lost and not seen.left_out, must_hold=bool(lost), words=words)


def to_compare(samples: Sequence[str]) -> list[str]:
    """At most COMPARED of them, at equal distances."""
    return list(samples[:: max(1, -(-len(samples) // COMPARED))])


def count_differences(
    layers: Mapping[str, NDArray[Any]],
    features: Sequence[str],
    origin: pl.DataFrame,
    rounding: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> int:
    """How many values of a sample are not those of its origin.

    Parameters
    ----------
    layers
        Layer -> (features,).
    origin
        Columns feature and, for each layer, its name.
    rounding
        What the file does to values.
    """
    import numpy as np
    import polars as pl

    named = pl.DataFrame({"feature": features})
    expected = named.join(origin, on="feature", how="left", maintain_order="left")
    wrong = 0
    for layer, values in layers.items():
        wanted = expected[layer].cast(pl.Float64).fill_null(np.nan).to_numpy()
        wrong += int((values != (rounding(wanted) if rounding else wanted)).sum())
    return wrong
