"""`/v1/transcriptome_indices/` and `/v1/qn_targets/`: what values are made with."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

from refinebio_assets.api import described, models
from refinebio_assets.api.downloads import free_address
from refinebio_assets.api.errors import NotThere
from refinebio_assets.api.filters import Filter, Parameters, read_query
from refinebio_assets.api.lists import answer, row_numbered, rows_numbered
from refinebio_assets.api.pages import PageOf
from refinebio_assets.api.service import ReaderOf, ServiceOf

_OF_ORGANISM: Final = "organism_name = replace(upper(?), ' ', '_')"
INDICES: Final = Parameters(
    filters=(
        Filter("organism__name", sql=_OF_ORGANISM),
        Filter("organism_name", sql=_OF_ORGANISM),
        Filter("length", sql="index_type = 'TRANSCRIPTOME_' || upper(?)"),
        Filter("index_type", sql="index_type = upper(?)"),
        Filter("salmon_version"),
        Filter("result_id", "integer"),
    ),
    orderings=("created_at", "salmon_version"),
    default_ordering="-created_at,id",
)
TARGETS: Final = """
SELECT t.organism AS name, o.taxonomy_id
FROM catalogue.main.qn_targets AS t LEFT JOIN catalogue.main.organisms AS o USING (organism)
WHERE t.is_current ORDER BY name
"""
TARGET: Final = """
SELECT f.* FROM catalogue.main.qn_targets AS t
JOIN memory.api.computed_files AS f
    ON f.experiment IS NULL AND f.key = 'qn_target ' || t.organism || '/' || t.version
WHERE t.is_current AND t.organism = replace(upper(?), ' ', '_')
"""

router = APIRouter(prefix="/v1", tags=["indices and targets"])


@router.get("/transcriptome_indices/", openapi_extra=INDICES.openapi())
def list_indices(request: Request, service: ServiceOf, reader: ReaderOf) -> PageOf[models.Index]:
    """Salmon indices, the newest first."""

    def address(number: int) -> str:
        return free_address(service, request, "index", number)

    query = read_query(request, INDICES)
    found = answer(
        request,
        reader,
        "indices",
        query,
        lambda rows: [described.index(row, address) for row in rows],
    )
    return PageOf[models.Index].model_validate(found)


@router.get("/transcriptome_indices/{number}/")
def get_index(request: Request, number: str, service: ServiceOf, reader: ReaderOf) -> models.Index:
    """A Salmon index."""
    row = row_numbered(reader, "indices", number)
    if row is None:
        raise NotThere("There is no such index.")
    told = described.index(row, lambda name: free_address(service, request, "index", name))
    return models.Index.model_validate(told)


@router.get("/qn_targets/")
def list_targets(reader: ReaderOf) -> list[models.OrganismName]:
    """Organisms that have a quantile-normalisation target."""
    return [models.OrganismName.model_validate(row) for row in reader.rows(TARGETS)]


@router.get("/qn_targets/{organism}/")
def get_target(
    request: Request, organism: str, service: ServiceOf, reader: ReaderOf
) -> models.Target:
    """The newest target of an organism, in any spelling of its name."""
    found = reader.rows(TARGET, organism)
    if not found:
        raise NotThere("The organism has no target.")
    row = found[0]
    of_result = rows_numbered(reader, "results", [row["result_id"]])
    results = described.results(
        reader, of_result, lambda name: free_address(service, request, "index", name)
    )
    brief = described.file(row, service.storage)
    told: dict[str, Any] = {
        **{name: brief[name] for name in models.Target.model_fields if name in brief},
        "is_qn_target": True,
        "s3_url": free_address(service, request, "qn_target", row["id"]),
        "result": results.get(row["result_id"]),
    }
    return models.Target.model_validate(told)
