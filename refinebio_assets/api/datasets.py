"""`/v1/dataset/`: clients put datasets together, start them, and wait for the zip.

To start one is to ask for it as `refinebio dataset create --queue` does: its request is left
under datasets/, where Dagster's sensor `dataset_requests` finds it. What became of it is what
its record says, or Dagster where a run ended without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request

from refinebio_assets import __version__
from refinebio_assets.api import models
from refinebio_assets.api.body import body_of, json_body, object_in
from refinebio_assets.api.catalogue import Reader
from refinebio_assets.api.dataset_wishes import (
    BODY,
    read_email,
    read_wish,
    recipe_of,
)
from refinebio_assets.api.downloads import signed_address
from refinebio_assets.api.errors import NotThere, Refused
from refinebio_assets.api.requests_store import DatasetWish
from refinebio_assets.api.service import ReaderOf, Service, ServiceOf, WithToken, has_token
from refinebio_assets.errors import RefinebioError
from refinebio_assets.resources.dataset_selection import select
from refinebio_assets.resources.datasets import record_of, register_request, zip_path

Body = Annotated[bytes, Depends(body_of)]

GAVE_UP: Final = "The run that made it ended before it was done; Dagster's log says more."
EXPERIMENTS: Final = """
SELECT title, accession_code, organism_names, sample_metadata_fields AS sample_metadata, technology
FROM memory.api.experiments WHERE accession_code IN (SELECT unnest(?::VARCHAR[]))
ORDER BY accession_code
"""
ORGANISMS: Final = """
SELECT organism_name, list(accession_code ORDER BY accession_code) AS samples
FROM memory.api.samples WHERE accession_code IN (SELECT unnest(?::VARCHAR[]))
GROUP BY organism_name ORDER BY organism_name
"""

router = APIRouter(prefix="/v1/dataset", tags=["datasets"])


@dataclass(frozen=True)
class Progress:
    """What became of a dataset; `success` is None until that is known."""

    is_processing: bool = False
    success: bool | None = None
    failure_reason: str | None = None
    size: int | None = None
    sha1: str | None = None
    version: str | None = None


@router.post(
    "/",
    status_code=201,
    openapi_extra=json_body(BODY, required=True),
    response_model_exclude_unset=True,
)
def new_dataset(
    request: Request, service: ServiceOf, reader: ReaderOf, with_token: WithToken, body: Body
) -> models.Dataset:
    """A new dataset; with `start`, it is made at once."""
    content = object_in(body)
    wish = read_wish(content, DatasetWish("", {}), reader)
    if _wants_start(content):
        wish = _started(wish, content, request, service, reader)
    kept = service.store.new_dataset(wish)
    return _told(kept, request, service, with_token, reader)


@router.get("/{dataset_id}/", response_model_exclude_unset=True)
def get_dataset(
    request: Request, dataset_id: str, service: ServiceOf, reader: ReaderOf, with_token: WithToken
) -> models.Dataset:
    """A dataset; with the parameter `details`, also its experiments and organisms."""
    return _told(_kept(service, dataset_id), request, service, with_token, reader)


@router.put(
    "/{dataset_id}/",
    openapi_extra=json_body(BODY, required=True),
    response_model_exclude_unset=True,
)
def change_dataset(
    request: Request,
    dataset_id: str,
    service: ServiceOf,
    reader: ReaderOf,
    with_token: WithToken,
    body: Body,
) -> models.Dataset:
    """Change a dataset that is not made yet; with `start`, it is made.

    While it is being made, only the address of who waits for it can be changed.
    """
    before = _kept(service, dataset_id)
    content = object_in(body)
    progress = progress_of(service, before)
    if progress.success:
        raise Refused("bad_request", "A dataset that is made cannot be changed.")
    if progress.is_processing:
        address = read_email(content)
        if address is None:
            raise Refused("invalid_email", "While it is being made, only an address can change.")
        wish = replace(before, email_address=address)
    else:
        wish = replace(read_wish(content, before, reader), made_as=None)
        if _wants_start(content):
            wish = _started(wish, content, request, service, reader)
    kept = service.store.change_dataset(wish)
    if kept is None:
        raise Refused("bad_request", "Another request has changed the dataset meanwhile.")
    return _told(kept, request, service, with_token, reader)


def progress_of(service: Service, wish: DatasetWish) -> Progress:
    """What became of a dataset."""
    if wish.made_as is None:
        return Progress()
    record = record_of(service.storage, wish.made_as)
    if record is None:
        if service.runs.gave_up(wish.made_as):
            return Progress(success=False, failure_reason=GAVE_UP)
        return Progress(is_processing=True)
    version = record.get("code_version")
    if record["status"] != "made":
        return Progress(success=False, failure_reason=record.get("reason"), version=version)
    return Progress(
        success=True, size=record.get("num_bytes"), sha1=record.get("sha1"), version=version
    )


def _kept(service: Service, dataset: str) -> DatasetWish:
    found = service.store.dataset(dataset)
    if found is None:
        raise NotThere("There is no such dataset.")
    return found


def _wants_start(content: Mapping[str, Any]) -> bool:
    return bool(content.get("start")) and not content.get("no_send_job")


def _started(
    wish: DatasetWish,
    content: Mapping[str, Any],
    request: Request,
    service: Service,
    reader: Reader,
) -> DatasetWish:
    """The dataset, asked for from Dagster.

    Raises
    ------
    Refused
        There is no token or address, or it cannot be made of the data that are there.
    """
    named = content.get("token_id")
    if not has_token(request, service, named):
        raise Refused("invalid_token", "You must provide an active API token.")
    if read_email(content) is None:
        raise Refused("invalid_email", "You must provide an email address.")
    try:
        selection = select(recipe_of(wish), reader.cursor, service.storage)
    except RefinebioError as error:
        raise Refused("invalid_data", str(error), error.code) from error
    made_as = register_request(service.storage, selection)
    client = request.client.host if request.client else ""
    forwarded = request.headers.get("X-Forwarded-For", "").partition(",")[0].strip()
    return replace(
        wish,
        made_as=made_as,
        started_with={
            "start": datetime.now(UTC).isoformat(),
            "ip": (forwarded or client)[:100],
            "user_agent": request.headers.get("User-Agent", "")[:500],
        },
    )


def _told(
    wish: DatasetWish, request: Request, service: Service, with_token: bool, reader: Reader
) -> models.Dataset:
    progress = progress_of(service, wish)
    made = bool(progress.success)
    there = made and wish.made_as is not None and zip_path(service.storage, wish.made_as).exists()
    told: dict[str, Any] = {
        "id": wish.id,
        "data": wish.data,
        "aggregate_by": wish.aggregate_by,
        "scale_by": wish.scale_by,
        "is_processing": progress.is_processing,
        "is_processed": made,
        "is_available": there,
        "has_email": bool(wish.email_address),
        "expires_on": None,
        "s3_bucket": None,
        "s3_key": f"{wish.id}.zip" if made else None,
        "success": progress.success,
        "failure_reason": progress.failure_reason,
        "created_at": wish.created_at,
        "last_modified": wish.last_modified,
        "start": False,
        "size_in_bytes": progress.size,
        "sha1": progress.sha1,
        "quantile_normalize": wish.quantile_normalize,
        "quant_sf_only": wish.quant_sf_only,
        "svd_algorithm": wish.svd_algorithm,
    }
    if with_token:
        address = signed_address(service, request, "dataset", wish.id)
        told["download_url"] = address if there else None
    if "details" in request.query_params:
        told |= _details(wish, reader)
        told["worker_version"] = progress.version or __version__
    return models.Dataset.model_validate(told)


def _details(wish: DatasetWish, reader: Reader) -> dict[str, Any]:
    names = sorted({name for samples in wish.data.values() for name in samples})
    organisms = reader.rows(ORGANISMS, names)
    return {
        "experiments": reader.rows(EXPERIMENTS, list(wish.data)),
        "organism_samples": {each["organism_name"]: each["samples"] for each in organisms},
    }
