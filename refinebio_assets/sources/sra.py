"""SRA and ENA: public RNA-seq studies, run by run.

A study's runs come from ENA's portal; where ENA has none (yet), from NCBI's SRA. Every
run becomes a sample, also one that won't be processed: it says why. Submitted metadata
are the fields of the run, over them those of its BioSample, and those of the study with
the prefix `study_ena_`. Not here: what the services are asked (`sources.ena`,
`sources.biosamples`, `sources.sra_xml`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Literal

from refinebio_assets.errors import (
    AccessionAbsent,
    InvalidAccession,
    SourceAnswerInvalid,
    UnsupportedOrganism,
)
from refinebio_assets.metadata.harmonise import harmonise, title_of
from refinebio_assets.metadata.organisms import organism_name
from refinebio_assets.metadata.platforms import (
    RNA_SEQ,
    UNKNOWN,
    find_sequencer,
    sequencers,
)
from refinebio_assets.sources import biosamples, ena
from refinebio_assets.sources.ena import ListedFile, Row
from refinebio_assets.sources.geo import publication
from refinebio_assets.sources.records import (
    Attribute,
    Experiment,
    RawFile,
    Relation,
    Sample,
)
from refinebio_assets.sources.sra_xml import SRA_BYTES, SRA_MD5, SRA_URL, fetch_from_ncbi
from refinebio_assets.sources.web import Web

OPEN_DATA = "https://sra-pub-run-odp.s3.amazonaws.com/sra"
DATABASE = "SRA"
MANUFACTURERS = ("ILLUMINA", "ION_TORRENT")
STRATEGY = "RNA-Seq"
SOURCE = "TRANSCRIPTOMIC"
SINGLE_CELL = "TRANSCRIPTOMIC SINGLE CELL"
STUDY_PREFIX = "study_ena_"

_STUDY_OR_RUN = re.compile(r"([SED]R[PRX][0-9]{5,12}|PRJ(NA|EB|DB|DA)[0-9]{1,12})\Z")
_STUDY = re.compile(r"[SED]RP[0-9]{5,12}\Z")
_OTHER_SOURCE = re.compile(r"(GSE[0-9]{1,9}|E-[A-Z]{4}-[0-9]{1,9})\Z")
# The words and numbers with which INSDC marks what is no longer to be had.
_WITHDRAWN = re.compile(r"suppress|kill|cancel|withdraw|\A[35678]\Z", re.IGNORECASE)
_NOT_PUBLIC = re.compile(r"private|draft|controlled|\A[12]\Z", re.IGNORECASE)
_PROTOCOLS = (
    "library_construction_protocol",
    "extraction_protocol",
    "experimental_protocol",
    "sequencing_method",
)
_NOT_SUBMITTED = frozenset({*ena.FILES, SRA_URL, SRA_MD5, SRA_BYTES})


@dataclass(frozen=True)
class Study:
    """All that was read of one study; `materials` are its BioSamples by accession."""

    accession: str
    runs: tuple[Row, ...]
    record: Row
    pubmed_id: str | None = None
    materials: Mapping[str, Row] = field(default_factory=dict)


def survey(
    accession: str,
    web: Web,
    *,
    fields: ena.Fields | None = None,
    prefer: Literal["sra", "ena"] = "ena",
) -> Experiment:
    """The study of an accession, with all of its runs.

    Parameters
    ----------
    accession
        A study (SRP…, ERP…, DRP…), a project (PRJ…) of one study, or an experiment or a
        run of the study (SRX…, SRR…, …).
    fields
        What to ask ENA for (`ena.negotiate`), where the caller has it; its `missing` are
        worth reporting.
    prefer
        Where reads come from (`files_of_run`).

    Raises
    ------
    InvalidAccession
        Of another form, or of a project with several studies.
    AccessionAbsent
        Neither ENA nor SRA has a public run of it.
    SourceAnswerInvalid, SourceUnavailable, SourceRefused
    """
    name = accession.strip().upper()
    if not _STUDY_OR_RUN.match(name):
        raise InvalidAccession(
            f"{accession[:80]!r} is no accession of SRA or ENA.",
            remedy="Give a study (SRP…, ERP…, DRP…, PRJ…), an experiment or a run.",
        )
    try:
        study = _from_ena(name, web, fields)
    except AccessionAbsent:
        study = _from_ncbi(name, web)
    experiment = describe(study, prefer=prefer)
    if experiment.pubmed_id is None:
        return experiment
    found = publication(experiment.pubmed_id, web)
    return replace(
        experiment,
        publication_title=found.title,
        publication_doi=found.doi,
        publication_authors=found.authors,
    )


def describe(study: Study, *, prefer: Literal["sra", "ena"] = "ena") -> Experiment:
    """A study as an experiment: its runs, judged, and what is known of the whole.

    `source_sha256` is the digest of the records, sorted: the services answer in changing
    order, which is no change of the study.
    """
    record = study.record
    runs = sorted(study.runs, key=lambda run: run["run_accession"])
    content = [runs, record, study.pubmed_id, study.materials]
    canonical = json.dumps(content, sort_keys=True, default=dict).encode()
    elsewhere = _elsewhere(record, runs)
    first = runs[0]
    return Experiment(
        experiment=study.accession,
        source_database=DATABASE,
        samples=tuple(_sample(run, study, prefer) for run in runs),
        source_sha256=hashlib.sha256(canonical).hexdigest(),
        title=record.get("study_title") or first.get("study_title"),
        description=record.get("study_description"),
        alternate_accession=elsewhere[0] if elsewhere else None,
        source_url=f"{ena.VIEW}/{study.accession}",
        protocol_description=_protocols([record, *runs], study.accession),
        submitter_institution=record.get("center_name") or first.get("center_name"),
        pubmed_id=study.pubmed_id,
        source_first_published=_moment(record.get("first_public") or first.get("first_public")),
        source_last_modified=_moment(record.get("last_updated") or first.get("last_updated")),
        relations=(
            *(Relation("bioproject", project) for project in _projects(runs)),
            *(Relation("same_as", target) for target in elsewhere),
        ),
    )


def files_of_run(record: Row, prefer: Literal["sra", "ena"] = "ena") -> tuple[RawFile, ...]:
    """The files to fetch for a run: ENA's FASTQ, or NCBI's .sra object.

    ENA is preferred because it publishes a digest of every FASTQ; the .sra, whose digest is
    known only where NCBI's own record was read, stands in where ENA lists no FASTQ. Where
    ENA has three files, the one without `_1` or `_2` holds reads that lost their mate: only
    the two mates are taken, and never the .sra, which mixes them all. Files are chosen by
    name, never by position. Empty if nothing is public.

    Raises
    ------
    SourceAnswerInvalid
        If names, digests and sizes don't belong together.
    """
    run = record["run_accession"]
    listed = ena.listed_files(record, "fastq")
    by_name = {file.name: file for file in listed}
    mates = [by_name.get(f"{run}_{mate}.fastq.gz") for mate in (1, 2)]
    pair = [mate for mate in mates if mate is not None]
    has_unmated = len(pair) == 2 and len(listed) > 2
    if len(pair) == 2 and (prefer == "ena" or has_unmated):
        return tuple(map(_fastq, pair))
    if len(listed) == 1 and prefer == "ena" and (pair or f"{run}.fastq.gz" in by_name):
        return (_fastq(listed[0]),)
    if not _has_data(record):
        return ()
    size, digest = record.get(SRA_BYTES, ""), record.get(SRA_MD5, "")
    return (
        RawFile(
            f"{run}.sra",
            record.get(SRA_URL) or f"{OPEN_DATA}/{run}/{run}",
            expected_md5=digest if re.fullmatch("[0-9a-f]{32}", digest) else None,
            expected_bytes=int(size) if re.fullmatch("[0-9]{1,18}", size) else None,
        ),
    )


def elsewhere(run: str, tried: Iterable[RawFile]) -> tuple[RawFile, ...]:
    """The run at the open-data bucket, unless that is what was tried; nothing then."""
    url = f"{OPEN_DATA}/{run}/{run}"
    known = any(file.source_url == url for file in tried)
    return () if known else (RawFile(filename=f"{run}.sra", source_url=url),)


def discover_query(
    since: date,
    until: date,
    *,
    taxonomy_ids: Sequence[int] = (),
    instruments: Iterable[str] | None = None,
    changed: bool = False,
) -> dict[str, str]:
    """What to ask `ena.SEARCH` for the RNA-seq studies that became public in a window.

    Parameters
    ----------
    since, until
        First and last day.
    taxonomy_ids
        Organisms, by NCBI's taxonomy; all if empty.
    instruments
        Models of sequencers; all that are supported if not given.
    changed
        Ask for those that were last updated in the window instead.
    """
    models = sequencers() if instruments is None else tuple(instruments)
    day = "last_updated" if changed else "first_public"
    terms = [
        f"{day}>={since.isoformat()}",
        f"{day}<={until.isoformat()}",
        f'library_strategy="{STRATEGY}"',
        f'library_source="{SOURCE}"',
        _any(f'instrument_model="{model}"' for model in models),
        _any(f"tax_eq({int(taxon)})" for taxon in taxonomy_ids),
    ]
    return {
        "result": "read_study",
        "dataPortal": "ena",
        "query": " AND ".join(filter(None, terms)),
        "fields": "study_accession,secondary_study_accession,first_public",
        "format": "json",
    }


def parse_discovery(body: bytes) -> list[tuple[str, date]]:
    """The studies of an answer to `discover_query`, each with its first public day.

    Distinct (ENA lists a study once per run), by prefix and number of the accession. A
    study without an SRP…, ERP… or DRP… goes by its project.

    Raises
    ------
    SourceAnswerInvalid
    """
    found: dict[str, date] = {}
    for row in ena.parse_rows(body, "first_public"):
        study = row.get("secondary_study_accession") or row.get("study_accession") or ""
        published = _moment(row["first_public"])
        if not _STUDY_OR_RUN.match(study) or published is None:
            raise SourceAnswerInvalid(
                f"ENA lists the study {study[:80]!r}, public on {row['first_public'][:40]!r}."
            )
        found[study] = min(found.get(study, date.max), published.date())
    return sorted(found.items(), key=lambda item: _prefix_and_number(item[0]))


def _from_ena(accession: str, web: Web, fields: ena.Fields | None) -> Study:
    asked = fields or ena.negotiate(ena.available_fields(web))
    runs = ena.fetch_runs(accession, web, asked)
    study = _only_study(runs, accession)
    if not (accession.startswith("PRJ") or _STUDY.match(accession)):
        runs = ena.fetch_runs(study, web, asked)
    named = sorted({run.get("sample_accession", "") for run in runs})
    return Study(
        study,
        tuple(runs),
        ena.fetch_study(study, web),
        ena.fetch_pubmed_id(study, web),
        {
            name: biosamples.fetch_biosample(name, web)
            for name in named
            if biosamples.is_biosample(name)
        },
    )


def _from_ncbi(accession: str, web: Web) -> Study:
    records = fetch_from_ncbi(accession, web)
    study = _only_study(records.runs, accession)
    if not (accession.startswith("PRJ") or _STUDY.match(accession)):
        records = fetch_from_ncbi(study, web)
    record = dict(records.studies.get(study, {}))
    pubmed_id = ena.lowest_pubmed_id(record.pop("pubmed_id", "").split(";"))
    return Study(study, records.runs, record, pubmed_id)


def _only_study(runs: Sequence[Row], accession: str) -> str:
    studies = sorted({_study_of(run) for run in runs})
    if len(studies) > 1:
        some = ", ".join(studies[:5]) + (", …" if len(studies) > 5 else "")
        raise InvalidAccession(
            f"{accession} has {len(studies)} studies: {some}.", remedy="Survey them one by one."
        )
    return studies[0]


def _study_of(run: Row) -> str:
    study = run.get("secondary_study_accession") or run.get("study_accession") or ""
    if not _STUDY_OR_RUN.match(study):
        raise SourceAnswerInvalid(f"{run['run_accession']} belongs to no study ({study[:40]!r}).")
    return study


def _sample(run: Row, study: Study, prefer: Literal["sra", "ena"]) -> Sample:
    name = run["run_accession"]
    pairs = _submitted(run, study)
    organism, no_organism = _organism(run.get("scientific_name", ""))
    closed = _access(run, study.record)
    hindrance = closed or _library(run) or no_organism or _instrument(run)
    files: tuple[RawFile, ...] = ()
    if not closed:
        try:
            files = files_of_run(run, prefer)
        except SourceAnswerInvalid as error:
            hindrance = hindrance or (error.code, error.message)
        else:
            if not files:
                hindrance = hindrance or ("no_raw", "No file of the run is public.")
    maker = run.get("instrument_platform", "")
    is_known = maker in MANUFACTURERS
    model = run.get("instrument_model", "")
    layout = run.get("library_layout", "").upper()
    return Sample(
        sample=name,
        organism=organism,
        technology=RNA_SEQ,
        source_database=DATABASE,
        title=title_of(pairs, "sample title"),
        source_archive_url=f"{ena.VIEW}/{name}",
        has_raw=bool(files),
        platform="".join(model.split()) if is_known and model else UNKNOWN,
        platform_name=model if is_known and model else UNKNOWN,
        manufacturer=maker if is_known else UNKNOWN,
        library_layout=layout if layout in ("SINGLE", "PAIRED") else None,
        protocol_info=_protocols([run], run.get("experiment_accession") or name),
        harmonised=harmonise(pairs),
        attributes=tuple(Attribute(key, value) for key, value in pairs),
        files=files,
        skip_reason=hindrance,
    )


def _submitted(run: Row, study: Study) -> list[tuple[str, str]]:
    submitted = {key: value for key, value in run.items() if key not in _NOT_SUBMITTED}
    submitted |= study.materials.get(run.get("sample_accession", ""), {})
    submitted |= {f"{STUDY_PREFIX}{key}": value for key, value in study.record.items()}
    return list(submitted.items())


def _access(run: Row, study: Row) -> tuple[str, str] | None:
    """Whether the archive lets the public have the run."""
    status = run.get("status", "")
    if _WITHDRAWN.search(status):
        return "withdrawn", f"The archive marks the run as {status}."
    titles = (run.get("study_title"), study.get("study_title"), run.get("experiment_title"))
    in_dbgap = run.get("dbgap_study_accession") or any(
        "in the dbgap study" in (title or "").lower()
        for title in (*titles, run.get("sample_title"))
    )
    if in_dbgap or _NOT_PUBLIC.search(status):
        words = "The run belongs to a dbGaP study" if in_dbgap else f"The run is {status}"
        return "controlled_access", f"{words}: it cannot be had without permission."
    return None


def _library(run: Row) -> tuple[str, str] | None:
    """Whether it is RNA-seq of many cells."""
    strategy = run.get("library_strategy", "")
    source = run.get("library_source", "")
    is_rnaseq = strategy.casefold() == STRATEGY.casefold()
    if is_rnaseq and source.upper() == SINGLE_CELL:
        return "single_cell", f"The library's source is {source}; bulk RNA-seq is processed."
    if not is_rnaseq or source.upper() != SOURCE:
        return (
            "not_rnaseq",
            f"The library is {strategy or 'of no stated strategy'}, of source "
            f"{source or 'not stated'}; {STRATEGY} of source {SOURCE} is processed.",
        )
    return None


def _organism(scientific_name: str) -> tuple[str, tuple[str, str] | None]:
    if not scientific_name:
        return UNKNOWN, ("no_organism", "The run's record names no organism.")
    try:
        return organism_name(scientific_name), None
    except UnsupportedOrganism:
        return UNKNOWN, ("no_organism", f"{scientific_name[:80]!r} is no single species.")


def _instrument(run: Row) -> tuple[str, str] | None:
    maker = run.get("instrument_platform", "")
    model = run.get("instrument_model", "")
    if maker in MANUFACTURERS and find_sequencer(model):
        return None
    stated = f"{maker} {model}".strip() or "an instrument that is not stated"
    return "unsupported_platform", f"The run comes from {stated}, which is not supported."


def _fastq(file: ListedFile) -> RawFile:
    return RawFile(file.name, file.url, expected_md5=file.md5, expected_bytes=file.bytes)


def _has_data(record: Row) -> bool:
    """Whether any place lists a file of the run, or counts bases in it."""
    listed = any(record.get(f"{kind}_ftp") for kind in ("fastq", "submitted", "sra"))
    return bool(listed or record.get(SRA_URL) or record.get("base_count", "0").strip("0"))


def _elsewhere(study: Row, runs: Sequence[Row]) -> list[str]:
    """Accessions of the same study at GEO or ArrayExpress, GEO's own field first."""
    named = [study.get("geo_accession", ""), study.get("study_alias", "")]
    named += [study.get("study_name", ""), *(run.get("study_alias", "") for run in runs)]
    return [name for name in dict.fromkeys(named) if _OTHER_SOURCE.match(name)]


def _projects(runs: Sequence[Row]) -> list[str]:
    named = {run.get("study_accession", "") for run in runs}
    return sorted(name for name in named if name.startswith("PRJ"))


def _protocols(records: Iterable[Row], reference: str) -> str | None:
    """The different protocols of records as JSON, in their order."""
    texts = (
        record[key] for record in records for key in ("protocol", *_PROTOCOLS) if record.get(key)
    )
    listed = [
        {"Description": text, "Reference": f"{ena.VIEW}/{reference}"}
        for text in dict.fromkeys(texts)
    ]
    return json.dumps(listed, ensure_ascii=False) if listed else None


def _moment(text: str | None) -> datetime | None:
    """ENA's and SRA's dates have no zone; they are taken for UTC."""
    try:
        moment = datetime.fromisoformat(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _any(terms: Iterable[str]) -> str:
    joined = " OR ".join(terms)
    return f"({joined})" if joined else ""


def _prefix_and_number(accession: str) -> tuple[str, int]:
    prefix = accession.rstrip("0123456789")
    return prefix, int(accession[len(prefix) :])
