"""What v1 sees of the catalogue: its rows under v1's names, as views and a few small tables.

They are made when a catalogue is opened, in the memory of the server: `api.…` beside the
attached `catalogue.…`. In v1 a sample is one, in whatever experiments it is; of its rows, the
one that is processed speaks for it. It is downloadable if its organism has a target. Not
here: which rows are wanted, and what is put together of several (see the routes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from refinebio_assets.api.ids import number_of, number_sql
from refinebio_assets.resources.references import LENGTHS, index_folder
from refinebio_assets.resources.storage import Storage, read_json
from refinebio_assets.tables import HARMONISED_FIELDS

if TYPE_CHECKING:
    import duckdb

# Those that an experiment is said to have; the developmental stage is not among them.
SAMPLE_METADATA_FIELDS: Final = tuple(
    each.name for each in HARMONISED_FIELDS if each.name != "developmental_stage"
)


def prepare(database: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    """Add the schema `api` to a database to which a catalogue is attached."""
    database.execute("CREATE SCHEMA memory.api")
    database.execute("USE memory.api")
    database.execute(_INDICES)
    rows = _indices(storage)
    if rows:
        marks = ", ".join("?" for _ in rows[0])
        database.executemany(f"INSERT INTO memory.api.indices VALUES ({marks})", rows)  # noqa: S608
    for statement in _STATEMENTS:
        database.execute(statement)


def _indices(storage: Storage) -> list[list[Any]]:
    """The Salmon indices that are built: all of them, not only the newest."""
    found = []
    references = sorted((storage.root / "reference").glob("*/*"))
    for reference in references:
        for length in LENGTHS:
            folder = index_folder(reference, length)
            record = read_json(folder / "index.json")
            if record is None:
                continue
            version = (read_json(folder / "versionInfo.json") or {}).get("salmonVersion")
            key = f"{record['organism']}/{record['release']}/{length}"
            found.append(
                [
                    number_of("index", key),
                    record["organism"],
                    f"TRANSCRIPTOME_{length.upper()}",
                    record["database"],
                    record["release"],
                    record["assembly"],
                    f"salmon {version}" if version else "",
                    record["created_at"],
                    record["sha256"],
                    folder.relative_to(storage.root).as_posix(),
                    number_of("result", f"index {key}"),
                ]
            )
    return found


def _known_fields() -> str:
    flags = ", ".join(
        f"CASE WHEN count(nullif(s.{name}::VARCHAR, '')) > 0 THEN '{name}' END"
        for name in SAMPLE_METADATA_FIELDS
    )
    return f"list_filter([{flags}], lambda name: name IS NOT NULL)"


def _distinct(column: str, condition: str = "true") -> str:
    wanted = f"{column} IS NOT NULL AND {condition}"
    return f"coalesce(list_sort(list(DISTINCT {column}) FILTER ({wanted})), [])"


def _public_address(column: str) -> str:
    """An address of the internet; what lies on the disks here is nobody's business."""
    return f"CASE WHEN regexp_matches({column}, '^(https?|ftp)://') THEN {column} ELSE '' END"


_TEXTS: Final = ", ".join(
    f"coalesce(s.{each.name}, '') AS {each.name}" if each.type == "VARCHAR" else f"s.{each.name}"
    for each in HARMONISED_FIELDS
)
_PRETTY: Final = (
    "trim(regexp_replace(s.platform_name, '^[^\\]]*\\]', '')) || ' (' || s.platform || ')'"
)

_INDICES: Final = """
CREATE TABLE memory.api.indices (
    id BIGINT, organism_name VARCHAR, index_type VARCHAR, database_name VARCHAR,
    release_version VARCHAR, assembly_name VARCHAR, salmon_version VARCHAR,
    created_at TIMESTAMPTZ, sha256 VARCHAR, folder VARCHAR, result_id BIGINT)
"""

