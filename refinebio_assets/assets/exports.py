"""`archs4_h5` and `anndata`: an organism's RNA-seq samples as files for other programs.

Partition: `organisms`. Releases lie under exports/<KIND>/<ORGANISM>/<version>/ and are never
changed; what would be the same as the one before makes no new release.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import dagster as dg
from pydantic import Field

from refinebio_assets.assets import previews
from refinebio_assets.assets.export_checks import Verdict
from refinebio_assets.assets.export_files import MadeExport, inputs_of, make_export
from refinebio_assets.errors import FailedChecks, InvalidRequest
from refinebio_assets.partitions import organisms
from refinebio_assets.resources.compendia import Kind, Release, publish_release, releases_of
from refinebio_assets.resources.export_selection import select_for_export
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.warehouse import Warehouse
from refinebio_assets.resources.warehouse_exports import export_rows

CHECKS = {
    "readable": "All values are read back from the files, and are those that were written.",
    "as_the_catalogue": "Values of some samples are those of the catalogue, or of Salmon's files.",
    "nothing_missing": "No value is missing or infinite.",
    "samples_complete": "Every processed RNA-seq sample is in it.",
}
LIBRARY_SIZES = (0, 1e5, 1e6, 3e6, 1e7, 3e7, 1e8)  # bounds of the bars


def _checks_of(asset: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(name, asset=asset, description=words, blocking=name != "samples_complete")
        for name, words in CHECKS.items()
    ]


@dg.asset(
    deps=["warehouse"],
    group_name="exports",
    kinds={"hdf5"},
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    check_specs=_checks_of("archs4_h5"),
)
def archs4_h5(
    context: dg.AssetExecutionContext, storage: Storage, warehouse_database: Warehouse
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Counts of genes and transcripts as HDF5 that archs4py reads, with the samples' metadata."""
    yield from _make(("archs4",), context, storage, warehouse_database)


class AnnDataConfig(dg.Config):
    """Settings of the asset `anndata`."""

    formats: list[str] = Field(
        default=["h5ad"], description="h5ad (one HDF5 file), zarr (a folder), or both."
    )

    def kinds(self) -> list[Kind]:
        """The kinds of releases, checked."""
        known: dict[str, Kind] = {"h5ad": "anndata", "zarr": "zarr"}
        if not self.formats or set(self.formats) - set(known):
            raise InvalidRequest(
                f"formats are {', '.join(self.formats) or 'none'}.",
                remedy=f"Name some of {', '.join(known)}.",
            )
        return [known[each] for each in dict.fromkeys(self.formats)]


@dg.asset(
    deps=["warehouse", "qn_target"],
    group_name="exports",
    kinds={"h5ad", "zarr"},
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    check_specs=_checks_of("anndata"),
)
def anndata(
    context: dg.AssetExecutionContext,
    config: AnnDataConfig,
    storage: Storage,
    warehouse_database: Warehouse,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Genes as AnnData with layers: counts, TPM, length-scaled TPM, effective lengths.

    Where the organism has a quantile-normalisation target, there is a layer `normalised`, too.
    """
    yield from _make(config.kinds(), context, storage, warehouse_database)


def _make(
    kinds: Sequence[Kind],
    context: dg.AssetExecutionContext,
    storage: Storage,
    warehouse_database: Warehouse,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """The next release of each kind; none is published if a check fails that must hold."""
    organism = context.partition_key
    made: list[MadeExport] = []
    records: list[dict[str, Any]] = []
    with warehouse_database.connect(storage) as database, ExitStack() as publishing:
        selection = select_for_export(organism, database, storage)
        for kind in kinds:
            earlier = _newest(storage, kind, organism)
            if earlier is not None and earlier.record["inputs"] == inputs_of(kind, selection):
                context.log.info(f"{earlier.name} ({kind}): nothing has changed since")
                records.append(earlier.record)
                continue
            version = earlier.version + 1 if earlier else 1
            folder = publishing.enter_context(publish_release(storage, kind, organism, version))
            made.append(
                make_export(
                    kind,
                    selection,
                    version,
                    database=database,
                    storage=storage,
                    folder=folder,
                    run_id=context.run.run_id,
                    log=context.log.info,
                )
            )
            records.append(made[-1].record)
        yield from _results(records)
        wrong = [each["words"] for each in _verdicts(records) if _is_wrong(each)]
        if wrong:
            raise FailedChecks(f"Nothing is published: {' '.join(wrong)}")
    releases = [each for kind in kinds if (each := _newest(storage, kind, organism))]
    yield dg.MaterializeResult(
        metadata=_metadata(releases, made, storage),
        data_version=dg.DataVersion(_digest(releases, storage)),
    )


def _newest(storage: Storage, kind: Kind, organism: str) -> Release | None:
    found = releases_of(storage, kind, organism)
    return found[-1] if found else None


def _is_wrong(verdict: Verdict) -> bool:
    return verdict["must_hold"] and not verdict["holds"]


def _verdicts(records: Sequence[dict[str, Any]], *checks: str) -> list[Verdict]:
    """Of all files of releases: those of some checks, or of all."""
    files = [file for record in records for file in record["files"]]
    return [file["checks"][name] for file in files for name in checks or CHECKS]


def _results(records: Sequence[dict[str, Any]]) -> Iterator[dg.AssetCheckResult]:
    """One result of each check, of all files."""
    for name in CHECKS:
        found = _verdicts(records, name)
        severe = any(map(_is_wrong, found))
        yield dg.AssetCheckResult(
            check_name=name,
            passed=all(each["holds"] for each in found),
            severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
            description=" ".join(each["words"] for each in found),
        )


def _digest(releases: Sequence[Release], storage: Storage) -> str:
    rows = [row for each in releases for row in export_rows(each, storage)]
    return " ".join(row["sha256"] for row in rows)


def _metadata(
    releases: Sequence[Release], made: Sequence[MadeExport], storage: Storage
) -> dict[str, Any]:
    shown = ("level", "version", "num_samples", "num_columns", "num_features", "num_left_out")
    rows = [row for each in releases for row in export_rows(each, storage)]
    files = [
        {name: row[name] for name in ("kind", *shown, "num_bytes", "sha256", "file")}
        for row in rows
    ]
    told: dict[str, Any] = {
        "new_releases": ", ".join(each.kind for each in made) or "none",
        "num_samples": max(row["num_samples"] for row in rows),
        "num_bytes": sum(row["num_bytes"] for row in rows),
        "files": previews.table(files),
    }
    if made:
        left_out = [row for each in made for row in each.left_out()]
        told["left_out"] = previews.table(left_out, most=50)
        told["plot_library_sizes"] = previews.bars(
            _library_sizes(made[0].files[0].library_sizes), "samples"
        )
    return told


def _library_sizes(sizes: Sequence[float]) -> dict[str, float]:
    """How many samples have so many counts."""
    bounds = [*LIBRARY_SIZES, float("inf")]
    return {
        f"from {low:,.0f}": sum(low <= size < high for size in sizes)
        for low, high in pairwise(bounds)
    }
