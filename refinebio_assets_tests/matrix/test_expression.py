"""Expression files: what is written is read back, sorted, with its provenance."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.matrix.expression import (
    VECTOR,
    row_group_rows,
    samples_of,
    write_gene_counts,
)
from refinebio_assets.rnaseq.tximport import GeneQuantification


def _quantified(genes: list[str], samples: list[str], seed: int) -> GeneQuantification:
    random = np.random.default_rng(seed)
    arrays = [random.uniform(1, 1000, (len(genes), len(samples))) for _ in range(3)]
    return GeneQuantification(genes, samples, *arrays, unmapped_transcripts=0)


def test_groups_are_put_side_by_side_and_sorted(tmp_path: Path) -> None:
    path = tmp_path / "it's [one].parquet"
    short = _quantified(["g1", "g2", "g3"], ["s2", "s1"], 1)
    long = _quantified(["g1", "g3"], ["s3"], 2)
    write_gene_counts(path, [short, long], {"experiment": "it's"})
    assert samples_of(path) == {"s1", "s2", "s3"}
    escaped = str(path).replace("[", "[[]")
    with duckdb.connect() as database:
        rows = database.execute("SELECT * FROM read_parquet(?)", [escaped]).fetchall()
        kept = database.execute(
            "SELECT decode(key), decode(value) FROM parquet_kv_metadata(?)", [escaped]
        ).fetchall()
    assert [row[:2] for row in rows] == sorted(row[:2] for row in rows)
    assert len(rows) == 8
    found = {row[:2]: row[2:] for row in rows}
    value, counts, length, tpm = found["g3", "s1"]
    np.testing.assert_allclose(
        [value, counts, length, tpm],
        [
            short.length_scaled_tpm()[2, 1],
            short.counts[2, 1],
            short.length[2, 1],
            short.abundance[2, 1],
        ],
        rtol=1e-6,
    )
    assert ("experiment", "it's") in kept


@given(st.integers(1, 10**9))
def test_row_groups_are_whole_vectors(rows: int) -> None:
    found = row_group_rows(rows)
    assert found % VECTOR == 0
    assert found >= VECTOR
