"""Do SCAN values follow known concentrations? The Latin-square experiment on HG_U95A answers.

Transcripts of 16 probe sets were added to one and the same RNA, in known amounts that differ
between the arrays; everything else is equal. FOLDER holds `sampleinfo.txt` (a row per array:
its file name, then pM of each probe set) and at least two of its CEL files. PROBE_TAB is
that of HG_U95Av2: see README.md for why it fits. Usage: spike_in.py FOLDER PROBE_TAB
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from refinebio_assets.microarray.array_model import ArrayModel
from refinebio_assets.microarray.cel import read_cel
from refinebio_assets.microarray.probe_sources import read_probes
from refinebio_assets.microarray.scan import SCANFAST

NONE_AS = 0.125  # pM; half of the lowest concentration that was used
LINEAR = (1, 128)  # pM: below, nothing is seen; above, probes saturate


def main() -> None:
    """Compare the first with the last mixture of the folder."""
    folder, probe_tab = map(Path, sys.argv[1:])
    amounts = read_amounts(folder)
    mixtures = amounts.drop("filenames").unique(maintain_order=True)
    if len(mixtures) < 2:
        raise SystemExit(f"{folder} has CEL files of fewer than two mixtures.")
    model = ArrayModel.prepared(read_probes([probe_tab]), None, SCANFAST)
    columns: dict[str, np.ndarray] = {}
    concentrations = pl.DataFrame({"probe_set": mixtures.columns})
    for which, mixture in (("first", mixtures[0]), ("last", mixtures[-1])):
        theirs = amounts.join(mixture, on=mixture.columns)["filenames"].to_list()
        print(f"{which} mixture: {', '.join(theirs)}")
        columns[which] = np.mean(
            [model.expression(read_cel(folder / name)).values for name in theirs], axis=0
        )
        pm = mixture.transpose(column_names=[f"pM_{which}"])[:, 0]
        concentrations = concentrations.with_columns(pm)
    values = pl.DataFrame({"probe_set": model.groups.names, **columns})
    report(values.join(concentrations, on="probe_set", how="left", maintain_order="left"))


def read_amounts(folder: Path) -> pl.DataFrame:
    """The rows of `sampleinfo.txt` whose CEL files are here."""
    table = pl.read_csv(folder / "sampleinfo.txt", separator="\t")
    here = [(folder / name).exists() for name in table["filenames"]]
    return table.filter(pl.Series(here)).with_columns(pl.exclude("filenames").cast(pl.Float64))


def report(table: pl.DataFrame) -> None:
    """Print the table, and what it amounts to."""
    table = table.with_columns(change=pl.col("last") - pl.col("first"), expected=_log2_ratio())
    spiked = table.filter(pl.col("expected").is_not_null()).sort("pM_first", "pM_last")
    others = table.filter(pl.col("expected").is_null())["change"].to_numpy()

    print(f"\n{'probe set':10}{'pM':>14}{'log2 ratio':>12}{'values':>16}{'change':>9}")
    for row in spiked.iter_rows(named=True):
        amounts = f"{row['pM_first']:g} -> {row['pM_last']:g}"
        ratio = f"{row['expected']:+.0f}" if row["pM_first"] and row["pM_last"] else "–"
        seen = f"{row['first']:.2f} -> {row['last']:.2f}"
        print(f"{row['probe_set']:10}{amounts:>14}{ratio:>12}{seen:>16}{row['change']:+9.2f}")

    print("\nWithin a mixture")
    for which in ("first", "last"):
        pm = pl.col(f"pM_{which}")
        rank = spiked.select(pl.corr(pm, which, method="spearman")).item()
        some = spiked.filter(pm > 0)
        linear = spiked.filter(pm.is_between(*LINEAR))
        print(
            f"  {which}: rank correlation of value and concentration {rank:.2f}; "
            f"slope per doubling {_slope(some, which):.2f}, at {LINEAR[0]}-{LINEAR[1]} pM "
            f"{_slope(linear, which):.2f}"
        )

    both = spiked.filter((pl.col("pM_first") > 0) & (pl.col("pM_last") > 0))
    linear = both.filter(
        pl.col("pM_first").is_between(*LINEAR) & pl.col("pM_last").is_between(*LINEAR)
    )
    best = pl.struct("expected", "change").rank("ordinal")  # an order without any mistake
    rank, most = (
        spiked.select(pl.corr("expected", other, method="spearman")).item()
        for other in ("change", best)
    )
    slope = table.select(
        pl.cov(pl.col("expected").fill_null(0), "change") / pl.col("expected").fill_null(0).var()
    ).item()
    rising = spiked.filter(pl.col("expected") > 0)["change"].to_numpy()
    print("Between the mixtures")
    print(
        f"  change per doubling, mean of {len(both)} probe sets that are in both: "
        f"{(both['change'] / both['expected']).mean():.2f}; of the {len(linear)} at "
        f"{LINEAR[0]}-{LINEAR[1]} pM: {(linear['change'] / linear['expected']).mean():.2f}"
    )
    print(
        f"  rank correlation of change and log2 ratio (absent as {NONE_AS} pM): {rank:.2f}, "
        f"where {most:.2f} is the most that ties allow"
    )
    print(f"  slope of change on log2 ratio over all {len(table):,} probe sets: {slope:.2f}")
    print(
        f"  {len(rising)} whose amount rises are above "
        f"{100 * np.mean([np.mean(each > others) for each in rising]):.1f} % "
        f"of the {len(others):,} others"
    )
    print(
        f"  the others: median change {np.median(others):+.2f}; within 0.25 "
        f"{100 * np.mean(np.abs(others) < 0.25):.1f} %, within 0.5 "
        f"{100 * np.mean(np.abs(others) < 0.5):.1f} %; largest {np.abs(others).max():.2f}"
    )


def _log2_ratio() -> pl.Expr:
    """Of the two concentrations; null where the probe set was not spiked."""
    first, last = (pl.col(f"pM_{which}").clip(NONE_AS) for which in ("first", "last"))
    return (last / first).log(2)


def _slope(table: pl.DataFrame, which: str) -> float:
    """Of the values on log2 concentration."""
    x, y = table[f"pM_{which}"].log(2).to_numpy(), table[which].to_numpy()
    return float(np.polyfit(x, y, 1)[0])


if __name__ == "__main__":
    main()
