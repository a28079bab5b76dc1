"""What a matrix says of its samples beside their values: a row for each, for AnnData."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from refinebio_assets.publish.records import SampleRecord
from refinebio_assets.tables import HARMONISED_FIELDS


def sample_frame(samples: Iterable[tuple[str, SampleRecord]]) -> pl.DataFrame:
    """Experiments and records as columns: sample, experiment, title, …, the harmonised fields."""
    rows = [
        {
            "sample": record.accession,
            "experiment": experiment,
            "title": record.title,
            "organism": record.organism,
            "technology": record.technology,
            "platform": record.platform,
            **{one.name: record.harmonised.get(one.name) for one in HARMONISED_FIELDS},
        }
        for experiment, record in samples
    ]
    schema = {one.name: pl.Float64 for one in HARMONISED_FIELDS if one.type == "DOUBLE"}
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
