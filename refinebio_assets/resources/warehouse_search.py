"""Search in the catalogue: an inverted index as ordinary tables, asked through SQL macros.

Nothing but DuckDB itself is needed to search, from whatever program opens the catalogue: its
`fts` extension would have to be fetched first. Words are folded (lower case, no accents, Greek
letters spelt out, English plurals cut); 'MCF-7' is a word 'mcf7' and the words 'mcf' and '7'.
A sample is found by its own words (accession, title, harmonised fields, attributes' values,
organism, platform) and by those of its experiment; an experiment by its own words and those of
its samples. Scores are BM25 over weighted fields, computed while the catalogue is built: a
search only adds them up. `benchmarks/search_at_scale.py` measures it. Not here: the tables'
columns (see `refinebio_assets.tables`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from refinebio_assets.resources.warehouse_queries import Macro
from refinebio_assets.tables import HARMONISED_FIELDS

if TYPE_CHECKING:
    import duckdb

# What a word counts, by where it stands.
TITLE: Final = 3
FIELD: Final = 2
OTHER: Final = 1
# In a search for samples, what a word of the experiment counts.
OF_EXPERIMENT: Final = 0.5

LONGEST_WORD: Final = 60
_MOST_WORDS: Final = 60  # in a search: each is a bit of a BIGINT

_PIECE: Final = r"[\p{L}\p{N}]+"
_TERM: Final = rf"{_PIECE}(?:[-_]{_PIECE})*"
_GREEK: Final = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "κ": "kappa"}

_WEIGHTS: Final = {
    "samples": {
        "sample": TITLE,
        "title": TITLE,
        "organism": OTHER,
        "platform_name": OTHER,
        **{field.name: FIELD for field in HARMONISED_FIELDS if field.type == "VARCHAR"},
    },
    "experiments": {
        "experiment": TITLE,
        "alternate_accession": TITLE,
        "title": TITLE,
        "description": OTHER,
        "publication_title": OTHER,
    },
}

# What hits can be confined to, and are counted by: a column of `samples` -> the condition. In
# a macro a bare name is first of all a parameter; the columns are qualified.
FILTERS: Final = {
    "organism": "samples.organism = replace(upper(organism), ' ', '_')",
    "technology": "samples.technology = upper(technology)",
    "platform": "lower(platform) IN (lower(samples.platform), lower(samples.platform_name))",
    "source_database": "samples.source_database = upper(source_database)",
    "sex": "samples.sex = lower(sex)",
    "specimen_part": "contains(samples.specimen_part, lower(specimen_part))",
    "disease": "contains(samples.disease, lower(disease))",
    "cell_line": "contains(samples.cell_line, lower(cell_line))",
}


def make_searchable(database: duckdb.DuckDBPyConnection) -> None:
    """Add the index and its macros to a catalogue that has experiments, samples, attributes."""
    for macro in _WORD_MACROS:
        database.execute(macro.definition())
    for statement in _WORDS_OF_TEXTS:
        database.execute(statement)
    for first, last in database.execute(_CHUNKS).fetchall():
        for statement in _CHUNK:
            database.execute(statement, [first, last])
    for statement in _INDEX:
        database.execute(statement)
    for macro in _SEARCH_MACROS:
        database.execute(macro.definition())
    database.execute(_FACETS_OF_ALL)
    database.execute(_FACETS_MACRO.definition())


# --- words ----------------------------------------------------------------------------


def _folded(text: str) -> str:
    sql = f"lower(strip_accents({text}))"
    for letter, name in _GREEK.items():
        sql = f"replace({sql}, '{letter}', '{name}')"
    return sql


_WORD_MACROS: Final = (
    Macro(
        "search_folded",
        "words",
        "A text as it is searched in: lower case, no accents, Greek letters spelt out.",
        _folded("words"),
        is_table=False,
    ),
    Macro(
        "search_spaced",
        "words",
        "A folded text with a space for whatever stands between its words.",
        r"""
        regexp_replace(' ' || search_folded(words) || ' ', '[^\p{L}\p{N}]+', ' ', 'g')
        """,
        is_table=False,
    ),
    # Harman's S-stemmer (1991), but not for short words, 'analysis' and names with digits.
    Macro(
        "search_stem",
        "word",
        "A folded word without its English plural.",
        """
        CASE
            WHEN len(word) < 4 OR NOT ends_with(word, 's')
                OR regexp_matches(word, '[0-9]|(us|ss|is)$')
                THEN word
            WHEN regexp_matches(word, '[^ea]ies$') THEN word[:-4] || 'y'
            ELSE word[:-2] END
        """,
        is_table=False,
    ),
    # A row for each word. Of a compound, the whole (which has the bits of all) or all parts.
    Macro(
        "search_terms",
        "words",
        "The words of a search, each a bit; part of the searches.",
        f"""
        WITH terms AS (
            SELECT unnest(found) AS term, generate_subscripts(found, 1) AS place
            FROM (SELECT regexp_extract_all(search_folded(words), '{_TERM}\\*?') AS found)
        ), parts AS (
            SELECT term, place, unnest(pieces) AS part, generate_subscripts(pieces, 1) AS piece,
                   len(pieces) AS num_pieces
            FROM (SELECT *, regexp_extract_all(term, '{_PIECE}') AS pieces FROM terms)
        ), numbered AS (
            SELECT *, row_number() OVER (ORDER BY place, piece) - 1 AS number FROM parts
            QUALIFY number < {_MOST_WORDS}
        ), alternatives AS (
            SELECT part AS word, 1::BIGINT << number::INTEGER AS bits,
                   piece = num_pieces AND ends_with(term, '*') AS is_beginning
            FROM numbered
            UNION ALL
            SELECT string_agg(part, '' ORDER BY piece), bit_or(1::BIGINT << number::INTEGER),
                   ends_with(any_value(term), '*')
            FROM numbered WHERE num_pieces > 1 GROUP BY place
        )
        SELECT search_stem(word) AS word, bits, if(is_beginning, word, NULL) AS beginning
        FROM alternatives
        """,  # noqa: S608
    ),
)

# --- the index ------------------------------------------------------------------------


def _texts(table: str, row: str, source: str) -> str:
    """A row for each text that `table` has: of which row, the text, its weight."""
    weights = _WEIGHTS[table]
    texts = ", ".join(
        f"replace({table}.{name}, '_', ' ')" if name == "organism" else f"{table}.{name}"
        for name in weights
    )
    return (
        f"SELECT {row} AS of_row, unnest([{texts}]) AS content, "  # noqa: S608
        f"unnest({list(weights.values())}) AS weight FROM {source}"
    )


_SAMPLES_OF_CHUNK: Final = "(SELECT *, rowid FROM samples WHERE experiment BETWEEN $1 AND $2)"
_SAMPLE_TEXTS: Final = f"""
    {_texts("samples", "samples.rowid", "$samples AS samples")}
    UNION ALL
    SELECT samples.rowid, value, {OTHER}
    FROM sample_attributes JOIN $samples AS samples USING (experiment, sample)