_STATEMENTS: Final = (
    """
    CREATE TABLE chosen_samples AS
    WITH targets AS (
        SELECT DISTINCT organism FROM catalogue.main.qn_targets WHERE is_current
    ), stated AS (
        SELECT s.rowid AS sample_row, s.experiment, s.sample, w.recorded_at,
               coalesce(w.status, 'waiting') AS status,
               s.organism IN (SELECT organism FROM targets) AS has_target
        FROM catalogue.main.samples AS s
        LEFT JOIN catalogue.main.sample_status AS w USING (experiment, sample)
    )
    SELECT sample_row, sample, recorded_at, status = 'processed' AS is_processed,
           status IN ('failed', 'skipped') AS is_unable_to_be_processed,
           coalesce(status = 'processed' AND has_target, false) AS is_downloadable,
           count(*) OVER (PARTITION BY sample) > 1 AS in_several
    FROM stated
    QUALIFY row_number() OVER (PARTITION BY sample
                               ORDER BY status = 'processed' DESC, experiment) = 1
    """,
    f"""
    CREATE TABLE experiment_summaries AS
    SELECT s.experiment,
           count(*)::INTEGER AS num_total_samples,
           (count(*) FILTER (c.is_processed))::INTEGER AS num_processed_samples,
           (count(*) FILTER (c.is_downloadable))::INTEGER AS num_downloadable_samples,
           (count(*) FILTER (c.is_downloadable AND NOT c.in_several))::INTEGER AS num_unshared,
           {_distinct("s.platform")} AS platform_accession_codes,
           {_distinct("s.platform_name")} AS platform_names,
           {_distinct(_PRETTY)} AS pretty_platforms,
           {_distinct("s.technology")} AS technologies,
           {_distinct("s.organism", "c.is_downloadable")} AS downloadable_organism_names,
           {_known_fields()} AS sample_metadata_fields
    FROM catalogue.main.samples AS s JOIN chosen_samples AS c USING (sample)
    GROUP BY s.experiment
    """,  # noqa: S608
    # Downloadable samples that are in several experiments: to count each of them once.
    """
    CREATE TABLE shared_samples AS
    SELECT e.rowid AS experiment_row, c.sample_row
    FROM catalogue.main.samples AS s JOIN chosen_samples AS c USING (sample)
    JOIN catalogue.main.experiments AS e USING (experiment)
    WHERE c.is_downloadable AND c.in_several
    """,
    f"""
    CREATE VIEW experiments AS
    SELECT {number_sql("experiment", "e.experiment")} AS id,
           e.rowid AS experiment_row,
           coalesce(e.title, '') AS title,
           coalesce(e.description, '') AS description,
           e.experiment AS accession_code,
           CASE WHEN e.alternate_accession <> '' THEN e.alternate_accession
                WHEN regexp_full_match(e.experiment, 'GSE[0-9]+')
                THEN 'E-GEOD-' || e.experiment[4:]
                WHEN regexp_full_match(e.experiment, 'E-GEOD-[0-9]+')
                THEN 'GSE' || e.experiment[8:] END AS alternate_accession_code,
           coalesce(e.source_database, '') AS source_database,
           {_public_address("e.source_url")} AS source_url,
           e.protocol_description,
           coalesce(e.technology, '') AS technology,
           coalesce(e.organisms, []) AS organism_names,
           coalesce(e.submitter_institution, '') AS submitter_institution,
           coalesce(e.has_publication, false) AS has_publication,
           coalesce(e.publication_title, '') AS publication_title,
           coalesce(e.publication_doi, '') AS publication_doi,
           coalesce(e.publication_authors, []) AS publication_authors,
           coalesce(e.pubmed_id, '') AS pubmed_id,
           e.source_first_published, e.source_last_modified,
           e.recorded_at AS created_at, e.recorded_at AS last_modified,
           coalesce(x.num_total_samples, 0) AS num_total_samples,
           coalesce(x.num_processed_samples, 0) AS num_processed_samples,
           coalesce(x.num_downloadable_samples, 0) AS num_downloadable_samples,
           coalesce(x.num_unshared, 0) AS num_unshared,
           coalesce(x.platform_accession_codes, []) AS platform_accession_codes,
           coalesce(x.platform_names, []) AS platform_names,
           coalesce(x.pretty_platforms, []) AS pretty_platforms,
           coalesce(x.technologies, []) AS technologies,
           coalesce(x.downloadable_organism_names, []) AS downloadable_organism_names,
           coalesce(x.sample_metadata_fields, []) AS sample_metadata_fields
    FROM catalogue.main.experiments AS e LEFT JOIN experiment_summaries AS x USING (experiment)
    """,  # noqa: S608
    f"""
    CREATE VIEW samples AS
    SELECT {number_sql("sample", "s.sample")} AS id,
           s.experiment,
           coalesce(s.title, '') AS title,
           s.sample AS accession_code,
           coalesce(s.source_database, '') AS source_database,
           coalesce(s.organism, '') AS organism_name,
           o.taxonomy_id,
           coalesce(s.platform, '') AS platform_accession_code,
           coalesce(s.platform_name, '') AS platform_name,
           coalesce({_PRETTY}, '') AS pretty_platform,
           coalesce(s.technology, 'UNKNOWN') AS technology,
           coalesce(s.manufacturer, 'UNKNOWN') AS manufacturer,
           s.protocol_info,
           {_public_address("s.source_archive_url")} AS source_archive_url,
           coalesce(s.has_raw, false) AS has_raw,
           {_TEXTS},
           c.is_processed, c.is_unable_to_be_processed, c.is_downloadable,
           coalesce(e.recorded_at, c.recorded_at) AS created_at,
           coalesce(c.recorded_at, e.recorded_at) AS last_modified
    FROM chosen_samples AS c
    JOIN catalogue.main.samples AS s ON s.rowid = c.sample_row
    LEFT JOIN catalogue.main.experiments AS e USING (experiment)
    LEFT JOIN catalogue.main.organisms AS o ON o.organism = s.organism
    """,  # noqa: S608
    f"""
    CREATE VIEW members AS
    SELECT s.experiment, s.sample AS accession_code,
           coalesce(s.platform_name, '') AS platform_name,
           coalesce({_PRETTY}, '') AS pretty_platform,
           coalesce(s.technology, 'UNKNOWN') AS technology,
           c.is_processed, c.is_unable_to_be_processed
    FROM catalogue.main.samples AS s JOIN chosen_samples AS c USING (sample)
    """,  # noqa: S608
    """
    CREATE VIEW organisms AS
    WITH compendia AS (
        SELECT organism, bool_or(kind = 'normalized') AS has_compendia,
               bool_or(kind = 'rnaseq') AS has_quantfile_compendia
        FROM catalogue.main.compendia GROUP BY organism
    ), named AS (
        SELECT organism FROM catalogue.main.organisms
        UNION SELECT organism FROM catalogue.main.samples WHERE organism IS NOT NULL
        UNION SELECT organism FROM compendia
        UNION SELECT organism FROM catalogue.main.qn_targets
    )
    SELECT organism AS name, taxonomy_id, coalesce(has_compendia, false) AS has_compendia,
           coalesce(has_quantfile_compendia, false) AS has_quantfile_compendia
    FROM named LEFT JOIN catalogue.main.organisms USING (organism)
    LEFT JOIN compendia USING (organism)
    """,
    # All that made a file; the versions are written as in the metadata of datasets.
    f"""
    CREATE VIEW results AS
    WITH made AS (
        SELECT 'salmon ' || experiment || '/' || sample AS key, experiment, sample, organism,
               'Salmon Quant' AS processor, 'salmon ' || salmon_version AS processor_version,
               'salmon' AS tool, salmon_version AS tool_version, command, index_sha256,
               upper('transcriptome_' || index_length) AS index_type, run_id,
               recorded_at AS time_end, seconds
        FROM catalogue.main.quantifications
        UNION ALL
        SELECT 'tximport ' || experiment || '/' || sample, experiment, sample, organism,
               'Tximport', 'refinebio_assets ' || q.code_version || ', salmon ' || salmon_version,
               'refinebio_assets', q.code_version, NULL, index_sha256,
               upper('transcriptome_' || index_length), w.run_id, w.recorded_at, NULL
        FROM catalogue.main.quantifications AS q
        JOIN catalogue.main.sample_status AS w USING (experiment, sample)
        WHERE w.status = 'processed'
        UNION ALL
        SELECT 'array ' || experiment || '/' || sample, experiment, sample, organism,
               CASE method WHEN 'SCANfast' THEN 'Affymetrix SCAN' WHEN 'SCAN' THEN 'Affymetrix SCAN'
                           WHEN 'submitter-processed' THEN 'Submitter-processed' ELSE method END,
               CASE WHEN method IN ('SCANfast', 'SCAN') THEN method || ', ' ELSE '' END || engine ||
               CASE WHEN engine = 'refinebio_assets' THEN '' ELSE ' by refinebio_assets' END ||
               ' ' || code_version,
               'refinebio_assets', code_version, NULL, NULL, NULL, run_id, recorded_at, seconds
        FROM catalogue.main.arrays
        UNION ALL
        SELECT 'qn_target ' || organism || '/' || version, NULL, NULL, organism,
               'Quantile Normalization Reference', 'refinebio_assets ' || code_version,
               'refinebio_assets', code_version, NULL, NULL, NULL, run_id, recorded_at, NULL
        FROM catalogue.main.qn_targets
        UNION ALL
        SELECT 'compendium ' || kind || '/' || organism || '/' || version, NULL, NULL, organism,
               CASE kind WHEN 'rnaseq' THEN 'Quantpendia Creation' ELSE 'Compendia Creation' END,
               'refinebio_assets ' || code_version, 'refinebio_assets', code_version,
               NULL, NULL, NULL, run_id, recorded_at, NULL
        FROM catalogue.main.compendia
        UNION ALL
        SELECT 'index ' || organism_name || '/' || release_version || '/' ||
                   lower(replace(index_type, 'TRANSCRIPTOME_', '')),
               NULL, NULL, organism_name, 'Transcriptome Index', salmon_version, 'salmon',
               replace(salmon_version, 'salmon ', ''), NULL, sha256, index_type, NULL,
               created_at, NULL
        FROM indices
    )
    SELECT {number_sql("result", "key")} AS id, * EXCLUDE (seconds),
           {number_sql("processor", "processor || ' ' || processor_version")} AS processor_id,
           time_end - to_milliseconds((1000 * coalesce(seconds, 0))::BIGINT) AS time_start
    FROM made
    """,  # noqa: S608
    f"""
    CREATE TABLE processors AS
    SELECT {number_sql("processor", "name || ' ' || version")} AS id, * FROM (
        SELECT DISTINCT processor AS name, processor_version AS version, tool, tool_version
        FROM results WHERE processor_version IS NOT NULL)
    """,  # noqa: S608
    f"""
    CREATE VIEW compendia AS
    WITH releases AS (
        SELECT *, 'compendium ' || kind || '/' || organism || '/' || version AS key
        FROM catalogue.main.compendia
    )
    SELECT {number_sql("compendium", "key")} AS id,
           {number_sql("computed_file", "key")} AS file_id,
           {number_sql("result", "key")} AS result__id,
           key, organism AS primary_organism__name, version AS compendium_version, organisms,
           kind = 'rnaseq' AS quant_sf_only, is_current, num_bytes, file AS path,
           organism || '_' || kind || '_' || version || '.zip' AS filename,
           CASE engine WHEN 'svd' THEN 'RANDOMIZED' WHEN 'fancyimpute' THEN 'ARPACK'
                       ELSE 'NONE' END AS svd_algorithm,
           false AS is_smashable, false AS is_qc,
           recorded_at AS created_at, recorded_at AS last_modified
    FROM releases
    """,  # noqa: S608
    f"""
    CREATE VIEW computed_files AS
    WITH files AS (
        SELECT 'salmon ' || experiment || '/' || sample AS key, 'quant.sf' AS filename,
               quant_folder || '/quant.sf' AS path, experiment, sample, false AS is_smashable,
               false AS is_qn_target, NULL AS compendium, recorded_at AS created_at
        FROM catalogue.main.quantifications
        UNION ALL
        SELECT 'tximport ' || experiment || '/' || sample, experiment || '.parquet',
               'processed/expression/organism=' || q.organism || '/technology=RNA-SEQ/' ||
               experiment || '.parquet', experiment, sample, true, false, NULL, w.recorded_at
        FROM catalogue.main.quantifications AS q
        JOIN catalogue.main.sample_status AS w USING (experiment, sample)
        WHERE w.status = 'processed'
        UNION ALL
        SELECT 'array ' || experiment || '/' || sample, experiment || '.parquet',
               'processed/expression/organism=' || organism || '/technology=MICROARRAY/' ||
               experiment || '.parquet', experiment, sample, true, false, NULL, recorded_at
        FROM catalogue.main.arrays
        UNION ALL
        SELECT 'qn_target ' || organism || '/' || version,
               lower(organism) || '_target_' || version || '.tsv', file, NULL, NULL, false, true,
               NULL, recorded_at
        FROM catalogue.main.qn_targets
        UNION ALL
        SELECT key, filename, path, NULL, NULL, false, false, key, created_at FROM compendia
    )
    SELECT {number_sql("computed_file", "files.key")} AS id,
           {number_sql("result", "files.key")} AS result_id,
           files.* EXCLUDE (compendium),  files.created_at AS last_modified,
           false AS is_qc, files.compendium IS NOT NULL AS is_compendia,
           coalesce(c.quant_sf_only, false) AS quant_sf_only,
           coalesce(c.svd_algorithm, 'NONE') AS svd_algorithm,
           c.compendium_version, c.primary_organism__name AS compendia_organism_name
    FROM files LEFT JOIN compendia AS c ON c.key = files.compendium
    """,  # noqa: S608
    # A file that several samples of an experiment name is one.
    f"""
    CREATE VIEW original_files AS
    WITH files AS (
        SELECT experiment, coalesce(source_url, filename) AS source,
               any_value(filename) AS filename,
               max(expected_bytes) AS size_in_bytes, any_value(source_url) AS source_url,
               bool_or(is_archive) AS is_archive, bool_or(is_raw) AS has_raw,
               list(DISTINCT sample ORDER BY sample) AS samples
        FROM catalogue.main.sample_files GROUP BY experiment, source
    )
    SELECT {number_sql("original_file", "f.experiment || ' ' || f.source")} AS id,
           f.experiment, coalesce(f.filename, '') AS filename, f.size_in_bytes,
           {_public_address("f.source_url")} AS source_url,
           coalesce(f.is_archive, false) AS is_archive, coalesce(f.has_raw, false) AS has_raw,
           coalesce(f.filename, '') AS source_filename, f.samples,
           e.recorded_at AS created_at, e.recorded_at AS last_modified
    FROM files AS f LEFT JOIN catalogue.main.experiments AS e USING (experiment)
    """,  # noqa: S608
    # Of which experiment a number of a file or result is: of most, to find it without trying all.
    """
    CREATE TABLE numbers AS
    SELECT id, experiment FROM computed_files
    UNION ALL SELECT id, experiment FROM results
    UNION ALL SELECT id, experiment FROM original_files
    """,
)
