"""What every route uses: the folders, the catalogue, the store, Dagster's runs, the settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from refinebio_assets.api.catalogue import Catalogue, Reader
from refinebio_assets.api.requests_store import RequestsStore
from refinebio_assets.api.runs import Runs
from refinebio_assets.resources.storage import Storage

TOKEN_HEADER: Final = "API-KEY"  # noqa: S105  # a header's name


@dataclass(frozen=True)
class Settings:
    """How a server behaves.

    Attributes
    ----------
    requests_per_second
        Of one client; None for any number.
    public_url
        Under which clients reach the server; by default, the one they used.
    allowed_origins
        Web pages of these origins may read the answers.
    """

    requests_per_second: float | None = 10
    public_url: str | None = None
    allowed_origins: tuple[str, ...] = ()
    largest_body: int = 64 << 20


@dataclass(frozen=True)
class Service:
    """The parts of a running server."""

    storage: Storage
    catalogue: Catalogue
    store: RequestsStore
    runs: Runs
    settings: Settings
    signing_key: bytes

    def base(self, request: Request) -> str:
        """The address that others begin with, without a slash at its end."""
        return (self.settings.public_url or str(request.base_url)).rstrip("/")


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service)]


def _reader(service: ServiceOf) -> Iterator[Reader]:
    with service.catalogue.reader() as reader:
        yield reader


ReaderOf = Annotated[Reader, Depends(_reader)]


def has_token(request: Request, service: Service, named: str | None = None) -> bool:
    """Whether a request has an activated token, in its header or by name."""
    name = request.headers.get(TOKEN_HEADER) or named
    token = service.store.token(name) if name else None
    return token is not None and token.is_activated


def _with_token(request: Request, service: ServiceOf) -> bool:
    return has_token(request, service)


WithToken = Annotated[bool, Depends(_with_token)]
