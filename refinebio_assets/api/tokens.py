"""`/v1/token/`: tokens, by which clients accept the terms."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends

from refinebio_assets.api import models
from refinebio_assets.api.body import body_of, json_body, object_in
from refinebio_assets.api.errors import NotThere, Refused
from refinebio_assets.api.requests_store import AccessToken
from refinebio_assets.api.service import ServiceOf

TERMS: Final = (
    "The data are those of public archives and of this installation; the terms of their sources "
    "hold. Whoever activates a token accepts them, and will not try to identify donors."
)
_BODY: Final = {
    "type": "object",
    "properties": {"is_activated": {"type": "boolean"}},
}

router = APIRouter(prefix="/v1/token", tags=["tokens"])


@router.post("/", status_code=201, openapi_extra=json_body(_BODY))
def new_token(service: ServiceOf, body: Annotated[bytes, Depends(body_of)]) -> models.Token:
    """A new token; with `is_activated` true, an activated one."""
    activated = _is_activated(object_in(body), default=False)
    return _told(service.store.new_token(activated=activated))


@router.get("/{token_id}/")
def get_token(token_id: str, service: ServiceOf) -> models.Token:
    """A token."""
    found = service.store.token(token_id)
    if found is None:
        raise NotThere("There is no such token.")
    return _told(found)


@router.put("/{token_id}/", openapi_extra=json_body(_BODY))
def change_token(
    token_id: str, service: ServiceOf, body: Annotated[bytes, Depends(body_of)]
) -> models.Token:
    """Accept the terms: activate a token."""
    found = service.store.token(token_id)
    if found is None:
        raise NotThere("There is no such token.")
    activated = _is_activated(object_in(body), default=found.is_activated)
    service.store.set_activated(token_id, activated)
    return _told(AccessToken(token_id, activated))


def _is_activated(body: dict[str, Any], *, default: bool) -> bool:
    value = body.get("is_activated", default)
    if not isinstance(value, bool):
        raise Refused("invalid", "Must be a valid boolean.", "is_activated")
    return value


def _told(token: AccessToken) -> models.Token:
    return models.Token(id=token.id, is_activated=token.is_activated, terms_and_conditions=TERMS)
