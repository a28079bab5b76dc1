"""Every error that this platform raises on purpose, with its reason code.

A reason code is what `sample_status.reason_code` holds: stable, lower case, for
machines. The message says what was found; `remedy` says what a person can do. Not
here: retry policy (an error only says whether a second try can help).
"""

from __future__ import annotations

from typing import ClassVar


class RefinebioError(Exception):
    """Base class.

    `transient`: the same work may succeed on a second try. `blames_sample`: the fault lies
    in the sample's own data, so that its experiment need not wait for it.
    """

    code: ClassVar[str] = "error"
    remedy: ClassVar[str] = ""
    transient: bool = False
    blames_sample: bool = False

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy  # type: ignore[misc]  # an instance may know better advice

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


# --- the survey -----------------------------------------------------------------------


class InvalidAccession(RefinebioError):
    """A name that may not become a partition key or a folder."""

    code = "invalid_accession"
    remedy = "Use 1-100 letters, digits, '.', '_' or '-', beginning with a letter or digit."


class InvalidSampleSheet(RefinebioError):
    """A sample sheet that cannot be understood; nothing of it is taken."""

    code = "invalid_sample_sheet"
    remedy = "See docs/samplesheet.md for the columns."


class InvalidOverrides(RefinebioError):
    """A file of metadata overrides that cannot be understood; nothing of it is taken."""

    code = "invalid_overrides"
    remedy = "Give every entry a sample or an experiment, a field, a value and a why."


class InvalidSettings(RefinebioError):
    """A settings file in REFINEBIO_HOME that cannot be understood."""

    code = "invalid_settings"
    remedy = "See docs/operating.md for its form."


class ExperimentNotFound(RefinebioError):
    """No source knows this experiment."""

    code = "experiment_not_found"
    remedy = "Register its sample sheet with `refinebio survey SHEET`."


class AccessionAbsent(RefinebioError):
    """The source answers, and says that it has no such public record."""

    code = "accession_absent"
    remedy = "Check the accession; a new or private record appears at its source later."


class SourceUnavailable(RefinebioError):
    """The source is down, too busy or out of reach: no news, not bad news."""

    code = "source_unavailable"
    remedy = "Try again later; nothing that was known is lost."
    transient = True


class SourceAnswerInvalid(RefinebioError):
    """The source's answer is not of the shape that is read (an HTML page, a cut document, …)."""

    code = "source_answer_invalid"
    remedy = "Look at the kept raw answer; the source may have changed its format."


class SourceRefused(RefinebioError):
    """The source says that the question was wrong (HTTP 400, 401, 403)."""

    code = "source_refused"
    remedy = "The source's own words are in the message."


# --- raw files ------------------------------------------------------------------------


class RawFileMissing(RefinebioError):
    """A file that the sample names is not where it should be."""

    code = "raw_file_missing"
    blames_sample = True
    remedy = "Check the path in the sample sheet."


class RawFilesDropped(RefinebioError):
    """The fetched raw files were dropped after use, and are needed again."""

    code = "raw_files_dropped"
    remedy = "Materialize raw_samples too: it fetches them again."


class DownloadFailed(RefinebioError):
    """The source did not give the whole file."""

    code = "download_failed"
    remedy = "Run the experiment again: the download continues where it stopped."
    transient = True


class ChecksumMismatch(RefinebioError):
    """The file's digest or size is not the one its source states."""

    code = "checksum_mismatch"
    blames_sample = True
    remedy = "Fetch the file again, or correct the checksum in the sample sheet."


class UnsupportedRawFile(RefinebioError):
    """The content is not of a kind that can be processed (an HTML page, an empty file, …)."""

    code = "unsupported_raw_file"
    blames_sample = True
    remedy = "Provide FASTQ (plain or gzip) or an .sra file."


class InvalidFastq(RefinebioError):
    """A FASTQ whose records cannot be read."""

    code = "invalid_fastq"
    blames_sample = True
    remedy = "Export the reads again."


class TruncatedFastq(InvalidFastq):
    """A FASTQ that ends in the middle of a record or of its gzip stream."""

    code = "truncated_fastq"
    remedy = "Copy or download the file again, whole."


class EmptyReads(InvalidFastq):
    """No read at all."""

    code = "no_reads"
    remedy = "Check that the run was exported."


class UnequalMates(InvalidFastq):
    """Two mate files that do not hold the same reads in the same order."""

    code = "unequal_mates"
    remedy = "Pair the files again (for example with `fastp` or `repair.sh`)."


class InvalidRun(RefinebioError):
    """An .sra file that sra-toolkit cannot read to its end."""

    code = "invalid_sra_run"
    blames_sample = True
    remedy = "Fetch the run again; `vdb-validate` tells whether the copy is whole."


