"""`probe_annotation`: an array's probes, and the genes that they belong to.

Partition: `platforms`. What is built lies under reference/platforms/<platform>/<release>/.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from refinebio_assets import __version__
from refinebio_assets.assets import previews
from refinebio_assets.assets.reference_files import NETWORK_RETRIES, fetch_named
from refinebio_assets.errors import MissingIndex
from refinebio_assets.metadata.platforms import find_array, is_bead_array
from refinebio_assets.partitions import needs_some_of, platforms
from refinebio_assets.resources.annotations import RECORD
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.references import (
    TRANSCRIPTS,
    fingerprint,
    gene_map_path,
    transcriptome_folder,
    transcriptome_record,
)
from refinebio_assets.resources.registry import platform_entry, reference_entry
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    from refinebio_assets.microarray.probes import GeneMap, ProbeTable
    from refinebio_assets.sources.reference_catalogue import PlatformReference


@dg.asset(
    deps=[needs_some_of("transcriptome")],
    group_name="reference",
    kinds={"parquet"},
    partitions_def=platforms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    retry_policy=NETWORK_RETRIES,
)
def probe_annotation(
    context: dg.AssetExecutionContext, storage: Storage, downloads: Downloads
) -> dg.MaterializeResult:
    """An array's probes with their sequences, and their Ensembl genes.

    From BrainArray or the manufacturer, or found by matching the probes to a transcriptome.
    """
    platform = context.partition_key
    entry = platform_entry(storage, platform)
    final = storage.platform(platform, entry.release)
    with storage.staging() as scratch, storage.publish_folder(final) as new:
        files = fetch_named(entry.files, scratch, platform, downloads, context.log.info)
        if is_bead_array(platform):
            counts, preview = _annotate_beads(files, new)
        else:
            counts, preview = _annotate_cells(entry, files, storage, new)
        record = {**_record(entry, counts), "sha256": _digest(new)}
        (new / RECORD).write_text(json.dumps(record, indent=1))
    return dg.MaterializeResult(
        metadata={
            **{name: value for name, value in record.items() if value is not None},
            "sources": "\n".join(record["sources"]),
            "preview": previews.table(preview),
        }
    )


def _annotate_cells(
    entry: "PlatformReference", files: dict[str, list[Path]], storage: Storage, new: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from refinebio_assets.microarray.id_map import id_map_of, read_id_map
    from refinebio_assets.microarray.probe_sources import read_gene_map, read_probes
    from refinebio_assets.microarray.probes import write_gene_map_parquet, write_probe_table

    probes = read_probes(files["probes"])
    write_probe_table(new / "probes.parquet", probes)
    counts = {
        "kind": "cells",
        "num_probes": len(probes.x),
        "num_probe_sets": len(probes.probe_sets),
    }
    genes = None
    if entry.from_transcriptome:
        genes = _matched(entry, probes, storage)
    elif "genes" in files:
        genes = read_gene_map(files["genes"][0])
    if genes is not None:
        write_gene_map_parquet(new / "genes.parquet", genes)
        counts["num_genes"] = len(genes.genes)
    if "id_map" in files:
        read_id_map(files["id_map"][0]).write_parquet(new / "id_map.parquet")
    elif genes is not None:
        id_map_of(probes, genes).write_parquet(new / "id_map.parquet")
    return counts, _first_probes(probes)


def _matched(entry: "PlatformReference", probes: "ProbeTable", storage: Storage) -> "GeneMap":
    """The genes whose transcripts hold the probes' sequences."""
    import polars as pl

    from refinebio_assets.microarray.gene_mapping import map_probes_to_transcripts

    organism = entry.organism or ""
    reference = storage.reference(organism, reference_entry(storage, organism).release)
    if transcriptome_record(reference) is None:
        raise MissingIndex(
            f"{organism} has no transcriptome to match the probes of {entry.platform} to.",
            remedy="Materialize `transcriptome` of the organism first.",
        )
    gene_map = pl.read_parquet(gene_map_path(reference), glob=False)
    gene_of_transcript = dict(gene_map.select("transcript", "gene").iter_rows())
    transcripts = transcriptome_folder(reference) / TRANSCRIPTS
    return map_probes_to_transcripts(probes, transcripts, gene_of_transcript)


def _annotate_beads(
    files: dict[str, list[Path]], new: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import polars as pl

    from refinebio_assets.microarray.bead_annotation import (
        read_bead_annotation,
        read_bead_choices,
        write_bead_annotation,
    )

    annotation = read_bead_annotation(files["probes"][0])
    write_bead_annotation(annotation, new / "probes.parquet")
    choices = read_bead_choices(files["choices"][0]) if "choices" in files else {}
    chosen = pl.DataFrame(
        {"probe_id": list(choices), "gene": list(choices.values())},
        schema={"probe_id": pl.String, "gene": pl.String},
    )
    chosen.write_parquet(new / "choices.parquet")
    table = pl.DataFrame(
        {
            "probe": annotation.probe_ids,
            "quality": annotation.quality,
            "gene": annotation.gene_of_probe(choices),
        }
    )
    counts = {
        "kind": "beads",
        "num_probes": len(table),
        "num_genes": table["gene"].drop_nulls().n_unique(),
    }
    return counts, table.head(10).to_dicts()


def _first_probes(probes: "ProbeTable") -> list[dict[str, Any]]:
    return [
        {
            "x": int(probes.x[row]),
            "y": int(probes.y[row]),
            "sequence": "".join("ACGT"[code] for code in probes.sequence[row]),
            "probe set": probes.probe_sets[probes.probe_set[row]],
        }
        for row in range(min(10, len(probes.x)))
    ]


def _record(entry: "PlatformReference", counts: dict[str, Any]) -> dict[str, Any]:
    known = find_array(entry.platform)
    return {
        "platform": entry.platform,
        "release": entry.release,
        "organism": entry.organism or (known.organism if known else None),
        "num_probe_sets": None,
        "num_genes": None,
        **counts,
        "sources": [
            *(url for urls in entry.files.values() for url in urls),
            *(["the organism's transcriptome"] if entry.from_transcriptome else []),
        ],
        "fingerprint": fingerprint(entry),
        "created_at": datetime.now(UTC).isoformat(),
        "code_version": __version__,
    }


def _digest(folder: Path) -> str:
    """Of the annotation's content: the same probes and genes have the same digest."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
