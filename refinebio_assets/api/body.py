"""Bodies of requests: read whole, up to a size, whatever type they say they are of."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from refinebio_assets.api.errors import Refused


async def body_of(request: Request) -> bytes:
    """The body of a request; 413 where it is too large."""
    largest = request.app.state.service.settings.largest_body
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > largest:
            raise HTTPException(413)
    return bytes(content)


def object_in(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is; an empty one where there is no body.

    Raises
    ------
    Refused
        It is none.
    """
    try:
        content = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Refused("bad_request", "The body is not JSON.") from None
    if not isinstance(content, dict):
        raise Refused("bad_request", "The body is no JSON object.")
    return content


def json_body(schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    """How the OpenAPI document tells of a body; for `openapi_extra`."""
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": required, "content": content}}