# --- reference and quantification -----------------------------------------------------


class InvalidReference(RefinebioError):
    """A genome, annotation or transcript file that cannot become a transcriptome."""

    code = "invalid_reference"
    remedy = "Check the organism's entry in the reference catalogue."


class UnsupportedOrganism(RefinebioError):
    """The reference catalogue has no entry for the organism."""

    code = "unsupported_organism"
    blames_sample = True
    remedy = "Add the organism to the reference catalogue (docs/references.md)."


class MissingIndex(RefinebioError):
    """The organism has no Salmon index of the length that the reads need."""

    code = "missing_index"
    remedy = "Materialize the organism's salmon_index_short and salmon_index_long."


class ReadsDoNotMatchReference(RefinebioError):
    """Salmon could assign almost nothing: wrong organism, or a very bad sample."""

    code = "reads_do_not_match_reference"
    blames_sample = True
    remedy = "Check the sample's organism; the reads hardly map to its transcriptome."


class InvalidQuantification(RefinebioError):
    """A quant.sf that is truncated, malformed or made with another index than its neighbours."""

    code = "invalid_quantification"
    remedy = "Quantify the sample again."


class ExperimentIncomplete(RefinebioError):
    """Too few of an experiment's samples are quantified for tximport to run."""

    code = "experiment_incomplete"
    remedy = "Run the experiment again when the waiting samples can be processed."


class NoSampleLeft(RefinebioError):
    """Not one sample of the experiment came through a stage."""

    code = "no_sample_left"
    remedy = "The sample statuses say why, one by one."


class UnexpectedError(RefinebioError):
    """A fault of this program; the run's log has the details."""

    code = "unexpected_error"
    remedy = "Please report it."


# --- arrays ---------------------------------------------------------------------------


class InvalidCel(RefinebioError):
    """A file that is not a CEL file, or one that contradicts itself."""

    code = "invalid_cel"
    blames_sample = True
    remedy = "Check that the file is the array's CEL file; `refinebio cel-info` says what it is."


class TruncatedCel(InvalidCel):
    """A CEL file that ends before its last cell."""

    code = "truncated_cel"
    remedy = "Copy or download the file again, whole."


class UnsupportedPlatform(RefinebioError):
    """An array that is not in the platform table."""

    code = "unsupported_platform"
    blames_sample = True
    remedy = "docs/references.md says which arrays are known and how to add one."


class MissingProbeAnnotation(RefinebioError):
    """The platform has no probe annotation yet."""

    code = "missing_probe_annotation"
    remedy = "Add the platform to a reference catalogue and materialize its probe_annotation."


class InvalidProbeAnnotation(RefinebioError):
    """A probe table, chip description or gene mapping that cannot be understood."""

    code = "invalid_probe_annotation"
    remedy = "Check the platform's entry in the reference catalogue (docs/references.md)."


class ProbesDoNotFitChip(RefinebioError):
    """The probe annotation names cells that the array does not have."""

    code = "probes_do_not_fit_chip"
    blames_sample = True
    remedy = "Check that the probe annotation is that of the array."


class TooManyZeros(RefinebioError):
    """More than one per cent of the perfect-match intensities are exactly 0."""

    code = "too_many_zero_intensities"
    blames_sample = True
    remedy = "The array was not scanned properly; nothing can be made of it."


class TooFewProbes(RefinebioError):
    """Fewer probes than SCAN needs for one group of its last step."""

    code = "too_few_probes"
    blames_sample = True
    remedy = "Check that the probe annotation is that of the array."


class ModelNotFitted(RefinebioError):
    """The mixture of SCAN could not be fitted (see its message)."""

    code = "model_not_fitted"
    blames_sample = True
    remedy = "The intensities are not those of an expression array."


class InvalidExpressionTable(RefinebioError):
    """A table of expression values that cannot be understood."""

    code = "invalid_expression_table"
    blames_sample = True
    remedy = "The message says what is missing; the submitter's file would have to be corrected."


class UndecodableTable(InvalidExpressionTable):
    """Text in an encoding that is not read, or not text."""

    code = "undecodable_table"


class NoProbeIdColumn(InvalidExpressionTable):
    """No header names the column of probe ids."""

    code = "no_probe_id_column"


class BeadLevelTable(InvalidExpressionTable):
    """A table of single beads (ILLUMICODE), not of probes."""

    code = "bead_level_table"


class NoDetectionPValues(InvalidExpressionTable):
    """No header names detection p-values, which background correction needs."""

    code = "no_detection_p_values"


class NoExpressionColumn(InvalidExpressionTable):
    """No column can be told to hold a sample's intensities."""

    code = "no_expression_column"


class UnpairedPValues(InvalidExpressionTable):
    """As many p-value columns as expression columns are needed."""

    code = "unpaired_p_values"


