"""`/v1/organisms/`, `/v1/platforms/`, `/v1/institutions/`, `/v1/processors/`."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request

from refinebio_assets.api import models
from refinebio_assets.api.described import processor
from refinebio_assets.api.errors import NotThere
from refinebio_assets.api.filters import Conditions, Filter, Parameters, Query, read_query
from refinebio_assets.api.lists import answer, row_numbered
from refinebio_assets.api.pages import PageOf
from refinebio_assets.api.service import ReaderOf

ORGANISMS: Final = Parameters(
    filters=(Filter("has_compendia", "boolean"), Filter("has_quantfile_compendia", "boolean")),
    default_ordering="name",
)
PROCESSORS: Final = Parameters(default_ordering="name,version,id")
ORGANISM: Final = "SELECT * FROM memory.api.organisms WHERE name = ?"
PLATFORMS: Final = """
SELECT DISTINCT coalesce(platform, '') AS platform_accession_code,
       coalesce(platform_name, '') AS platform_name
FROM catalogue.main.samples ORDER BY ALL
"""
INSTITUTIONS: Final = """
SELECT DISTINCT coalesce(submitter_institution, '') AS submitter_institution
FROM catalogue.main.experiments ORDER BY ALL
"""

router = APIRouter(prefix="/v1", tags=["small lists"])


@router.get("/organisms/", openapi_extra=ORGANISMS.openapi())
def list_organisms(request: Request, reader: ReaderOf) -> PageOf[models.Organism]:
    """Organisms of samples and references."""
    query = read_query(request, ORGANISMS)
    found = answer(request, reader, "organisms", query, lambda rows: rows)
    return PageOf[models.Organism].model_validate(found)


@router.get("/organisms/{name}/")
def get_organism(name: str, reader: ReaderOf) -> models.Organism:
    """An organism, by its name: HOMO_SAPIENS."""
    found = reader.rows(ORGANISM, name)
    if not found:
        raise NotThere("There is no such organism.")
    return models.Organism.model_validate(found[0])


@router.get("/platforms/")
def list_platforms(reader: ReaderOf) -> list[models.Platform]:
    """Platforms of samples."""
    return [models.Platform.model_validate(row) for row in reader.rows(PLATFORMS)]


@router.get("/institutions/")
def list_institutions(reader: ReaderOf) -> list[models.Institution]:
    """Institutions that submitted experiments."""
    return [models.Institution.model_validate(row) for row in reader.rows(INSTITUTIONS)]


@router.get("/processors/", openapi_extra=PROCESSORS.openapi())
def list_processors(request: Request, reader: ReaderOf) -> PageOf[models.Processor]:
    """Programs, with versions, that made values; parameters that are not known are passed over."""
    query = Query(Conditions(), PROCESSORS.default_ordering)
    found = answer(
        request, reader, "processors", query, lambda rows: [processor(row) for row in rows]
    )
    return PageOf[models.Processor].model_validate(found)


@router.get("/processors/{number}/")
def get_processor(number: str, reader: ReaderOf) -> models.Processor:
    """A program in one version."""
    row = row_numbered(reader, "processors", number)
    if row is None:
        raise NotThere("There is no such processor.")
    return models.Processor.model_validate(processor(row))
