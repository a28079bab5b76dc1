"""The raw reads of an RNA-seq sample: FASTQ files or an .sra file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.raw_files import fetch_file, files_folder, manifest_path
from refinebio_assets.assets.stage import Toolbox
from refinebio_assets.errors import (
    DownloadFailed,
    RawFileMissing,
    RefinebioError,
    UnsupportedRawFile,
)
from refinebio_assets.resources.storage import read_json

if TYPE_CHECKING:
    from refinebio_assets.rnaseq.raw_reads import RawReads
    from refinebio_assets.sources.records import RawFile, Sample


def stored_reads(experiment: str, sample: str, toolbox: Toolbox) -> RawReads | None:
    """A sample's manifest, if its files were verified."""
    from refinebio_assets.rnaseq.raw_reads import RawReads

    manifest = read_json(manifest_path(experiment, sample, toolbox))
    return RawReads.from_json(manifest) if manifest else None


def verified_reads(experiment: str, sample: Sample, toolbox: Toolbox) -> RawReads:
    """Fetch and verify a sample's reads, unless that is done; write its manifest."""
    from refinebio_assets.assets.rnaseq import is_quantified

    known = stored_reads(experiment, sample.sample, toolbox)
    if known is not None and _same_sources(known, sample):
        if all(file.is_unchanged() for file in known.files):
            return known
        fetched = all(file.fetched for file in known.files)
        if fetched and is_quantified(experiment, sample, known, toolbox):
            return known
    reads = _verify(experiment, sample, toolbox)
    toolbox.storage.write_json(manifest_path(experiment, sample.sample, toolbox), reads.to_json())
    layout = "pairs of reads" if reads.layout == "PAIRED" else "reads"
    toolbox.log(
        f"{experiment}, {sample.sample}: {reads.reads:,} {layout}, "
        f"{reads.mean_length:.0f} bases on average"
    )
    return reads


def _same_sources(known: RawReads, sample: Sample) -> bool:
    read = {file.source_url for file in known.files} | set(known.discarded)
    return any(read == {file.source_url for file in files} for files in _places(sample))


def _places(sample: Sample) -> list[tuple[RawFile, ...]]:
    """The sample's files as its source names them, then, for a public run, as another has them."""
    from refinebio_assets.sources.sra import elsewhere

    others = elsewhere(sample.sample, sample.files) if sample.source_database == "SRA" else ()
    return [files for files in (sample.files, others) if files]


def _verify(experiment: str, sample: Sample, toolbox: Toolbox) -> RawReads:
    first: RefinebioError | None = None
    for files in _places(sample):
        try:
            folder = files_folder(experiment, sample.sample, toolbox)
            return fetch_and_measure(sample, files, folder, toolbox)
        except (DownloadFailed, RawFileMissing) as error:
            first = first or error
            toolbox.log(f"{experiment}, {sample.sample}: {error}")
    raise first or RawFileMissing("The sample names no file.")


def fetch_and_measure(
    sample: Sample, sources: Sequence[RawFile], folder: Path, toolbox: Toolbox
) -> RawReads:
    """Find out which files are mates; fetch into `folder` what is not here; check every read."""
    from refinebio_assets.rnaseq.pairing import assign_mates
    from refinebio_assets.rnaseq.raw_reads import RawReads
    from refinebio_assets.rnaseq.reads import ReadFormat, detect_format

    by_name = {file.filename: file for file in sources}
    if len(by_name) < len(sources):
        raise UnsupportedRawFile("Two of the sample's files have the same name.")
    mates = assign_mates(list(by_name))
    wanted = [by_name[name] for name in (mates.mate1, mates.mate2) if name is not None]
    files = tuple(
        fetch_file(file, folder / file.filename, f"{sample.sample}: {file.filename}", toolbox)
        for file in wanted
    )
    formats = {detect_format(Path(file.path)) for file in files}
    if ReadFormat.SRA in formats:
        if len(files) > 1:
            raise UnsupportedRawFile("An .sra file holds both mates: name it alone.")
        measured = _measure_sra(Path(files[0].path), sample, toolbox)
    else:
        measured = _measure_fastq([Path(file.path) for file in files], sample, toolbox)
    discarded = tuple(by_name[name].source_url for name in mates.unmated)
    return RawReads(files=files, discarded=discarded, **measured)


def _measure_fastq(paths: list[Path], sample: Sample, toolbox: Toolbox) -> dict[str, Any]:
    from refinebio_assets.rnaseq.reads import scan_fastq, scan_pair

    progress = Progress(toolbox.log, f"{sample.sample}: checked", None, "reads")
    if len(paths) == 2:
        found = scan_pair(paths[0], paths[1], progress=progress.update)
    else:
        found = scan_fastq(paths[0], progress=progress.update)
    return {
        "format": "FASTQ",
        "layout": "PAIRED" if len(paths) == 2 else "SINGLE",
        "reads": found.reads,
        "bases": found.bases,
        "mean_length": found.mean_length,
    }


def _measure_sra(path: Path, sample: Sample, toolbox: Toolbox) -> dict[str, Any]:
    toolbox.sra_toolkit.version()
    toolbox.sra_toolkit.check_whole(path)
    found = toolbox.sra_toolkit.statistics(path)
    return {
        "format": "SRA",
        # A run whose second mates are all empty is single, whatever its record says.
        "layout": found.layout if found.layout == "SINGLE" else sample.library_layout or "PAIRED",
        "reads": found.spots,
        "bases": found.bases,
        "mean_length": found.mean_length,
    }