class SampleNotInTable(InvalidExpressionTable):
    """No column, or more than one, belongs to the sample."""

    code = "sample_not_in_table"


class IdentifiersNotRecognised(InvalidExpressionTable):
    """Too few of the table's ids are those of the platform."""

    code = "identifiers_not_recognised"
    remedy = "Check the platform: its ids are not those of the table."


# --- aggregation ----------------------------------------------------------------------


class NoCatalogue(RefinebioError):
    """The DuckDB catalogue has not been built."""

    code = "no_catalogue"
    remedy = "Materialize `warehouse`."


class TooFewSamples(RefinebioError):
    """Fewer samples than a quantile-normalisation target is made of."""

    code = "too_few_samples"
    remedy = "Process more arrays of the organism, or lower minimum_samples."


class MissingTarget(RefinebioError):
    """The organism has no quantile-normalisation target."""

    code = "missing_qn_target"
    remedy = "Materialize the organism's qn_target, or leave quantile normalisation out."


class UnknownCompendium(RefinebioError):
    """There is no such compendium, or no such release of it."""

    code = "unknown_compendium"
    remedy = "Materialize normalized_compendium for the organism, or name another release."


class UnknownExport(RefinebioError):
    """There is no such export of an organism, or no such release of it."""

    code = "unknown_export"
    remedy = "Make it: `refinebio export ORGANISM --kind …`, or name another release."


class NotInCompendium(RefinebioError):
    """A release has no such sample or gene."""

    code = "not_in_compendium"
    remedy = "compendium_samples and compendium_genes list what each release has."


class TooFewGenes(RefinebioError):
    """A sample has too few genes in common with a release to be put into it."""

    code = "too_few_genes"
    blames_sample = True
    remedy = "Genes are named as in the release, mostly by Ensembl ids; translate them first."


class ReferenceNotOfRelease(RefinebioError):
    """A sample would need a reference that the release was not made with."""

    code = "reference_not_of_release"
    remedy = "With --any-reference what is installed is taken, and said."


class DamagedCompendium(RefinebioError):
    """A file of a release is missing, or cannot be read."""

    code = "damaged_compendium"
    remedy = "Compare the release with its manifest.json; restore it, or make a new release."


class CannotImpute(RefinebioError):
    """A matrix whose missing values cannot be told from the others."""

    code = "cannot_impute"
    remedy = "Ask for a lower rank, or give more samples."


class DamagedFactors(RefinebioError):
    """The kept factors of an imputation are missing, or cannot be read."""

    code = "damaged_factors"
    remedy = "Impute without a start: it takes a few more passes over the matrix."


class FailedChecks(RefinebioError):
    """What was made fails a check that must hold, and is therefore not published."""

    code = "failed_checks"
    remedy = "Report it: this should not happen, whatever the data are."


class AlreadyPublished(RefinebioError):
    """Another run has published what is never changed once it is there: a release."""

    code = "already_published"
    remedy = "Run it again: the next number is taken."


class InvalidRequest(RefinebioError):
    """A dataset was asked for that cannot be made."""

    code = "invalid_request"
    remedy = "docs/datasets.md says what can be asked for."


class InvalidCounts(RefinebioError):
    """Counts that are missing, negative or infinite, or that an export cannot hold."""

    code = "invalid_counts"
    remedy = "Quantify the sample again, or leave it out."


class CountTooLarge(InvalidCounts):
    """A count beyond what 32 bits can hold."""

    code = "count_too_large"
    remedy = "No real sample has so many reads of one gene: check its quantification."


class NothingToDeliver(RefinebioError):
    """Not one sample of a dataset has values that can be delivered."""

    code = "nothing_to_deliver"
    remedy = "The filtered samples' reasons say why."


# --- tools and the machine ------------------------------------------------------------


class ToolMissing(RefinebioError):
    """An outside program or R package is not installed."""

    code = "tool_missing"


class ToolTooOld(RefinebioError):
    """An outside program is older than this code needs."""

    code = "tool_too_old"


class ToolFailed(RefinebioError):
    """An outside program ended with an error; the message carries its last lines."""

    code = "tool_failed"

    def __init__(self, message: str, *, returncode: int, tail: list[str]) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.tail = tail
        # It refused; had it been killed, or not been found (126, 127), it would not have.
        self.blames_sample = 0 < returncode < 126


class ToolTimedOut(RefinebioError):
    """An outside program ran longer than its limit."""

    code = "tool_timed_out"
    blames_sample = True
    remedy = "Raise the time limit of the tool's resource if the sample is worth it."


class DiskFull(RefinebioError):
    """No space left where the results are written."""

    code = "disk_full"
    remedy = "Free space under REFINEBIO_HOME, then run the experiment again."
    transient = True
