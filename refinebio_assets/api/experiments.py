"""`/v1/experiments/`: experiments, and each with its samples."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

from refinebio_assets.api import models
from refinebio_assets.api.catalogue import Reader, Row
from refinebio_assets.api.described import document
from refinebio_assets.api.errors import NotThere
from refinebio_assets.api.filters import Filter, Parameters, read_query
from refinebio_assets.api.lists import answer
from refinebio_assets.api.pages import PageOf
from refinebio_assets.api.service import ReaderOf

PARAMETERS: Final = Parameters(
    filters=(
        Filter("title"),
        Filter("description"),
        Filter("accession_code"),
        Filter("alternate_accession_code"),
        Filter("source_database"),
        Filter("source_url"),
        Filter("has_publication", "boolean"),
        Filter("publication_title"),
        Filter("publication_doi"),
        Filter("pubmed_id"),
        Filter("organisms", sql="list_contains(organism_names, ?)"),
        Filter("submitter_institution"),
        Filter("created_at", "time"),
        Filter("last_modified", "time"),
        Filter("source_first_published", "time"),
        Filter("source_last_modified", "time"),
    ),
    default_ordering="accession_code",
)
PROCESSED: Final = """
SELECT experiment, list(accession_code ORDER BY accession_code) AS samples
FROM memory.api.members WHERE is_processed AND experiment IN ($among) GROUP BY experiment
"""
ONE: Final = "SELECT * FROM memory.api.experiments WHERE accession_code = ?"
SAMPLES: Final = """
SELECT * EXCLUDE (experiment) FROM memory.api.members WHERE experiment = ? ORDER BY accession_code
"""

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])


@router.get("/", openapi_extra=PARAMETERS.openapi())
def list_experiments(request: Request, reader: ReaderOf) -> PageOf[models.ExperimentInList]:
    """Experiments, by exact values."""
    query = read_query(request, PARAMETERS)
    found = answer(request, reader, "experiments", query, lambda rows: _in_list(reader, rows))
    return PageOf[models.ExperimentInList].model_validate(found)


@router.get("/{accession_code}/")
def get_experiment(accession_code: str, reader: ReaderOf) -> models.Experiment:
    """An experiment with its samples."""
    found = reader.rows(ONE, accession_code)
    if not found:
        raise NotThere("There is no such experiment.")
    row = found[0]
    told: dict[str, Any] = {
        **{name: row[name] for name in models.Experiment.model_fields if name in row},
        "annotations": [],
        "samples": reader.rows(SAMPLES, accession_code),
        "protocol_description": document(row["protocol_description"]),
        "sample_metadata": row["sample_metadata_fields"],
    }
    return models.Experiment.model_validate(told)


def _in_list(reader: Reader, rows: list[Row]) -> list[dict[str, Any]]:
    accessions = [row["accession_code"] for row in rows]
    processed = {
        each["experiment"]: each["samples"] for each in reader.rows_among(PROCESSED, accessions)
    }
    return [
        {
            **{name: row[name] for name in models.ExperimentInList.model_fields if name in row},
            "platforms": row["platform_names"],
            "processed_samples": processed.get(row["accession_code"], []),
            "sample_metadata": row["sample_metadata_fields"],
        }
        for row in rows
    ]
