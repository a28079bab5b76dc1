"""The reference tier: an organism's transcriptome, gene map and Salmon indices.

Partition: `organisms`. What is built lies under reference/<ORGANISM>/<release>/.
"""

import gzip
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from refinebio_assets import __version__
from refinebio_assets.assets import previews
from refinebio_assets.assets.progress import Log
from refinebio_assets.assets.reference_files import NETWORK_RETRIES, fetch_named
from refinebio_assets.errors import MissingIndex
from refinebio_assets.partitions import organisms
from refinebio_assets.resources.downloads import Downloads
from refinebio_assets.resources.references import (
    GENE_MAP,
    TRANSCRIPTS,
    fingerprint,
    index_folder,
    transcriptome_folder,
    transcriptome_record,
)
from refinebio_assets.resources.registry import reference_entry
from refinebio_assets.resources.rsem import Rsem
from refinebio_assets.resources.salmon import Salmon
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import polars as pl

    from refinebio_assets.sources.reference_catalogue import Reference


@dg.multi_asset(
    name="transcriptome",
    specs=[
        dg.AssetSpec(
            "transcriptome",
            group_name="reference",
            kinds={"rsem"},
            description="An organism's transcripts (FASTA): cut by RSEM out of an Ensembl "
            "genome with its annotation, pseudogenes left out, or taken as they are.",
        ),
        dg.AssetSpec(
            "gene_map",
            group_name="reference",
            kinds={"parquet"},
            description="Transcript, gene and symbol of the transcriptome.",
        ),
    ],
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
    retry_policy=NETWORK_RETRIES,
)
def transcriptome_assets(
    context: dg.AssetExecutionContext, storage: Storage, downloads: Downloads, rsem: Rsem
) -> Iterator[dg.MaterializeResult]:
    """Fetch an organism's reference files and make transcripts and gene map of them."""
    organism = context.partition_key
    entry = reference_entry(storage, organism)
    final = storage.reference(organism, entry.release)
    with storage.staging() as scratch, storage.publish_folder(transcriptome_folder(final)) as new:
        fetched = fetch_named(entry.files, scratch, organism, downloads, context.log.info)
        if entry.from_genome:
            gene_map, count = _from_genome(fetched, scratch, new, rsem, context.log.info)
        else:
            gene_map, count = _from_transcripts(fetched, scratch, new)
        record = _record(entry, gene_map, count)
        _write(new, gene_map, record)
    shown = {name: str(value) for name, value in record.items() if value is not None}
    yield dg.MaterializeResult("transcriptome", metadata={**shown, "n_transcripts": count})
    yield dg.MaterializeResult(
        "gene_map",
        metadata={
            "n_genes": gene_map["gene"].n_unique(),
            "n_transcripts": len(gene_map),
            "preview": previews.table(gene_map.head(10).to_dicts()),
        },
    )


@dg.asset(
    name="salmon_index_short",
    deps=["transcriptome"],
    group_name="reference",
    kinds={"salmon"},
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
)
def salmon_index_short(
    context: dg.AssetExecutionContext, storage: Storage, salmon: Salmon
) -> dg.MaterializeResult:
    """Salmon index with k = 23, for reads of up to 75 bases on average."""
    return _build_index(context.partition_key, "short", storage, salmon, context.log.info)


@dg.asset(
    name="salmon_index_long",
    deps=["transcriptome"],
    group_name="reference",
    kinds={"salmon"},
    partitions_def=organisms,
    backfill_policy=dg.BackfillPolicy.multi_run(1),
)
def salmon_index_long(
    context: dg.AssetExecutionContext, storage: Storage, salmon: Salmon
) -> dg.MaterializeResult:
    """Salmon index with k = 31, for reads of more than 75 bases on average."""
    return _build_index(context.partition_key, "long", storage, salmon, context.log.info)