"""  # noqa: S608
_EXPERIMENT_TEXTS: Final = _texts("experiments", "experiments.rowid", "experiments")


def _frequencies(texts: str) -> str:
    return f"""
    SELECT of_row::INTEGER AS of_row, word, sum(weight * times)::FLOAT AS frequency
    FROM ({texts}) JOIN searched_texts USING (content)
    JOIN text_words ON of_text = searched_texts.number GROUP BY ALL
    """  # noqa: S608


def _scored(frequencies: str) -> str:
    """BM25 (k1 = 1.2, b = 0.75) from a table of (of_row, word, frequency, length)."""
    return f"""
    WITH mean AS (
        SELECT count(DISTINCT of_row) AS num_rows, sum(frequency) / num_rows AS length
        FROM {frequencies}
    ), words AS (
        SELECT word, ln(1 + (num_rows - count(*) + 0.5) / (count(*) + 0.5)) AS rarity
        FROM {frequencies}, mean GROUP BY word, num_rows
    )
    SELECT word, of_row, (rarity * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 *
               {frequencies}.length / mean.length)))::FLOAT AS score
    FROM {frequencies} JOIN words USING (word), mean
    """  # noqa: S608


_WORDS_OF_TEXTS: Final = (
    # Most texts are those of many samples: each is taken to pieces once.
    f"""
    CREATE TEMP TABLE searched_texts AS
    SELECT content, row_number() OVER ()::INTEGER AS number FROM (
        SELECT content FROM ({_SAMPLE_TEXTS.replace("$samples", "samples")})
        UNION SELECT content FROM ({_EXPERIMENT_TEXTS}))
    WHERE content IS NOT NULL
    """,  # noqa: S608
    f"""
    CREATE TEMP TABLE text_pieces AS
    WITH terms AS (
        SELECT number, unnest(regexp_extract_all(search_folded(content), '{_TERM}')) AS term
        FROM searched_texts
    ), pieces AS (
        SELECT number, unnest(CASE WHEN regexp_matches(term, '[-_]')
            THEN list_append(regexp_extract_all(term, '{_PIECE}'),
                             regexp_replace(term, '[-_]', '', 'g'))
            ELSE [term] END) AS piece
        FROM terms
    )
    SELECT number, piece, count(*)::INTEGER AS times FROM pieces
    WHERE len(piece) <= {LONGEST_WORD} GROUP BY ALL
    """,  # noqa: S608
    """
    CREATE TEMP TABLE numbered_words AS
    SELECT piece, search_stem(piece) AS word,
           dense_rank() OVER (ORDER BY search_stem(piece))::INTEGER AS number
    FROM (SELECT DISTINCT piece FROM text_pieces)
    """,
    """
    CREATE TEMP TABLE text_words AS
    SELECT text_pieces.number AS of_text, numbered_words.number AS word, sum(times) AS times
    FROM text_pieces JOIN numbered_words USING (piece) GROUP BY ALL
    """,
    "DROP TABLE text_pieces",
    """
    CREATE TABLE search_sample_rows AS
    SELECT samples.rowid::INTEGER AS sample_row, experiments.rowid::INTEGER AS experiment_row,
           min(samples.rowid) OVER (PARTITION BY sample)::INTEGER AS first_row,
           count(*) OVER (PARTITION BY sample) > 1 AS in_several
    FROM samples LEFT JOIN experiments USING (experiment) ORDER BY sample_row
    """,
    f"CREATE TEMP TABLE experiment_frequencies AS {_frequencies(_EXPERIMENT_TEXTS)}",
    """
    CREATE TEMP TABLE own_frequencies AS
    SELECT *, sum(frequency) OVER (PARTITION BY of_row) AS length FROM experiment_frequencies
    """,
    *(
        f"CREATE TEMP TABLE {name} (of_row INTEGER, word INTEGER, frequency FLOAT, length DOUBLE)"
        for name in ("sample_frequencies", "together_frequencies")
    ),
)
# Neighbouring experiments of this many samples: what is grouped at a time stays in memory.
_MOST_SAMPLES_OF_CHUNK: Final = 100_000
_CHUNKS: Final = f"""
    SELECT min(experiment), max(experiment) FROM (
        SELECT experiment, sum(1 + count(samples.sample)) OVER (ORDER BY experiment)
                   // {_MOST_SAMPLES_OF_CHUNK} AS chunk
        FROM experiments LEFT JOIN samples USING (experiment) GROUP BY experiment)
    GROUP BY chunk ORDER BY chunk
