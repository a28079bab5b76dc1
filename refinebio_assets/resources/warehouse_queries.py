"""The catalogue's tables, views and macros as SQL.

Each entry is (the files it reads, query); `$files` stands for their glob. Column order
and types follow `refinebio_assets.tables`.
"""

from __future__ import annotations

from refinebio_assets.tables import ARRAYS, EXPERIMENTS, QUANTIFICATIONS, SAMPLES

_EXPERIMENT_COLUMNS = ", ".join(EXPERIMENTS.column_names())
_SAMPLE_COLUMNS = ", ".join(f"s.{name}" for name in SAMPLES.column_names() if name != "experiment")
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
    "quantifications": (
        "quantifications",
        f"SELECT {', '.join(QUANTIFICATIONS.column_names())} FROM read_parquet($files) "  # noqa: S608
        "ORDER BY experiment, sample",
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

MACROS = (
    """
    CREATE MACRO expression_matrix(accession) AS TABLE
    SELECT gene, sample, value FROM expression
    WHERE experiment = accession ORDER BY gene, sample
    """,
    """
    CREATE MACRO gene_profile(of_organism, of_gene) AS TABLE
    SELECT experiment, sample, value FROM expression
    WHERE organism = of_organism AND gene = of_gene ORDER BY experiment, sample
    """,
    """
    CREATE MACRO sample_profile(of_sample) AS TABLE
    SELECT experiment, gene, value FROM expression JOIN samples USING (experiment, sample)
    WHERE sample = of_sample ORDER BY experiment, gene
    """,
    """
    CREATE MACRO search_samples(words) AS TABLE
    SELECT experiment, sample, title, organism, technology FROM samples
    WHERE contains(lower(concat_ws(' ', title, specimen_part, disease, cell_line, treatment)),
                   lower(words))
       OR (experiment, sample) IN (
           SELECT (experiment, sample) FROM sample_attributes
           WHERE contains(lower(value), lower(words)))
    ORDER BY experiment, sample
    """,
)
