"""Every object that v1 defines: its fields, and no others, for clients refuse what they don't know.

Where a field may be left out (an address to download from, without a token), the model has
a default and the rows leave it out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

Json = Any


class _Object(BaseModel):
    model_config = ConfigDict(extra="forbid")


# --- small things ---------------------------------------------------------------------


class OrganismName(_Object):
    """An organism, by its two names."""

    name: str
    taxonomy_id: int | None


class Organism(OrganismName):
    """An organism, and which compendia there are of it."""

    has_compendia: bool
    has_quantfile_compendia: bool


class Platform(_Object):
    """A platform of some sample."""

    platform_accession_code: str
    platform_name: str


class Institution(_Object):
    """An institution that submitted an experiment."""

    submitter_institution: str


class Processor(_Object):
    """A program that made values, in one version."""

    id: int
    name: str
    version: str
    docker_image: str
    environment: dict[str, Json]


class Annotation(_Object):
    """What was submitted."""

    data: dict[str, Json]
    is_ccdl: bool
    created_at: datetime | None
    last_modified: datetime | None


class Index(_Object):
    """A Salmon index of a transcriptome."""

    id: int
    assembly_name: str
    organism_name: str
    database_name: str
    release_version: str
    index_type: str
    salmon_version: str
    download_url: str | None
    result_id: int
    last_modified: datetime


# --- experiments and samples ----------------------------------------------------------


class SampleOfExperiment(_Object):
    """A sample, in short."""

    accession_code: str
    platform_name: str
    pretty_platform: str
    technology: str
    is_processed: bool
    is_unable_to_be_processed: bool


class Experiment(_Object):
    """An experiment with its samples."""

    id: int
    title: str
    description: str
    annotations: list[Annotation]
    samples: list[SampleOfExperiment]
    protocol_description: Json
    accession_code: str
    alternate_accession_code: str | None
    source_database: str
    source_url: str
    has_publication: bool
    publication_title: str
    publication_doi: str
    publication_authors: list[str]
    pubmed_id: str
    source_first_published: datetime | None
    source_last_modified: datetime | None
    submitter_institution: str
    last_modified: datetime
    created_at: datetime
    organism_names: list[str]
    sample_metadata: list[str]
    num_total_samples: int
    num_processed_samples: int
    num_downloadable_samples: int


class ExperimentInList(_Object):
    """An experiment, as lists have it."""

    id: int
    title: str
    description: str
    accession_code: str
    alternate_accession_code: str | None
    source_database: str
    source_url: str
    platforms: list[str]
    pretty_platforms: list[str]
    processed_samples: list[str]
    has_publication: bool
    publication_title: str
    publication_doi: str
    publication_authors: list[str]
    pubmed_id: str
    organism_names: list[str]
    submitter_institution: str
    created_at: datetime
    last_modified: datetime
    source_first_published: datetime | None
    source_last_modified: datetime | None
    sample_metadata: list[str]
    technologies: list[str]


class ExperimentFound(_Object):
    """An experiment, as searches find it."""

    id: int
    title: str
    publication_title: str
    description: str
    technology: str
    accession_code: str
    alternate_accession_code: str | None
    submitter_institution: str
    has_publication: bool
    publication_doi: str
    publication_authors: list[str]
    sample_metadata_fields: list[str]
    platform_names: list[str]
    platform_accession_codes: list[str]
    organism_names: list[str]
    downloadable_organism_names: list[str]
    pubmed_id: str
    num_total_samples: int
    num_processed_samples: int
    num_downloadable_samples: int
    source_first_published: datetime | None


class SearchPage(_Object):
    """A page of what was found, and how many downloadable samples of what kind there are."""

    count: int
    next: str | None
    previous: str | None
    results: list[ExperimentFound]
    facets: dict[str, dict[str, int]]


class ResultOfSample(_Object):
    """How values of a sample were made, in short."""

    id: int
    processor: Processor | None
    organism_index: Index | None


class FileOfSample(_Object):
    """A file with values of a sample."""

    id: int
    filename: str
    size_in_bytes: int | None
    is_smashable: bool
    is_qc: bool
    sha1: str | None
    s3_bucket: str | None
    s3_key: str | None
    created_at: datetime
    last_modified: datetime


class Sample(_Object):
    """A sample with all that is known of it."""

    id: int
    title: str
    accession_code: str
    source_database: str
    organism: OrganismName | None
    platform_accession_code: str
    platform_name: str
    pretty_platform: str
    technology: str
    manufacturer: str
    protocol_info: Json
    annotations: list[Annotation]
    results: list[ResultOfSample]
    source_archive_url: str
    has_raw: bool
    sex: str
    age: float | None
    specimen_part: str
    genetic_information: str
    developmental_stage: str
    disease: str
    disease_stage: str
    cell_line: str
    treatment: str
    race: str
    subject: str
    compound: str
    time: str
    is_processed: bool
    is_unable_to_be_processed: bool
    created_at: datetime | None
    last_modified: datetime | None
    original_files: list[int]
    computed_files: list[int]
    last_processor_job: None
    last_downloader_job: None
    most_recent_smashable_file: FileOfSample | None
    most_recent_quant_file: FileOfSample | None
    contributed_metadata: dict[str, Json]
    contributed_keywords: dict[str, Json]
    experiment_accession_codes: list[str]


# --- files and results ----------------------------------------------------------------


class Result(_Object):
    """How files were made."""

    id: int
    commands: list[str]
    processor: Processor | None
    is_ccdl: bool
    annotations: list[Annotation]
    organism_index: Index | None
    time_start: datetime | None
    time_end: datetime | None
    created_at: datetime | None
    last_modified: datetime | None


class ResultWithFiles(Result):
    """How files were made, and which."""

    files: list[FileOfSample]


class ComputedFile(_Object):
    """A file that was made."""

    id: int
    filename: str
    samples: list[SampleOfExperiment]
    size_in_bytes: int | None
    is_qn_target: bool
    is_smashable: bool
    is_qc: bool
    is_compendia: bool
    quant_sf_only: bool
    compendium_version: int | None
    compendia_organism_name: str | None
    sha1: str | None
    s3_bucket: str | None
    s3_key: str | None
    s3_url: str | None
    download_url: str | None = None
    created_at: datetime
    last_modified: datetime
    result: Result | None


class OriginalFile(_Object):
    """A file as it was submitted; the jobs are those that worked on its samples last."""

    id: int
    filename: str
    samples: list[SampleOfExperiment]
    processor_jobs: list[int]
    downloader_jobs: list[int]
    size_in_bytes: int | None
    sha1: str | None
    source_url: str
    is_archive: bool
    source_filename: str
    has_raw: bool
    created_at: datetime
    last_modified: datetime


class Target(_Object):
    """A quantile-normalisation target."""

    id: int
    filename: str
    size_in_bytes: int | None
    is_qn_target: bool
    sha1: str | None
    s3_bucket: str | None
    s3_key: str | None
    s3_url: str | None
    created_at: datetime
    last_modified: datetime
    result: Result | None


class CompendiumFile(FileOfSample):
    """The zip of a compendium."""

    download_url: str | None = None


class Compendium(_Object):
    """A release of a compendium."""

    id: int
    primary_organism_name: str
    organism_names: list[str]
    svd_algorithm: str
    quant_sf_only: bool
    compendium_version: int
    computed_file: CompendiumFile | None


# --- jobs -----------------------------------------------------------------------------


class SurveyJob(_Object):
    """A run that read the records of experiments."""

    id: int
    source_type: str
    success: bool | None
    batch_job_id: str
    batch_job_queue: str
    ram_amount: int
    start_time: datetime | None
    end_time: datetime | None
    created_at: datetime
    last_modified: datetime
    is_queued: bool


class DownloaderJob(_Object):
    """A run that fetched raw files."""

    id: int
    downloader_task: str
    num_retries: int
    retried: bool
    was_recreated: bool
    worker_id: str
    worker_version: str
    ram_amount: int
    batch_job_id: str
    batch_job_queue: str
    failure_reason: str | None
    success: bool | None
    original_files: list[int]
    start_time: datetime | None
    end_time: datetime | None
    created_at: datetime
    last_modified: datetime
    is_queued: bool


class ProcessorJob(_Object):
    """A run that made values."""

    id: int
    pipeline_applied: str
    num_retries: int
    retried: bool
    worker_id: str
    ram_amount: int
    volume_index: str | None
    worker_version: str
    failure_reason: str | None
    batch_job_id: str
    batch_job_queue: str
    success: bool | None
    original_files: list[int]
    datasets: list[str]
    start_time: datetime | None
    end_time: datetime | None
    created_at: datetime
    last_modified: datetime
    is_queued: bool


# --- tokens and datasets --------------------------------------------------------------


class Token(_Object):
    """A token; once activated, its owner has accepted the terms."""

    id: str
    is_activated: bool
    terms_and_conditions: str


class ExperimentOfDataset(_Object):
    """An experiment of a dataset."""

    title: str
    accession_code: str
    organism_names: list[str]
    sample_metadata: list[str]
    technology: str


class Dataset(_Object):
    """A dataset: what was asked for, and what became of it."""

    id: str
    data: dict[str, list[str]]
    aggregate_by: str
    scale_by: str
    is_processing: bool
    is_processed: bool
    is_available: bool
    has_email: bool
    expires_on: datetime | None
    s3_bucket: str | None
    s3_key: str | None
    success: bool | None
    failure_reason: str | None
    created_at: datetime
    last_modified: datetime
    start: bool
    size_in_bytes: int | None
    sha1: str | None
    quantile_normalize: bool
    quant_sf_only: bool
    svd_algorithm: str
    download_url: str | None = None
    experiments: list[ExperimentOfDataset] | None = None
    organism_samples: dict[str, list[str]] | None = None
    worker_version: str | None = None
