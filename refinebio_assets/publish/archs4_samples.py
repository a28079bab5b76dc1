"""What ARCHS4's files say of a sample, made from a dataset's record of it.

GEO's own keys are kept as they were submitted, joined by a comma where there are several.
For samples of other sources the nearest thing that is known stands in the field that
archs4py searches; harmonised fields are added under `refinebio_` and their name. Names and
addresses of people are left out. Not here: the file (`archs4.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from refinebio_assets.publish.archs4 import NEEDED, PROBABILITY
from refinebio_assets.publish.records import SampleRecord
from refinebio_assets.tables import HARMONISED_FIELDS

# Fields of ARCHS4 and, after GEO's own key, those of other sources that say the same.
_AS_SUBMITTED: Final[dict[str, tuple[str, ...]]] = {
    "source_name_ch1": ("source_name_ch1", "Source Name", "isolation_source", "tissue_type"),
    "extract_protocol_ch1": (
        "extract_protocol_ch1",
        "library_construction_protocol",
        "extraction_protocol",
        "experimental_protocol",
    ),
    "data_processing": ("data_processing",),
    "description": ("description", "sample_description"),
    "instrument_model": ("instrument_model", "Comment[INSTRUMENT_MODEL]"),
    "library_selection": ("library_selection", "Comment[LIBRARY_SELECTION]"),
    "library_source": ("library_source", "Comment[LIBRARY_SOURCE]"),
    "library_strategy": ("library_strategy", "Comment[LIBRARY_STRATEGY]"),
    "molecule_ch1": ("molecule_ch1", "Material Type"),
    "platform_id": ("platform_id",),
    "relation": ("relation",),
    "status": ("status",),
    "submission_date": ("submission_date", "first_public"),
    "last_update_date": ("last_update_date", "last_updated"),
    "sample_alias": ("geo_accession", "sample_alias"),
    "type": ("type",),
}
_HARMONISED: Final = {f"refinebio_{each.name}": each.name for each in HARMONISED_FIELDS}
_NO_CHARACTERISTICS: Final = {key for keys in _AS_SUBMITTED.values() for key in keys}

SAMPLE_FIELDS: Final[dict[str, Any]] = {
    **dict.fromkeys(NEEDED, pl.String),
    "organism_ch1": pl.String,
    **dict.fromkeys(_AS_SUBMITTED, pl.String),
    **dict.fromkeys(_HARMONISED, pl.String),
    "readstotal": pl.Int64,
    "alignedreads": pl.Int64,
    PROBABILITY: pl.Float64,
}


def sample_fields(
    record: SampleRecord,
    series: str,
    quantification: Mapping[str, Any],
    single_cell_probability: float,
) -> dict[str, str | int | float]:
    """A row of `meta/samples` (a frame of them has the schema SAMPLE_FIELDS).

    Parameters
    ----------
    series
        One experiment of the sample.
    quantification
        Its row of `quantifications`.
    """
    submitted = {key: value for each in record.annotations for key, value in each.items()}
    fields = {
        field: next((text for key in keys if (text := _joined(submitted.get(key)))), "")
        for field, keys in _AS_SUBMITTED.items()
    }
    harmonised = {
        field: _joined(record.harmonised.get(name)) for field, name in _HARMONISED.items()
    }
    fields["source_name_ch1"] = (
        fields["source_name_ch1"]
        or harmonised["refinebio_specimen_part"]
        or harmonised["refinebio_cell_line"]
    )
    fields["instrument_model"] = fields["instrument_model"] or record.platform
    return {
        **fields,
        **harmonised,
        "geo_accession": record.accession,
        "series_id": series,
        "title": record.title,
        "characteristics_ch1": _characteristics(submitted),
        "organism_ch1": record.organism.replace("_", " ").capitalize(),
        "readstotal": quantification["num_processed"],
        "alignedreads": quantification["num_mapped"],
        PROBABILITY: single_cell_probability,
    }


def _characteristics(submitted: Mapping[str, Any]) -> str:
    """'tissue: liver,age: 5', as GEO has them; else what SDRF calls so; else every key."""
    if "characteristics_ch1" in submitted:
        return _joined(submitted["characteristics_ch1"])
    if "characteristic" in submitted or "variable" in submitted:
        pairs = [
            (each.get("category") or each.get("name"), each["value"])
            for key in ("characteristic", "variable")
            for each in submitted.get(key, ())
        ]
    else:
        pairs = [(key, value) for key, value in submitted.items() if key not in _NO_CHARACTERISTICS]
    return ",".join(f"{key}: {_joined(value)}" for key, value in pairs)


def _joined(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
