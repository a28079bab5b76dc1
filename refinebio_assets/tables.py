"""Every published table, once: its columns, their types, meaning and units.

Parquet files are written, the DuckDB catalogue is commented and Dagster's column
schemas are shown from these declarations. Light on purpose: no data-frame library is
imported here, types are DuckDB's names.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column: `type` is a DuckDB type, `unit` is empty for what has none."""

    name: str
    type: str
    meaning: str
    unit: str = ""

    @property
    def comment(self) -> str:
        """The meaning with its unit."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


@dataclass(frozen=True)
class Reference:
    """Columns that name a row of another table, by its columns of the same names.

    `always`: a row that is not there is an error; otherwise what is gone at its source may
    have left rows behind, which is a warning.
    """

    columns: tuple[str, ...]
    table: str
    always: bool = True


@dataclass(frozen=True)
class Table:
    """One table or view of the catalogue; no two of its rows have the same `key`."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()

    def column_names(self) -> list[str]:
        """The columns in order."""
        return [column.name for column in self.columns]


def sql_text(text: str) -> str:
    """A text as an SQL literal, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def _text(name: str, meaning: str) -> Column:
    return Column(name, "VARCHAR", meaning)


EXPERIMENT = _text("experiment", "Accession of the experiment, e.g. GSE…, SRP…, E-MTAB-…")
SAMPLE = _text("sample", "Accession of the sample: GSM…, or the run SRR/ERR/DRR…")
ORGANISM = _text("organism", "Scientific name, upper case, words joined by '_'")
LINEAGE = (
    _text("code_version", "Version of refinebio_assets that wrote the row"),
    _text("run_id", "Dagster run that wrote the row"),
    Column("recorded_at", "TIMESTAMP WITH TIME ZONE", "When the row was written"),
)

EXPERIMENTS = Table(
    "experiments",
    "One row per experiment, as its source describes it.",
    (
        EXPERIMENT,
        _text("alternate_accession", "The same experiment at another source"),
        _text("source_database", "GEO, SRA, ARRAY_EXPRESS or LOCAL"),
        _text("source_url", "Where the record can be read"),
        _text("title", "Title"),
        _text("description", "Description"),
        _text("protocol_description", "Protocols, as JSON"),
        _text("technology", "MICROARRAY, RNA-SEQ, or several joined by ';'"),
        Column("organisms", "VARCHAR[]", "Organisms of its samples"),
        _text("submitter_institution", "Institution of the submitter"),
        Column("has_publication", "BOOLEAN", "Whether a publication is known"),
        _text("publication_title", "Title of the publication"),
        _text("publication_doi", "DOI of the publication"),
        Column("publication_authors", "VARCHAR[]", "Authors of the publication"),
        _text("pubmed_id", "PubMed id of the publication"),
        Column("source_first_published", "TIMESTAMP WITH TIME ZONE", "First public at the source"),
        Column("source_last_modified", "TIMESTAMP WITH TIME ZONE", "Last changed at the source"),
        Column("num_samples", "INTEGER", "Samples found by the survey", "samples"),
        _text("source_sha256", "SHA-256 of the document that was read"),
        *LINEAGE,
    ),
    key=("experiment",),
)

EXPERIMENT_RELATIONS = Table(
    "experiment_relations",
    "How experiments and records of other databases belong together.",
    (
        EXPERIMENT,
        _text("relation", "superseries_of, subseries_of, sra_study, bioproject or same_as"),
        _text("target", "Accession of the other record"),
    ),
    key=("experiment", "relation", "target"),
    references=(Reference(("experiment",), "experiments"),),
)

HARMONISED_FIELDS = (
    _text("sex", "Harmonised: female, male, or as submitted"),
    Column("age", "DOUBLE", "Harmonised: age, in the submitter's unit"),
    _text("specimen_part", "Harmonised: tissue, organ or cell type"),
    _text("genetic_information", "Harmonised: strain, genotype or background"),
    _text("developmental_stage", "Harmonised: developmental stage"),
    _text("disease", "Harmonised: disease"),
    _text("disease_stage", "Harmonised: stage or grade of the disease"),
    _text("cell_line", "Harmonised: cell line"),
    _text("treatment", "Harmonised: treatment"),
    _text("race", "Harmonised: race or ethnicity"),
    _text("subject", "Harmonised: the individual sampled"),
    _text("compound", "Harmonised: drug or compound"),
    _text("time", "Harmonised: time point"),
)

SAMPLES = Table(
    "samples",
    "One row per sample of an experiment.",
    (
        EXPERIMENT,
        SAMPLE,
        _text("title", "Title of the sample"),
        ORGANISM,
        _text("source_database", "GEO, SRA, ARRAY_EXPRESS or LOCAL"),
        _text("source_archive_url", "Where its record can be read"),
        Column("has_raw", "BOOLEAN", "Whether raw data exist"),
        _text("platform", "Accession or code of the platform; of arrays, as the raw data say"),
        _text("platform_name", "Readable name of the platform"),
        _text("technology", "MICROARRAY, RNA-SEQ or UNKNOWN"),
        _text("manufacturer", "AFFYMETRIX, ILLUMINA, …, or UNKNOWN"),
        _text("library_layout", "SINGLE or PAIRED, where the source says"),
        _text("protocol_info", "Protocols, as JSON"),
        *HARMONISED_FIELDS,
    ),
    key=("experiment", "sample"),
    references=(Reference(("experiment",), "experiments"),),
)

SAMPLE_ATTRIBUTES = Table(
    "sample_attributes",
    "What the submitter said of a sample, key by key, as given.",
    (
        EXPERIMENT,
        SAMPLE,
        Column("position", "INTEGER", "Order in the source, from 0"),
        _text("key", "Key as submitted"),
        _text("value", "Value as submitted"),
    ),
    key=("experiment", "sample", "position"),
    references=(Reference(("experiment", "sample"), "samples"),),
)

SAMPLE_FILES = Table(
    "sample_files",
    "The raw files that a sample names.",
    (
        EXPERIMENT,
        SAMPLE,
        Column("position", "INTEGER", "Order in the source, from 0"),
        _text("filename", "Name of the file"),
        _text("source_url", "Path or URL to fetch it from"),
        Column("is_raw", "BOOLEAN", "Raw data, as opposed to submitter-processed values"),
        Column("is_archive", "BOOLEAN", "An archive that holds several samples' files"),
        _text("expected_md5", "MD5 that the source states"),
        Column("expected_bytes", "BIGINT", "Size that the source states", "bytes"),
    ),
    key=("experiment", "sample", "position"),
    references=(Reference(("experiment", "sample"), "samples"),),
)

SAMPLE_STATUS = Table(
    "sample_status",
    "What became of every sample, and why.",
    (
        EXPERIMENT,
        SAMPLE,
        _text("stage", "Asset that spoke last of the sample"),
        _text("status", "processed, waiting, failed or skipped"),
        _text("reason_code", "Why it is not processed, for machines"),
        _text("reason", "Why it is not processed, in words"),
        _text("remedy", "What can be done about it"),
        *LINEAGE,
    ),
    key=("experiment", "sample"),
    references=(Reference(("experiment", "sample"), "samples"),),
)

QUANTIFICATIONS = Table(
    "quantifications",
    "One row per run that went through Salmon: rates, and what its values were made from.",
    (
        EXPERIMENT,
        SAMPLE,
        ORGANISM,
        _text("layout", "SINGLE or PAIRED"),
        Column("reads", "BIGINT", "Reads, or pairs of reads, in the raw files", "fragments"),
        Column("mean_read_length", "DOUBLE", "Mean length of a read", "bases"),
        Column("num_processed", "BIGINT", "Fragments that Salmon read", "fragments"),
        Column("num_mapped", "BIGINT", "Fragments assigned to a transcript", "fragments"),
        Column("percent_mapped", "DOUBLE", "Share of fragments assigned", "%"),
        Column("unmated_reads", "BIGINT", "Reads dropped for want of their mate", "reads"),
        _text("library_type", "Library type that Salmon detected"),
        Column("compatible_fragment_ratio", "DOUBLE", "Share of fragments that fit it"),
        Column("strand_bias", "DOUBLE", "Share of fragments on the commoner strand"),
        _text("index_length", "short (k = 23) or long (k = 31)"),
        _text("reference_database", "Where the transcriptome came from"),
        _text("reference_release", "Release of the transcriptome"),
        _text("reference_assembly", "Genome assembly"),
        _text("index_sha256", "Salmon's digest of the indexed sequences"),
        _text("salmon_version", "Version of Salmon"),
        _text("command", "Arguments of the salmon quant call, as JSON"),
        Column("raw_sha256", "VARCHAR[]", "SHA-256 of each raw file"),
        Column("seconds", "DOUBLE", "Wall time of the quantification", "s"),
        _text("quant_folder", "Folder of Salmon's output, relative to REFINEBIO_HOME"),
        Column(
            "single_cell_probability",
            "DOUBLE",
            "How probably it is of single cells, known once its genes are counted",
        ),
        *LINEAGE,
    ),
    key=("experiment", "sample"),
    references=(Reference(("experiment", "sample"), "samples", always=False),),
)

RNASEQ_PROFILES = Table(
    "rnaseq_profiles",
    "One row per run with gene counts: what they look like, and whether of single cells.",
    (
        EXPERIMENT,
        SAMPLE,
        ORGANISM,
        Column("num_genes", "INTEGER", "Genes of the reference", "genes"),
        Column("num_genes_detected", "INTEGER", "Genes with a count above 0", "genes"),
        Column("zero_share", "DOUBLE", "Share of the reference's genes without a count"),
        Column("library_size", "DOUBLE", "Sum of the gene counts", "fragments"),
        Column("top_50_share", "DOUBLE", "Share of the counts in the 50 largest genes"),
        Column("top_100_share", "DOUBLE", "Share of the counts in the 100 largest genes"),
        Column(
            "single_cell_probability",
            "DOUBLE",
            "How probably the run is of single cells, from 0 to 1, by its records and counts",
        ),
        Column("text_log_odds", "DOUBLE", "What the records say of it, -8 to 8; 0: nothing"),
        Column("single_cell_signs", "VARCHAR[]", "The words in the records that say it"),
        *LINEAGE,
    ),
    key=("experiment", "sample"),
    references=(Reference(("experiment", "sample"), "samples", always=False),),
)

ARRAYS = Table(
    "arrays",
    "One row per array that was processed: what it is, and what its values were made from.",
    (
        EXPERIMENT,
        SAMPLE,
        ORGANISM,
        _text("method", "SCANfast, SCAN, Illumina SCAN or submitter-processed"),
        _text("engine", "Program that ran the method"),
        _text("file_format", "Format of the raw file"),
        _text("chip_type", "Chip type that the raw file names"),
        _text("platform", "Platform found in the data; it wins over the label"),
        _text("labelled_platform", "Platform that the source states"),
        _text("annotation_release", "Release of the platform's probe annotation"),
        _text("annotation_sha256", "Digest of the probe annotation"),
        _text("feature", "gene, or probe set where the annotation knows no genes"),
        Column("num_genes", "INTEGER", "Genes (or probe sets) with a value", "genes"),
        Column("percent_of_platform", "DOUBLE", "Share of the platform's genes with a value", "%"),
        Column("num_probes", "INTEGER", "Probes that were used", "probes"),
        Column("iterations", "INTEGER", "Rounds of SCAN's expectation maximisation"),
        Column("converged", "BOOLEAN", "Whether it ended by convergence"),
        Column("zero_shift", "BOOLEAN", "Whether 1 was added to all intensities, one being 0"),
        Column("percent_saturated", "DOUBLE", "Share of probes at the largest intensity", "%"),
        Column("background_corrected", "BOOLEAN", "Illumina: whether limma's nec was applied"),
        Column("detection_percentage", "DOUBLE", "Illumina: platform's probes in the table", "%"),
        Column("mapped_percentage", "DOUBLE", "Table's ids that the platform knows", "%"),
        _text("id_kind", "Submitted tables: which kind of id was recognised"),
        Column("correlation", "DOUBLE", "Median Pearson correlation with the other samples"),
        _text("raw_name", "Name of the raw file"),
        _text("raw_sha256", "SHA-256 of the raw file"),
        Column("seconds", "DOUBLE", "Time the sample took", "s"),
        *LINEAGE,
    ),
    key=("experiment", "sample"),
    references=(Reference(("experiment", "sample"), "samples", always=False),),
)

PLATFORMS = Table(
    "platforms",
    "The arrays that are known, and the probe annotation that each has.",
    (
        _text("platform", "Internal name: chip type in lower case without punctuation"),
        _text("platform_name", "Readable name"),
        _text("manufacturer", "AFFYMETRIX or ILLUMINA"),
        ORGANISM,
        Column("accessions", "VARCHAR[]", "Accessions at GEO and ArrayExpress"),
        Column("has_annotation", "BOOLEAN", "Whether a probe annotation is built"),
        _text("annotation_release", "Release of the newest probe annotation"),
        _text("annotation_sha256", "Digest of the newest probe annotation"),
        Column("num_probes", "INTEGER", "Probes on the array", "probes"),
        Column("num_probe_sets", "INTEGER", "Probe sets on the array", "probe sets"),
        Column("num_genes", "INTEGER", "Genes that its probes belong to", "genes"),
    ),
    key=("platform",),
)

QN_TARGETS = Table(
    "qn_targets",
    "Quantile-normalisation targets: the reference distribution of an organism's arrays.",
    (
        ORGANISM,
        Column("version", "INTEGER", "Number of the target, from 1"),
        Column("is_current", "BOOLEAN", "Whether it is the organism's newest"),
        _text("platform", "Platform of the samples it was made of"),
        Column("num_samples", "INTEGER", "Samples it was made of", "samples"),
        Column("num_genes", "INTEGER", "Genes, and so numbers in the target", "genes"),
        Column("samples", "VARCHAR[]", "The samples it was made of"),
        Column("ks_statistic", "DOUBLE", "Kolmogorov-Smirnov statistic against the one before"),
        Column("ks_p_value", "DOUBLE", "Its p-value"),
        _text("sha256", "Digest of the numbers"),
        _text("file", "The target as one number a line, relative to REFINEBIO_HOME"),
        *LINEAGE,
    ),
    key=("organism", "version"),
)

DATASETS = Table(
    "datasets",
    "The datasets that were asked for, and what became of them.",
    (
        _text("dataset", "Id: hash of the recipe and of the versions of the data it uses"),
        _text("recipe", "What was asked for, as JSON"),
        _text("status", "requested, made or failed"),
        _text("reason", "Why it failed"),
        Column("num_samples", "INTEGER", "Samples delivered", "samples"),
        Column("num_filtered", "INTEGER", "Samples asked for and not delivered", "samples"),
        Column("num_matrices", "INTEGER", "Matrices in it"),
        Column("num_bytes", "BIGINT", "Size of the zip", "bytes"),
        _text("sha256", "SHA-256 of the zip"),
        _text("file", "The zip, relative to REFINEBIO_HOME"),
        Column("requested_at", "TIMESTAMP WITH TIME ZONE", "When it was asked for"),
        *LINEAGE,
    ),
    key=("dataset",),
)

COMPENDIUM = _text("organism", "Organism after which the compendium is called")
RELEASE = Column("version", "INTEGER", "Number of the release, from 1")

COMPENDIA = Table(
    "compendia",
    "Releases of compendia: all samples of an organism, put together. Releases never change.",
    (
        COMPENDIUM,
        RELEASE,
        _text("kind", "normalized (one imputed matrix) or rnaseq (quant.sf files)"),
        Column("is_current", "BOOLEAN", "Whether it is the newest of its kind"),
        Column("organisms", "VARCHAR[]", "Organisms of its samples"),
        Column("num_samples", "INTEGER", "Samples in it", "samples"),
        Column("num_experiments", "INTEGER", "Experiments that they are from"),
        Column("num_genes", "INTEGER", "Genes of the matrix", "genes"),
        Column("num_left_out", "INTEGER", "Samples that were left out", "samples"),
        Column("percent_imputed", "DOUBLE", "Share of the values that are imputed", "%"),
        Column("held_out_rmse", "DOUBLE", "Error of imputation, on hidden values", "log2"),
        _text("engine", "What imputed: svd, fancyimpute or none"),
        Column("target_version", "INTEGER", "Quantile-normalisation target of its values"),
        Column("num_bytes", "BIGINT", "Size of the zip", "bytes"),
        _text("sha256", "SHA-256 of the zip"),
        _text("file", "The zip, relative to REFINEBIO_HOME"),
        *LINEAGE,
    ),
    key=("kind", "organism", "version"),
)

COMPENDIUM_SAMPLES = Table(
    "compendium_samples",
    "The samples of each release of a normalized compendium.",
    (
        COMPENDIUM,
        RELEASE,
        SAMPLE,
        EXPERIMENT,
        _text("sample_organism", "Organism of the sample; of the same genus"),
        _text("technology", "MICROARRAY or RNA-SEQ"),
        _text("platform", "Platform of the sample"),
        Column("percent_imputed", "DOUBLE", "Share of its values that are imputed", "%"),
        Column("percent_zero_restored", "DOUBLE", "Share of its values that are counts of 0", "%"),
        _text("data_version", "What its values were made from, as one text"),
        Column("place", "INTEGER", "Row of the matrix, from 0"),
    ),
    key=("organism", "version", "sample"),
    references=(Reference(("organism", "version"), "compendia"),),
)

COMPENDIUM_GENES = Table(
    "compendium_genes",
    "The genes of each release of a normalized compendium, and how sure imputed values are.",
    (
        COMPENDIUM,
        RELEASE,
        _text("gene", "Ensembl gene id (or the reference's own id)"),
        Column("percent_imputed", "DOUBLE", "Share of its values that are imputed", "%"),
        Column("num_hidden", "INTEGER", "Measured values that were hidden to test imputation"),
        Column("held_out_rmse", "DOUBLE", "Error of their imputation", "log2"),
        Column("standard_deviation", "DOUBLE", "Of the hidden values: the error of a mean", "log2"),
    ),
    key=("organism", "version", "gene"),
    references=(Reference(("organism", "version"), "compendia"),),
)

COMPENDIUM_LEFT_OUT = Table(
    "compendium_left_out",
    "The samples that are not in a release of a normalized compendium, and why.",
    (
        COMPENDIUM,
        RELEASE,
        SAMPLE,
        EXPERIMENT,
        _text("rule", "single_cell, withdrawn, failed_check, reviewed, or values"),
        _text("reason", "Why, in words"),
    ),
    key=("organism", "version", "experiment", "sample"),
    references=(Reference(("organism", "version"), "compendia"),),
)

COMPENDIUM_EXPRESSION = Table(
    "compendium_expression",
    "Values of normalized compendia: one row per gene and sample of a release.",
    (
        COMPENDIUM,
        RELEASE,
        _text("gene", "Ensembl gene id (or the reference's own id)"),
        SAMPLE,
        Column("value", "FLOAT", "log2 scale, quantile-normalised to the organism's target"),
        _text("origin", "measured, imputed, zero restored (a count of 0), or missing"),
    ),
    key=("organism", "version", "gene", "sample"),
)

EXPORTS = Table(
    "exports",
    "RNA-seq samples of an organism as files for other programs. Releases never change.",
    (
        ORGANISM,
        _text("kind", "archs4 (HDF5 for archs4py), anndata (h5ad) or zarr (AnnData in a folder)"),
        _text("level", "gene or transcript"),
        RELEASE,
        Column("is_current", "BOOLEAN", "Whether it is the newest of its kind"),
        Column("num_samples", "INTEGER", "Samples in it", "samples"),
        Column("num_columns", "INTEGER", "Columns; archs4 has one for each series of a sample"),
        Column("num_features", "INTEGER", "Genes or transcripts"),
        Column("layers", "VARCHAR[]", "Which values it has"),
        Column("num_left_out", "INTEGER", "Samples that could not be taken", "samples"),
        Column("num_bytes", "BIGINT", "Size of the file, or of all files of the folder", "bytes"),
        _text("sha256", "SHA-256 of the file; of a folder, of its manifest's lines"),
        _text("file", "The file or folder, relative to REFINEBIO_HOME"),
        *LINEAGE,
    ),
    key=("kind", "level", "organism", "version"),
)

EXPRESSION = Table(
    "expression",
    "Expression values: one row per gene and sample. RNA-seq: tximport lengthScaledTPM. "
    "Arrays: SCAN values, or what the submitter gave (see arrays.method).",
    (
        _text("gene", "Ensembl gene id (or the reference's own id; see arrays.feature)"),
        SAMPLE,
        Column(
            "value",
            "FLOAT",
            "Expression value (RNA-seq: count scale; SCAN: log2 above background, in its spreads)",
        ),
        EXPERIMENT,
        ORGANISM,
        _text("technology", "MICROARRAY or RNA-SEQ"),
    ),
    key=("experiment", "sample", "gene"),
    references=(Reference(("experiment", "sample"), "samples", always=False),),
)

GENE_COUNTS = Table(
    "gene_counts",
    "RNA-seq per gene and sample, unscaled: what differential expression needs.",
    (
        _text("gene", "Ensembl gene id (or the reference's own id)"),
        SAMPLE,
        Column("counts", "FLOAT", "Estimated counts, unscaled", "fragments"),
        Column("effective_length", "FLOAT", "Abundance-weighted effective length", "bases"),
        Column("tpm", "FLOAT", "Transcripts per million"),
        Column("length_scaled_tpm", "FLOAT", "Length-scaled TPM, as in expression.value"),
        EXPERIMENT,
        ORGANISM,
    ),
    key=("experiment", "sample", "gene"),
    references=(Reference(("experiment", "sample"), "samples", always=False),),
)

ORGANISMS = Table(
    "organisms",
    "Organisms with a transcriptome.",
    (
        ORGANISM,
        Column("taxonomy_id", "INTEGER", "NCBI taxonomy id"),
        _text("reference_database", "EnsemblMain, EnsemblPlants, … or a lab's own"),
        _text("reference_release", "Release of the reference"),
        _text("reference_assembly", "Genome assembly"),
        Column("num_transcripts", "INTEGER", "Transcripts indexed", "transcripts"),
        Column("num_genes", "INTEGER", "Genes in the gene map", "genes"),
        Column("has_short_index", "BOOLEAN", "Index with k = 23 is built"),
        Column("has_long_index", "BOOLEAN", "Index with k = 31 is built"),
    ),
    key=("organism",),
)

GENES = Table(
    "genes",
    "Genes of every organism's reference.",
    (
        ORGANISM,
        _text("gene", "Ensembl gene id (or the reference's own id)"),
        _text("symbol", "Gene symbol, where the annotation gives one"),
        Column("num_transcripts", "INTEGER", "Transcripts of the gene", "transcripts"),
    ),
    key=("organism", "gene"),
    references=(Reference(("organism",), "organisms"),),
)

PROCESSORS = Table(
    "processors",
    "Programs, with versions, that made the published values.",
    (
        _text("processor", "Program"),
        _text("version", "Version"),
        Column("num_samples", "BIGINT", "Samples it processed", "samples"),
    ),
    key=("processor", "version"),
)

_SAMPLE_ROW = Column("sample_row", "INTEGER", "Row of `samples` (its rowid)")
_EXPERIMENT_ROW = Column("experiment_row", "INTEGER", "Row of `experiments` (its rowid)")

SEARCH_WORDS = Table(
    "search_words",
    "The words that can be searched for; asked through search_samples, search_experiments, facets.",
    (
        _text("word", "Word: lower case, no accents, singular"),
        Column("number", "INTEGER", "Number of the word in the other tables"),
        Column("num_samples", "INTEGER", "Samples that have it", "samples"),
        Column("num_experiments", "INTEGER", "Experiments that have it, or samples that do"),
    ),
    key=("word",),
)

SEARCH_SAMPLE_WORDS = Table(
    "search_sample_words",
    "Which samples have a word: in their title, harmonised fields or attributes.",
    (
        Column("word", "INTEGER", "Number of the word in `search_words`"),
        _SAMPLE_ROW,
        Column("score", "FLOAT", "BM25 score of the sample for the word"),
    ),
)

SEARCH_EXPERIMENT_WORDS = Table(
    "search_experiment_words",
    "Which experiments have a word.",
    (
        Column("word", "INTEGER", "Number of the word in `search_words`"),
        _EXPERIMENT_ROW,
        Column("score", "FLOAT", "BM25 score of the experiment with its samples for the word"),
        Column("own_score", "FLOAT", "The same without its samples; none where only they have it"),
    ),
)

SEARCH_SAMPLE_ROWS = Table(
    "search_sample_rows",
    "Whose samples are which, for searches.",
    (
        _SAMPLE_ROW,
        _EXPERIMENT_ROW,
        Column("first_row", "INTEGER", "First row of `samples` with the same accession"),
        Column("in_several", "BOOLEAN", "Whether other experiments have the sample too"),
    ),
    key=("sample_row",),
)

SEARCH_FACETS = Table(
    "search_facets",
    "What `facets` answers of everything.",
    (
        _text("facet", "Column of `samples`"),
        _text("value", "Value of it"),
        Column("num_samples", "BIGINT", "Samples that have it, each once", "samples"),
        Column("num_experiments", "BIGINT", "Experiments of these samples"),
    ),
    key=("facet", "value"),
)

CATALOGUE = (
    EXPERIMENTS,
    EXPERIMENT_RELATIONS,
    SAMPLES,
    SAMPLE_ATTRIBUTES,
    SAMPLE_FILES,
    SAMPLE_STATUS,
    QUANTIFICATIONS,
    RNASEQ_PROFILES,
    ARRAYS,
    EXPRESSION,
    GENE_COUNTS,
    ORGANISMS,
    PLATFORMS,
    QN_TARGETS,
    DATASETS,
    COMPENDIA,
    COMPENDIUM_SAMPLES,
    COMPENDIUM_GENES,
    COMPENDIUM_LEFT_OUT,
    COMPENDIUM_EXPRESSION,
    EXPORTS,
    GENES,
    PROCESSORS,
    SEARCH_WORDS,
    SEARCH_SAMPLE_WORDS,
    SEARCH_EXPERIMENT_WORDS,
    SEARCH_SAMPLE_ROWS,
    SEARCH_FACETS,
)