def _from_genome(
    fetched: dict[str, list[Path]], scratch: Path, new: Path, rsem: Rsem, log: Log
) -> tuple["pl.DataFrame", int]:
    from refinebio_assets.rnaseq import transcriptome

    genome, annotation = scratch / "genome.fa", scratch / "annotation.gtf"
    with transcriptome.open_text(fetched["genome"][0]) as source, genome.open("w") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    transcriptome.write_filtered_annotation(fetched["annotation"][0], annotation)
    gene_map = transcriptome.gene_map_from_annotation(annotation)
    map_file = scratch / "gene_map.tsv"
    gene_map.select("gene", "transcript").write_csv(map_file, separator="\t", include_header=False)
    folder = scratch / "rsem"
    folder.mkdir()
    cut = rsem.transcripts(genome, annotation, map_file, folder, log)
    return gene_map, _publish_transcripts([cut], scratch, new, gene_map)


def _from_transcripts(
    fetched: dict[str, list[Path]], scratch: Path, new: Path
) -> tuple["pl.DataFrame", int]:
    import polars as pl

    from refinebio_assets.rnaseq import transcriptome

    maps = [transcriptome.gene_map_from_file(path) for path in fetched["gene_map"]]
    gene_map = pl.concat(maps).unique("transcript", keep="first", maintain_order=True)
    return gene_map, _publish_transcripts(fetched["transcripts"], scratch, new, gene_map)


def _publish_transcripts(
    sources: list[Path], scratch: Path, new: Path, gene_map: "pl.DataFrame"
) -> int:
    from refinebio_assets.rnaseq.transcriptome import join_transcripts

    joined = scratch / "joined.fa"
    count = join_transcripts(sources, joined, gene_map)
    with joined.open("rb") as source, gzip.open(new / TRANSCRIPTS, "wb", 4) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return count


def _record(entry: "Reference", gene_map: "pl.DataFrame", transcripts: int) -> dict[str, Any]:
    return {
        "organism": entry.organism,
        "taxonomy_id": entry.taxonomy_id,
        "reference_database": entry.database,
        "reference_release": entry.release,
        "reference_assembly": entry.assembly,
        "num_transcripts": transcripts,
        "num_genes": gene_map["gene"].n_unique(),
        "sources": [url for urls in entry.files.values() for url in urls],
        "fingerprint": fingerprint(entry),
        "created_at": datetime.now(UTC).isoformat(),
        "code_version": __version__,
    }


def _write(new: Path, gene_map: "pl.DataFrame", record: dict[str, Any]) -> None:
    gene_map.write_parquet(new / GENE_MAP)
    gene_map.select("transcript", "gene").write_csv(new / "gene_map.tsv", separator="\t")
    (new / "reference.json").write_text(json.dumps(record, indent=1))


def _build_index(
    organism: str, length: str, storage: Storage, salmon: Salmon, log: Log
) -> dg.MaterializeResult:
    from refinebio_assets.rnaseq.quantification import K_OF_INDEX, index_sha256

    entry = reference_entry(storage, organism)
    reference = storage.reference(organism, entry.release)
    made_from = transcriptome_record(reference)
    if made_from is None:
        raise MissingIndex(
            f"{organism} {entry.release} has no transcriptome.",
            remedy="Materialize `transcriptome` first.",
        )
    version = salmon.version()
    with storage.publish_folder(index_folder(reference, length)) as folder:
        transcripts = transcriptome_folder(reference) / TRANSCRIPTS
        salmon.build_index(transcripts, folder, K_OF_INDEX[length], log)
        record = {
            "organism": organism,
            "length": length,
            "sha256": index_sha256(folder),
            "created_at": datetime.now(UTC).isoformat(),
            "database": made_from["reference_database"],
            "release": made_from["reference_release"],
            "assembly": made_from["reference_assembly"],
        }
        (folder / "index.json").write_text(json.dumps(record, indent=1))
        size = sum(path.stat().st_size for path in folder.iterdir())
    return dg.MaterializeResult(
        metadata={**record, "k": K_OF_INDEX[length], "bytes": size, "salmon_version": version}
    )