"""  # noqa: S608
_CHUNK: Final = (
    f"""
    INSERT INTO sample_frequencies
    SELECT *, sum(frequency) OVER (PARTITION BY of_row)
    FROM ({_frequencies(_SAMPLE_TEXTS.replace("$samples", _SAMPLES_OF_CHUNK))})
    """,  # noqa: S608
    # Of its samples' words, an experiment has the share of samples that have them.
    """
    INSERT INTO together_frequencies
    WITH chunk AS (SELECT rowid AS of_row FROM experiments WHERE experiment BETWEEN $1 AND $2),
    rows_of_chunk AS (
        SELECT sample_row, experiment_row, count(*) OVER (PARTITION BY experiment_row) AS size
        FROM search_sample_rows SEMI JOIN chunk ON experiment_row = of_row
    ), shares AS (
        SELECT experiment_row AS of_row, word, count(*) / any_value(size) AS frequency
        FROM sample_frequencies JOIN rows_of_chunk ON sample_row = of_row
        GROUP BY experiment_row, word
    ), together AS (
        SELECT of_row, word, sum(frequency)::FLOAT AS frequency
        FROM (FROM experiment_frequencies SEMI JOIN chunk USING (of_row)
              UNION ALL BY NAME FROM shares)
        GROUP BY ALL
    )
    SELECT *, sum(frequency) OVER (PARTITION BY of_row) FROM together
    """,
)
_INDEX: Final = (
    "DROP TABLE text_words",
    "DROP TABLE searched_texts",
    "DROP TABLE experiment_frequencies",
    f"""
    CREATE TABLE search_sample_words AS
    SELECT word, of_row AS sample_row, score FROM ({_scored("sample_frequencies")})
    ORDER BY word, sample_row
    """,  # noqa: S608
    "DROP TABLE sample_frequencies",
    f"""
    CREATE TABLE search_experiment_words AS
    SELECT word, together.of_row AS experiment_row, together.score AS score, own.score AS own_score
    FROM ({_scored("together_frequencies")}) AS together
    LEFT JOIN ({_scored("own_frequencies")}) AS own USING (word, of_row)
    ORDER BY word, experiment_row
    """,  # noqa: S608
    "DROP TABLE together_frequencies",
    "DROP TABLE own_frequencies",
    """
    CREATE TABLE search_words AS
    WITH of_samples AS (
        SELECT word AS number, count(*) AS num_samples FROM search_sample_words GROUP BY word
    ), of_experiments AS (
        SELECT word AS number, count(*) AS num_experiments FROM search_experiment_words
        GROUP BY word
    )
    SELECT word, number, coalesce(num_samples, 0)::INTEGER AS num_samples,
           coalesce(num_experiments, 0)::INTEGER AS num_experiments
    FROM (SELECT DISTINCT word, number FROM numbered_words)
    LEFT JOIN of_samples USING (number) LEFT JOIN of_experiments USING (number) ORDER BY word
    """,
    "DROP TABLE numbered_words",
)

# --- asking ---------------------------------------------------------------------------

_PARAMETERS: Final = ", ".join(f"{name} := NULL" for name in FILTERS)
_PASSED_ON: Final = ", ".join(f"{name} := {name}" for name in FILTERS)
_NO_FILTER: Final = " AND ".join(f"{name} IS NULL" for name in FILTERS)
_CHOSEN: Final = " AND ".join(f"({name} IS NULL OR {each})" for name, each in FILTERS.items())
# With the words given as a constant, DuckDB plans only the branch that is needed.
_NO_WORDS: Final = f"NOT regexp_matches(words, '{_PIECE}')"
_NO_PHRASE: Final = "NOT contains(words, '\"')"
_ALL_MET: Final = "bit_or(bits) = (SELECT bit_or(bits) FROM terms)"
_WANTED: Final = """
    terms AS MATERIALIZED (FROM search_terms(words)),
    found_words AS (
        SELECT number, bits FROM search_words JOIN terms USING (word)
        UNION ALL
        SELECT number, bits FROM search_words, terms
        WHERE beginning IS NOT NULL AND starts_with(search_words.word, beginning)
    ), wanted AS MATERIALIZED (
        SELECT number, bit_or(bits) AS bits FROM found_words GROUP BY number
    )
