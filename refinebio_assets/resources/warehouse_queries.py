"""The catalogue's tables, views and macros as SQL.

Each entry is (the files it reads, query); `$files` stands for their glob. Column order
and types follow `refinebio_assets.tables`. Not here: searching (see `warehouse_search`).
"""

from __future__ import annotations

from dataclasses import dataclass

from refinebio_assets.tables import (
    ARRAYS,
    EXPERIMENTS,
    QUANTIFICATIONS,
    RNASEQ_PROFILES,
    SAMPLES,
)

_EXPERIMENT_COLUMNS = ", ".join(EXPERIMENTS.column_names())
_SAMPLE_COLUMNS = ", ".join(f"s.{name}" for name in SAMPLES.column_names() if name != "experiment")
_PROFILED = "single_cell_probability"
_QUANTIFICATION_COLUMNS = ", ".join(
    f"{'p' if name == _PROFILED else 'q'}.{name}" for name in QUANTIFICATIONS.column_names()
)
_UNNESTED = "(SELECT experiment, unnest(samples) AS s FROM read_parquet($files))"

TABLES: dict[str, tuple[str, str]] = {
    "experiments": (
        "survey",
        f"SELECT {_EXPERIMENT_COLUMNS} FROM read_parquet($files) ORDER BY experiment",  # noqa: S608
    ),
    "experiment_relations": (
        "survey",
        "SELECT experiment, r.relation, r.target FROM "
        "(SELECT experiment, unnest(relations) AS r FROM read_parquet($files)) ORDER BY ALL",
    ),
    "rnaseq_profiles": (
        "profiles",
        f"SELECT {', '.join(RNASEQ_PROFILES.column_names())} FROM read_parquet($files) "  # noqa: S608
        "ORDER BY experiment, sample",
    ),
    # Salmon's rates are published before the genes are counted, which tell single cells.
    "quantifications": (
        "quantifications",
        f"SELECT {_QUANTIFICATION_COLUMNS} FROM read_parquet($files) AS q "  # noqa: S608
        "LEFT JOIN rnaseq_profiles AS p USING (experiment, sample) ORDER BY experiment, sample",
    ),
    "arrays": (
        "arrays",
        f"SELECT {', '.join(ARRAYS.column_names())} FROM read_parquet($files) "  # noqa: S608
        "ORDER BY experiment, sample",
    ),
    # What the raw data say of the platform wins over the label.
    "samples": (
        "survey",
        f"""
        WITH stated AS (SELECT experiment, {_SAMPLE_COLUMNS} FROM {_UNNESTED})
        SELECT stated.* REPLACE (
                   coalesce(found.platform, stated.platform) AS platform,
                   CASE WHEN found.platform IS NULL OR found.platform = stated.platform
                        THEN stated.platform_name
                        ELSE coalesce(known.platform_name, found.chip_type, found.platform) END
                       AS platform_name,
                   CASE WHEN found.platform IS NULL OR found.platform = stated.platform
                        THEN stated.manufacturer
                        ELSE coalesce(known.manufacturer, stated.manufacturer) END
                       AS manufacturer)
        FROM stated
        LEFT JOIN arrays AS found
            ON found.experiment = stated.experiment AND found.sample = stated.sample
        LEFT JOIN platforms AS known ON known.platform = found.platform
        ORDER BY ALL
        """,  # noqa: S608
    ),
    "sample_attributes": (
        "survey",
        "SELECT experiment, sample, a.position, a.key, a.value FROM "  # noqa: S608
        f"(SELECT experiment, s.sample AS sample, unnest(s.attributes) AS a FROM {_UNNESTED}) "
        "ORDER BY ALL",
    ),
    "sample_files": (
        "survey",
        "SELECT experiment, sample, f.position, f.filename, f.source_url, f.is_raw, "  # noqa: S608
        "f.is_archive, f.expected_md5, f.expected_bytes FROM "
        f"(SELECT experiment, s.sample AS sample, unnest(s.files) AS f FROM {_UNNESTED}) "
        "ORDER BY ALL",
    ),
    # The stage that came furthest speaks for the sample.
    "sample_status": (
        "statuses",
        """
        WITH spoken AS (
            SELECT * EXCLUDE (stage), stage,
                   CASE stage WHEN 'experiment_metadata' THEN 1 WHEN 'raw_samples' THEN 2
                              WHEN 'transcript_quantification' THEN 3 ELSE 4 END AS progress
            FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
        ), last_word AS (
            SELECT spoken.* FROM spoken SEMI JOIN samples USING (experiment, sample)
            QUALIFY row_number() OVER (PARTITION BY experiment, sample ORDER BY progress DESC) = 1
        )
        SELECT experiment, sample, stage,
               CASE WHEN status = 'processed' AND progress < 4 THEN 'waiting' ELSE status END
                   AS status,
               CASE WHEN status = 'processed' AND progress < 4 THEN 'in_progress'
                    ELSE reason_code END AS reason_code,
               CASE WHEN status = 'processed' AND progress < 4 THEN 'Came through ' || stage || '.'
                    ELSE reason END AS reason,
               remedy, code_version, run_id, recorded_at
        FROM last_word ORDER BY experiment, sample
        """,
    ),
    "processors": (
        "",
        """
        SELECT 'Salmon' AS processor, salmon_version AS version, count(*) AS num_samples
        FROM quantifications GROUP BY ALL
        UNION ALL
        SELECT 'refinebio_assets', code_version, count(*)
        FROM (SELECT code_version FROM quantifications UNION ALL SELECT code_version FROM arrays)
        GROUP BY ALL
        UNION ALL
        SELECT method, code_version, count(*) FROM arrays GROUP BY ALL
        ORDER BY processor, version
        """,
    ),
}

