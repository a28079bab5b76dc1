"""Organisms of a genus come together where they were measured on the same arrays."""

from __future__ import annotations

import duckdb
import pytest

from refinebio_assets.resources.compendium_selection import genus_group

ARRAYS = [
    ("BOS_TAURUS", "bovine", "SCANfast"),
    ("BOS_INDICUS", "bovine", "SCANfast"),
    ("BOS_GRUNNIENS", "bovine", "submitter-processed"),
    ("BOS_FRONTALIS", "othercow", "SCANfast"),
    ("BOSELAPHUS_TRAGOCAMELUS", "bovine", "SCANfast"),
    ("OVIS_ARIES", "bovine", "SCANfast"),
]


@pytest.mark.parametrize(
    ("primary", "others"),
    [
        ("BOS_TAURUS", ["BOS_INDICUS"]),
        ("BOS_INDICUS", ["BOS_TAURUS"]),
        ("BOS_FRONTALIS", []),
        ("BOS_GRUNNIENS", []),  # has nothing processed from raw data
        ("DANIO_RERIO", []),
    ],
)
def test_a_genus_is_joined_by_its_platforms(primary: str, others: list[str]) -> None:
    with duckdb.connect() as database:
        database.execute("CREATE TABLE arrays (organism VARCHAR, platform VARCHAR, method VARCHAR)")
        database.executemany("INSERT INTO arrays VALUES (?, ?, ?)", ARRAYS)
        assert genus_group(primary, database) == [primary, *others]
