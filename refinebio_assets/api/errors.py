"""What clients are told when something is wrong: the bodies of v1's error answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from refinebio_assets import __version__
from refinebio_assets.errors import NoCatalogue, RefinebioError

DOCUMENTATION: Final = "/v1/"
REVISION_HEADER: Final = "X-Source-Revision"
_log = logging.getLogger(__name__)


class Refused(RefinebioError):
    """A request that cannot be answered, by the client's fault (400).

    `kind` is the answer's error_type; `details` names what is wrong.
    """

    code: ClassVar[str] = "refused"

    def __init__(self, kind: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error_type": self.kind, "message": self.message, "details": self.details}


def refused_together(errors: Sequence[Refused]) -> Refused:
    """One error for several."""
    if len(errors) == 1:
        return errors[0]
    told = [each.body() for each in errors]
    return Refused("multiple_errors", "Multiple errors have occurred.", told)


class NotThere(RefinebioError):
    """What was asked for is not there (404)."""

    code: ClassVar[str] = "not_there"


class ErrorBody(BaseModel):
    """A request that is refused."""

    error_type: str
    message: str
    details: Any


class StatusBody(BaseModel):
    """Any other answer that is no success."""

    message: str
    status_code: int
    docs: str | None = None


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorBody, "description": "The request is refused."},
    404: {"model": StatusBody, "description": "There is no such thing."},
    405: {"model": StatusBody, "description": "Not with this method."},
    413: {"model": StatusBody, "description": "The request is too large."},
    429: {"model": StatusBody, "description": "Too many requests a second."},
    500: {"model": StatusBody, "description": "A fault of the server."},
    503: {"model": StatusBody, "description": "The catalogue has not been built."},
}


def status_answer(
    status: int, message: str, *, docs: str | None = None, headers: Any = None
) -> JSONResponse:
    """An answer that is no success."""
    body = StatusBody(message=message, status_code=status, docs=docs)
    return JSONResponse(body.model_dump(exclude_none=True), status, headers)


def not_found(path: str) -> JSONResponse:
    """The answer for what is not there."""
    if path == "/v1" or path.startswith("/v1/"):
        return status_answer(404, "There is nothing of this name in v1.", docs=DOCUMENTATION)
    message = "There is nothing here; the API's addresses begin with /v1/."
    return status_answer(404, message, docs=DOCUMENTATION)


def tell_errors(app: FastAPI) -> None:
    """Answer errors as v1 does."""

    @app.exception_handler(Refused)
    def refuse(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.body(), 400)

    @app.exception_handler(NotThere)
    def not_there(request: Request, _: NotThere) -> JSONResponse:
        return not_found(request.url.path)

    @app.exception_handler(NoCatalogue)
    def no_catalogue(_: Request, error: NoCatalogue) -> JSONResponse:
        return status_answer(503, "The catalogue has not been built yet.")

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return not_found(request.url.path)
        phrase = HTTPStatus(error.status_code).phrase
        return status_answer(error.status_code, f"{phrase}.", headers=error.headers)

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        # Sent from outside of what adds this header to all other answers.
        headers = {REVISION_HEADER: __version__}
        told = "The server has failed to answer; its log says why."
        return status_answer(500, told, headers=headers)
