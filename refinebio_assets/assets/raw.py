"""`raw_samples`: the raw files of every sample, fetched, verified and measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.assets import previews
from refinebio_assets.assets.progress import Progress
from refinebio_assets.assets.stage import (
    StageOutcome,
    Toolbox,
    counts_by_status,
    for_each_sample,
    record_statuses,
    surveyed,
)
from refinebio_assets.errors import (
    ChecksumMismatch,
    DownloadFailed,
    RawFileMissing,
    RefinebioError,
    UnsupportedRawFile,
)
from refinebio_assets.resources.storage import read_json

if TYPE_CHECKING:
    from refinebio_assets.rnaseq.raw_reads import RawReads, StoredFile
    from refinebio_assets.sources.records import Experiment, RawFile, Sample

STAGE = "raw_samples"
FILES = "files"  # what was fetched, beside the manifest


def fetch_raw_samples(experiment: str, toolbox: Toolbox) -> StageOutcome:
    """Fetch and verify each RNA-seq sample's files; write its manifest."""
    samples = {each.sample: each for each in processable(surveyed(experiment, toolbox.storage))}
    results = for_each_sample(
        samples, lambda name: _raw_reads(experiment, samples[name], toolbox), toolbox, experiment
    )
    for name in results.errors:
        _manifest_path(experiment, name, toolbox).unlink(missing_ok=True)
    statuses = results.statuses()
    record_statuses(experiment, STAGE, statuses, toolbox)
    if samples and not results:
        raise results.nothing(f"No raw data of {experiment} could be read.")
    return StageOutcome(
        statuses,
        metadata={
            **counts_by_status(statuses),
            "bytes": sum(file.bytes for reads in results.values() for file in reads.files),
            "reads": sum(reads.reads for reads in results.values()),
            "preview": previews.table([_preview(name, raw) for name, raw in results.items()]),
        },
        transient=results.transient,
    )


def processable(experiment: Experiment) -> list[Sample]:
    """The samples that this platform can process."""
    from refinebio_assets.sources.records import RNA_SEQ

    return [
        sample
        for sample in experiment.samples
        if sample.technology == RNA_SEQ and sample.skip_reason is None
    ]


def stored_reads(experiment: str, sample: str, toolbox: Toolbox) -> RawReads | None:
    """A sample's manifest, if its files were verified."""
    from refinebio_assets.rnaseq.raw_reads import RawReads

    manifest = read_json(_manifest_path(experiment, sample, toolbox))
    return RawReads.from_json(manifest) if manifest else None


def drop_fetched(experiment: str, sample: str, toolbox: Toolbox) -> None:
    """Delete the copies that were fetched for a sample; its manifest stays."""
    reads = stored_reads(experiment, sample, toolbox)
    for file in reads.files if reads else ():
        if file.fetched:
            Path(file.path).unlink(missing_ok=True)


def _manifest_path(experiment: str, sample: str, toolbox: Toolbox) -> Path:
    return toolbox.storage.raw_folder(experiment, sample) / "raw.json"


def _raw_reads(experiment: str, sample: Sample, toolbox: Toolbox) -> RawReads:
    from refinebio_assets.assets.rnaseq import is_quantified

    known = stored_reads(experiment, sample.sample, toolbox)
    if known is not None and _same_sources(known, sample):
        if all(file.is_unchanged() for file in known.files):
            return known
        fetched = all(file.fetched for file in known.files)
        if fetched and is_quantified(experiment, sample, known, toolbox):
            return known
    reads = _verify(experiment, sample, toolbox)
    toolbox.storage.write_json(_manifest_path(experiment, sample.sample, toolbox), reads.to_json())
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
            return _fetch_and_measure(experiment, sample, files, toolbox)
        except (DownloadFailed, RawFileMissing) as error:
            first = first or error
            toolbox.log(f"{experiment}, {sample.sample}: {error}")
    raise first or RawFileMissing("The sample names no file.")


def _fetch_and_measure(
    experiment: str, sample: Sample, sources: tuple[RawFile, ...], toolbox: Toolbox
) -> RawReads:
    from refinebio_assets.rnaseq.pairing import assign_mates
    from refinebio_assets.rnaseq.raw_reads import RawReads
    from refinebio_assets.rnaseq.reads import ReadFormat, detect_format

    by_name = {file.filename: file for file in sources}
    if len(by_name) < len(sources):
        raise UnsupportedRawFile("Two of the sample's files have the same name.")
    mates = assign_mates(list(by_name))
    wanted = [by_name[name] for name in (mates.mate1, mates.mate2) if name is not None]
    files = tuple(_fetch(experiment, sample.sample, file, toolbox) for file in wanted)
    formats = {detect_format(Path(file.path)) for file in files}
    if ReadFormat.SRA in formats:
        if len(files) > 1:
            raise UnsupportedRawFile("An .sra file holds both mates: name it alone.")
        measured = _measure_sra(Path(files[0].path), sample, toolbox)
    else:
        measured = _measure_fastq([Path(file.path) for file in files], sample, toolbox)
    discarded = tuple(by_name[name].source_url for name in mates.unmated)
    return RawReads(files=files, discarded=discarded, **measured)


def _fetch(experiment: str, sample: str, file: RawFile, toolbox: Toolbox) -> StoredFile:
    from refinebio_assets.rnaseq.raw_reads import digest_file

    target = toolbox.storage.raw_folder(experiment, sample) / FILES / file.filename
    progress = Progress(toolbox.log, f"{sample}: {file.filename}", file.expected_bytes, "bytes")
    path = toolbox.downloads.fetch(
        file.source_url, target, lambda done, _total: progress.update(done)
    )
    stored = digest_file(path, file.source_url, fetched=path == target)
    if file.expected_md5 and stored.md5 != file.expected_md5.lower():
        if stored.fetched:
            path.unlink()
        raise ChecksumMismatch(
            f"{file.filename} has MD5 {stored.md5}, its source states {file.expected_md5}."
        )
    return stored


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


def _preview(name: str, raw: RawReads) -> dict[str, Any]:
    return {
        "sample": name,
        "format": raw.format,
        "layout": raw.layout,
        "reads": raw.reads,
        "mean length": raw.mean_length,
        "sha256": ", ".join(digest[:12] for digest in raw.sha256),
    }
