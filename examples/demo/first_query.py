"""Print the first query over the demo's data, its answer, and where to go from there."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

FIRST_QUERY = """
SELECT gene, any_value(symbol) AS symbol, round(value) AS length_scaled_tpm, round(tpm, 1) AS tpm
FROM expression
JOIN gene_counts USING (experiment, sample, gene)
JOIN genes USING (gene)
WHERE sample = 'ERR127302'
GROUP BY ALL ORDER BY length_scaled_tpm DESC LIMIT 5
"""

ARRAYS_QUERY = """
SELECT gene, round(avg(value) FILTER (treatment = 'control'), 2) AS control,
       round(avg(value) FILTER (treatment = 'treated'), 2) AS treated
FROM expression JOIN samples USING (experiment, sample)
WHERE experiment = 'SIMULATED-ARRAYS'
GROUP BY gene ORDER BY abs(treated - control) DESC LIMIT 5
"""


def main() -> None:
    """Ask, and show question and answer."""
    home = Path(os.environ.get("REFINEBIO_HOME", "refinebio_home"))
    with duckdb.connect(home / "refinebio.duckdb", read_only=True) as database:
        print("\nThe samples:")
        print(
            database.sql(
                "SELECT experiment, sample, status, num_processed AS fragments, "
                "round(percent_mapped, 1) AS percent_mapped, chip_type, method "
                "FROM sample_status LEFT JOIN quantifications USING (experiment, sample) "
                "LEFT JOIN arrays USING (experiment, sample) ORDER BY ALL"
            )
        )
        print("\nThe first query, over real reads (", home / "refinebio.duckdb", "):", sep="")
        print(FIRST_QUERY)
        print(database.sql(FIRST_QUERY))
        print("Over the simulated arrays (SCAN, log2 scale):")
        print(ARRAYS_QUERY)
        print(database.sql(ARRAYS_QUERY))
    print("More questions: docs/querying.md.  The Dagster UI: make dev, then http://localhost:3000")


if __name__ == "__main__":
    main()
