"""What the catalogue knows of samples that decides whether they may be in a compendium.

Not here: the rules (`refinebio_assets.compendium.exclusion`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from refinebio_assets.compendium.exclusion import Key, SampleFacts

# Everything of the organisms that has been quantified or measured on an array. There may be
# a million samples: texts come only where they have a word that makes one look. The first
# `status` is the record's own; a later one is what the submitter says of a patient. SRA has
# INSDC's numbers, too. Of two unlike arrays none can say which is the odd one.
_FACTS = """
WITH wanted AS (
    SELECT experiment, sample FROM quantifications
    WHERE organism IN (SELECT unnest($organisms))
    UNION
    SELECT experiment, sample FROM arrays WHERE organism IN (SELECT unnest($organisms))
), told AS (
    SELECT experiment, sample, arg_min(value, position) AS status
    FROM sample_attributes SEMI JOIN wanted USING (experiment, sample)
    WHERE lower(key) = 'status' GROUP BY ALL
), compared AS (
    SELECT experiment, sample, percent_saturated,
           CASE WHEN count(correlation) OVER (PARTITION BY experiment, organism) >= 3
                THEN correlation END AS correlation
    FROM arrays SEMI JOIN (SELECT DISTINCT experiment FROM wanted) USING (experiment)
)
SELECT w.experiment, w.sample, q.single_cell_probability, q.percent_mapped, q.num_mapped,
       a.correlation, a.percent_saturated,
       CASE WHEN s.source_database = 'SRA'
            THEN CASE trim(t.status)
                 WHEN '3' THEN 'cancelled and removed' WHEN '5' THEN 'suppressed'
                 WHEN '6' THEN 'killed' WHEN '7' THEN 'temporarily suppressed'
                 WHEN '8' THEN 'temporarily killed' ELSE t.status END
            ELSE t.status END AS status,
       list_filter([s.title, e.title, e.description],
                   lambda text: regexp_matches(lower(text), 'withdrawn|retracted|suppressed'))
           AS texts
FROM wanted AS w
LEFT JOIN samples AS s USING (experiment, sample)
LEFT JOIN experiments AS e USING (experiment)
LEFT JOIN told AS t USING (experiment, sample)
LEFT JOIN quantifications AS q USING (experiment, sample)
LEFT JOIN compared AS a USING (experiment, sample)
ORDER BY w.experiment, w.sample
"""


def facts_of(
    database: duckdb.DuckDBPyConnection, organisms: Sequence[str]
) -> dict[Key, SampleFacts]:
    """What is known of every sample of the organisms that has been processed, in one query."""
    from refinebio_assets.compendium.exclusion import SampleFacts

    rows = database.execute(_FACTS, {"organisms": list(organisms)}).fetchall()
    return {
        (experiment, sample): SampleFacts(
            single_cell_probability=single_cell,
            percent_mapped=percent,
            num_mapped=mapped,
            correlation=correlation,
            percent_saturated=saturated,
            status=status,
            texts=tuple(texts or ()),
        )
        for (
            experiment,
            sample,
            single_cell,
            percent,
            mapped,
            correlation,
            saturated,
            status,
            texts,
        ) in rows
    }