"""


def _phrases_checked(texts: str, row: str) -> str:
    """Of `hits`, the rows of which one text has each quoted phrase, word by word."""
    return f"""
    phrase_texts AS ({texts}),
    phrases AS (
        SELECT DISTINCT search_spaced(phrase) AS phrase
        FROM (SELECT unnest(regexp_extract_all(words, '"([^"]*)"', 1)) AS phrase)
    ), texts_with_phrase AS MATERIALIZED (
        SELECT phrase, content FROM (SELECT DISTINCT content FROM phrase_texts), phrases
        WHERE contains(search_spaced(content), phrase)
    ), with_phrases AS (
        SELECT of_row AS {row} FROM phrase_texts JOIN texts_with_phrase USING (content)
        GROUP BY of_row HAVING count(DISTINCT phrase) = (SELECT count(*) FROM phrases)
    )
    FROM hits WHERE {_NO_PHRASE}
    UNION ALL
    FROM hits SEMI JOIN with_phrases USING ({row}) WHERE NOT {_NO_PHRASE}
    """  # noqa: S608


def _columns(table: str, *names: str) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


_SAMPLE: Final = _columns(
    "samples", "experiment", "sample", "title", "organism", "technology", "platform"
)
_EXPERIMENT: Final = _columns(
    "experiments", "experiment", "title", "organisms", "technology", "num_samples"
)

# Columns in `facets`, where the bare names are parameters.
_FACETS: Final = {name: f"its_{name}" for name in FILTERS}
_WHICH_FACET: Final = " ".join(
    f"WHEN grouping({each}) = 0 THEN '{name}'" for name, each in _FACETS.items()
)

_SEARCH_MACROS: Final = (
    Macro(
        "search_sample_hits",
        "words",
        "Rows of samples that meet a search, with scores; part of the searches.",
        f"""
        WITH {_WANTED}, of_experiments AS (
            SELECT experiment_row, bit_or(bits) AS bits, sum(own_score) AS score
            FROM search_experiment_words JOIN wanted ON word = number
            WHERE own_score IS NOT NULL GROUP BY experiment_row
        ), met AS (
            SELECT sample_row, bits, score FROM search_sample_words JOIN wanted ON word = number
            UNION ALL
            SELECT sample_row, bits, {OF_EXPERIMENT} * score
            FROM search_sample_rows JOIN of_experiments USING (experiment_row)
        ), hits AS (
            SELECT sample_row, sum(score) AS score FROM met GROUP BY sample_row HAVING {_ALL_MET}
        ), {
            _phrases_checked(
                f'''
            {_texts("samples", "sample_row", "hits JOIN samples ON samples.rowid = sample_row")}
            UNION ALL
            SELECT sample_row, value, {OTHER} FROM hits JOIN samples ON samples.rowid = sample_row
            JOIN sample_attributes USING (experiment, sample)
            UNION ALL
            {
                    _texts(
                        "experiments",
                        "sample_row",
                        "hits JOIN search_sample_rows USING (sample_row) "
                        "JOIN experiments ON experiments.rowid = experiment_row",
                    )
                }
            ''',
                "sample_row",
            )
        }
        """,  # noqa: S608
    ),
    Macro(
        "search_experiment_hits",
        "words",
        "Rows of experiments that meet a search, with scores; part of the searches.",
        f"""
        WITH {_WANTED}, hits AS (
            SELECT experiment_row, sum(score) AS score
            FROM search_experiment_words JOIN wanted ON word = number
            GROUP BY experiment_row HAVING {_ALL_MET}
        ), {
            _phrases_checked(
                f'''
            {
                    _texts(
                        "experiments",
                        "experiment_row",
                        "hits JOIN experiments ON experiments.rowid = experiment_row",
                    )
                }
            UNION ALL
            {
                    _texts(
                        "samples",
                        "experiment_row",
                        "hits JOIN search_sample_rows USING (experiment_row) "
                        "JOIN samples ON samples.rowid = sample_row",
                    )
                }
            UNION ALL
            SELECT experiment_row, value, {OTHER} FROM hits
            JOIN experiments ON experiments.rowid = experiment_row
            JOIN sample_attributes USING (experiment)
            ''',
                "experiment_row",
            )
        }
        """,  # noqa: S608
    ),
    Macro(
        "search_samples",
        f"words, {_PARAMETERS}",
        "Samples that have all the words, best first: "
        "search_samples('medulloblastoma', organism := 'HOMO_SAPIENS').",
        f"""
        SELECT {_SAMPLE}, round(score, 3) AS score
        FROM search_sample_hits(words) JOIN samples ON samples.rowid = sample_row WHERE {_CHOSEN}
        UNION ALL
        SELECT {_SAMPLE}, 0.0 FROM samples WHERE {_NO_WORDS} AND {_CHOSEN}
        ORDER BY score DESC, experiment, sample
        """,  # noqa: S608
    ),
    Macro(
        "search_experiments",
        f"words, {_PARAMETERS}",
        "Experiments that have all the words, themselves or in their samples, best first: "
        "search_experiments('\"group 3\" neuro*').",
        f"""
        WITH chosen AS (SELECT DISTINCT samples.experiment FROM samples WHERE {_CHOSEN})
        SELECT {_EXPERIMENT}, round(score, 3) AS score
        FROM search_experiment_hits(words) JOIN experiments ON experiments.rowid = experiment_row
        WHERE ({_NO_FILTER}) OR experiments.experiment IN (FROM chosen)
        UNION ALL
        SELECT {_EXPERIMENT}, 0.0 FROM experiments
        WHERE {_NO_WORDS} AND (({_NO_FILTER}) OR experiments.experiment IN (FROM chosen))
        ORDER BY score DESC, experiment
        """,  # noqa: S608
    ),
    Macro(
        "search_counts",
        f"words, {_PARAMETERS}",
        "What a search finds, counted anew; part of `facets`.",
        f"""
        WITH found AS (
            SELECT sample_row FROM search_sample_hits(words)
            UNION ALL
            SELECT rowid FROM samples WHERE {_NO_WORDS}
        ), chosen AS (
            SELECT {", ".join(f"samples.{name} AS {each}" for name, each in _FACETS.items())},
                   first_row, in_several, experiment_row
            FROM found JOIN samples ON samples.rowid = sample_row
            JOIN search_sample_rows USING (sample_row) WHERE {_CHOSEN}
        ), counted AS (
            SELECT CASE {_WHICH_FACET} END AS facet,
                   coalesce({", ".join(_FACETS.values())}) AS value,
                   count(*) FILTER (NOT in_several)
                       + count(DISTINCT first_row) FILTER (in_several) AS num_samples,
                   count(DISTINCT experiment_row) AS num_experiments
            FROM chosen
            GROUP BY GROUPING SETS ({", ".join(f"({each})" for each in _FACETS.values())})
        )
        FROM counted WHERE value IS NOT NULL
        """,  # noqa: S608
    ),
)
_FACETS_OF_ALL: Final = """
    CREATE TABLE search_facets AS FROM search_counts('') ORDER BY facet, num_samples DESC, value
"""
_FACETS_MACRO: Final = Macro(
    "facets",
    f"words, {_PARAMETERS}",
    "What a search finds, counted: facet, value, samples and experiments, each once: "
    "facets('medulloblastoma', technology := 'RNA-SEQ').",
    f"""
    FROM search_facets WHERE {_NO_WORDS} AND {_NO_FILTER}
    UNION ALL
    FROM search_counts(words, {_PASSED_ON}) WHERE NOT ({_NO_WORDS} AND {_NO_FILTER})
    ORDER BY facet, num_samples DESC, value
    """,
)

SEARCH_MACROS: Final = (*_WORD_MACROS, *_SEARCH_MACROS, _FACETS_MACRO)
