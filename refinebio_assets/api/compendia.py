"""`/v1/compendia/`: the releases of compendia."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

from refinebio_assets.api import models
from refinebio_assets.api.catalogue import Row
from refinebio_assets.api.described import file
from refinebio_assets.api.downloads import confined, signed_address
from refinebio_assets.api.errors import NotThere
from refinebio_assets.api.filters import Filter, Parameters, Query, read_query
from refinebio_assets.api.lists import answer, row_numbered
from refinebio_assets.api.pages import PageOf
from refinebio_assets.api.service import ReaderOf, Service, ServiceOf, WithToken
from refinebio_assets.resources.compendia import RECORD
from refinebio_assets.resources.storage import read_json

PARAMETERS: Final = Parameters(
    filters=(
        Filter("primary_organism__name"),
        Filter("compendium_version", "integer"),
        Filter("quant_sf_only", "boolean"),
        Filter("result__id", "integer"),
    ),
    orderings=("primary_organism__name", "compendium_version", "id"),
    default_ordering="primary_organism__name,quant_sf_only,-compendium_version,id",
    others=("latest_version",),
)

router = APIRouter(prefix="/v1/compendia", tags=["compendia"])


@router.get("/", openapi_extra=PARAMETERS.openapi(), response_model_exclude_unset=True)
def list_compendia(
    request: Request, service: ServiceOf, reader: ReaderOf, with_token: WithToken
) -> PageOf[models.Compendium]:
    """Releases of compendia; `latest_version` leaves the newest of each organism and kind."""
    query = read_query(request, PARAMETERS)
    if "latest_version" in query.others:
        query = Query(query.conditions.and_also("is_current"), query.order)
    found = answer(
        request,
        reader,
        "compendia",
        query,
        lambda rows: [_told(row, request, service, with_token) for row in rows],
    )
    return PageOf[models.Compendium].model_validate(found)


@router.get("/{number}/", response_model_exclude_unset=True)
def get_compendium(
    request: Request, number: str, service: ServiceOf, reader: ReaderOf, with_token: WithToken
) -> models.Compendium:
    """A release of a compendium."""
    row = row_numbered(reader, "compendia", number)
    if row is None:
        raise NotThere("There is no such compendium.")
    return models.Compendium.model_validate(_told(row, request, service, with_token))


def _told(row: Row, request: Request, service: Service, with_token: bool) -> dict[str, Any]:
    brief = file({**row, "id": row["file_id"]}, service.storage, row["num_bytes"])
    brief["sha1"] = _sha1(row, service)
    if with_token:
        brief["download_url"] = signed_address(service, request, "compendium", row["file_id"])
    return {
        "id": row["id"],
        "primary_organism_name": row["primary_organism__name"],
        "organism_names": row["organisms"] or [],
        "svd_algorithm": row["svd_algorithm"],
        "quant_sf_only": row["quant_sf_only"],
        "compendium_version": row["compendium_version"],
        "computed_file": brief,
    }


def _sha1(row: Row, service: Service) -> str | None:
    """As the release's own record says; the catalogue has the SHA-256 only."""
    folder = confined(service.storage, row["path"] or "").parent
    record = read_json(folder / RECORD) if row["path"] else None
    return (record or {}).get("sha1")