_READ = """read_parquet($files, filename = true, hive_partitioning = true,
    hive_types = {'organism': VARCHAR, 'technology': VARCHAR})"""
# From the file's name: a question for one experiment then opens no other file.
_EXPERIMENT = "parse_filename(filename, true) AS experiment"

# A view over several globs is the union of what they hold; one without files adds nothing.
VIEWS: dict[str, tuple[tuple[str, ...], str]] = {
    "expression": (
        ("rnaseq", "microarray"),
        f"SELECT gene, sample, value, {_EXPERIMENT}, organism, technology FROM {_READ}",  # noqa: S608
    ),
    "gene_counts": (
        ("rnaseq",),
        "SELECT gene, sample, counts, effective_length, tpm, value AS length_scaled_tpm, "  # noqa: S608
        f"{_EXPERIMENT}, organism FROM {_READ}",
    ),
}


@dataclass(frozen=True)
class Macro:
    """A question with parameters, `FROM name(…)`, or an expression with parameters."""

    name: str
    parameters: str
    meaning: str
    query: str
    is_table: bool = True

    def definition(self) -> str:
        """The statement that makes it."""
        kind = "TABLE" if self.is_table else ""
        return f"CREATE MACRO {self.name}({self.parameters}) AS {kind} {self.query}"


# In a macro a bare name is first of all a parameter: none is named as a column that is used.
MACROS = (
    Macro(
        "expression_matrix",
        "accession",
        "Values of an experiment, by gene and sample: expression_matrix('GSE…').",
        """
        SELECT gene, sample, value FROM expression
        WHERE experiment = accession ORDER BY gene, sample
        """,
    ),
    Macro(
        "gene_ids",
        "of_organism, of_gene",
        "The genes meant by an id or a symbol: gene_ids('HOMO_SAPIENS', 'TP53'). An id that no "
        "reference knows means itself.",
        """
        SELECT of_gene AS gene
        UNION
        SELECT gene FROM genes WHERE organism = of_organism AND lower(symbol) = lower(of_gene)
        """,
    ),
    Macro(
        "gene_profile",
        "of_organism, of_gene",
        "Values of a gene, by its id or symbol, in all samples of an organism: "
        "gene_profile('HOMO_SAPIENS', 'TP53').",
        """
        SELECT experiment, sample, technology, gene, value
        FROM expression JOIN gene_ids(of_organism, of_gene) USING (gene)
        WHERE organism = of_organism ORDER BY experiment, sample, gene
        """,
    ),
    Macro(
        "receipt",
        "of_gene, of_sample",
        "Where a value comes from: what made it, of which reference, digests, versions and run: "
        "receipt('TP53', 'GSM…').",
        """
        SELECT v.gene, g.symbol, v.sample, v.experiment, v.organism, v.technology, v.value,
               coalesce(a.method, 'Salmon, tximport lengthScaledTPM') AS method,
               coalesce(a.engine, 'salmon ' || q.salmon_version) AS program,
               coalesce(a.platform, q.reference_database || ' ' || q.reference_assembly
                        || ', ' || q.index_length || ' index') AS reference,
               coalesce(a.annotation_release, q.reference_release) AS reference_release,
               coalesce(a.annotation_sha256, q.index_sha256) AS reference_sha256,
               a.raw_name,
               CASE WHEN a.sample IS NULL THEN q.raw_sha256 ELSE [a.raw_sha256] END AS raw_sha256,
               e.source_url, coalesce(a.code_version, q.code_version) AS code_version,
               coalesce(a.run_id, q.run_id) AS run_id,
               coalesce(a.recorded_at, q.recorded_at) AS recorded_at
        FROM expression AS v
        JOIN experiments AS e USING (experiment)
        LEFT JOIN genes AS g ON g.organism = v.organism AND g.gene = v.gene
        LEFT JOIN arrays AS a ON a.experiment = v.experiment AND a.sample = v.sample
        LEFT JOIN quantifications AS q ON q.experiment = v.experiment AND q.sample = v.sample
        WHERE v.sample = of_sample AND (v.gene = of_gene OR v.gene IN (
            SELECT genes.gene FROM genes WHERE lower(genes.symbol) = lower(of_gene)))
        """,
    ),
    Macro(
        "sample_profile",
        "of_sample",
        "Values of a sample in all genes, by each experiment that has it: sample_profile('GSM…').",
        """
        SELECT experiment, gene, value FROM expression JOIN samples USING (experiment, sample)
        WHERE sample = of_sample ORDER BY experiment, gene
        """,
    ),
)
