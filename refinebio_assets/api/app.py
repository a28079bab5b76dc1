"""API v1, put together: refine.bio's routes over the catalogue, for clients as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refinebio_assets import __version__
from refinebio_assets.api import (
    compendia,
    datasets,
    downloads,
    experiments,
    files,
    indices_and_targets,
    jobs,
    samples,
    search,
    small_lists,
    stats,
    tokens,
)
from refinebio_assets.api.catalogue import Catalogue
from refinebio_assets.api.errors import RESPONSES, REVISION_HEADER, status_answer, tell_errors
from refinebio_assets.api.requests_store import open_store
from refinebio_assets.api.runs import Runs
from refinebio_assets.api.service import Service, Settings
from refinebio_assets.api.throttle import Throttle
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import dagster as dg

SCHEMA: Final = "/v1/schema/"
SCRIPTS: Final = "/api-scripts"
SAME_WITH_SLASH: Final = ("/v1", "/downloads/")
ROUTERS: Final = (
    search,
    experiments,
    samples,
    small_lists,
    indices_and_targets,
    compendia,
    files,
    jobs,
    stats,
    tokens,
    datasets,
    downloads,
)


def create_app(
    storage: Storage,
    instance: dg.DagsterInstance | None = None,
    *,
    settings: Settings | None = None,
    store_url: str | None = None,
    memory_limit: str = "1GB",
) -> FastAPI:
    """The API of one installation.

    Parameters
    ----------
    storage
        Its folders.
    instance
        Dagster's, whose runs are told as jobs; without one there are none.
    settings
        See `Settings`.
    store_url
        Of SQLAlchemy's form: where tokens and datasets are kept; by default, in
        `api/requests.sqlite` under the home folder.
    memory_limit
        What DuckDB may use.
    """
    settings = settings or Settings()
    store = open_store(store_url, storage.root / "api" / "requests.sqlite")
    app = FastAPI(
        title="refinebio_assets",
        version=__version__,
        description="Gene-expression data, processed uniformly: refine.bio's API, version 1.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses=RESPONSES,
        lifespan=_serving,
    )
    app.state.service = Service(
        storage,
        Catalogue(storage, memory_limit),
        store,
        Runs(instance),
        settings,
        store.signing_key(),
    )
    for each in ROUTERS:
        app.include_router(each.router)
    _add_documentation(app)
    tell_errors(app)
    app.add_middleware(_Slashes)
    if settings.requests_per_second is not None:
        throttle = Throttle(settings.requests_per_second)
        app.add_middleware(_Throttled, allows=throttle.allows)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST", "PUT"],
            allow_headers=["API-KEY", "Content-Type"],
            expose_headers=[REVISION_HEADER],
        )
    app.add_middleware(_Revision)
    return app


@asynccontextmanager
async def _serving(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.service.catalogue.close()


def _add_documentation(app: FastAPI) -> None:
    """The documents about the API, whose scripts come from here and from nowhere else."""
    scripts = resources.files("fastapi_offline") / "static"
    app.mount(SCRIPTS, StaticFiles(directory=str(scripts)))
    icon = f"{SCRIPTS}/favicon.png"

    def schema() -> JSONResponse:
        return JSONResponse(app.openapi())

    def swagger() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=SCHEMA,
            title=app.title,
            swagger_js_url=f"{SCRIPTS}/swagger-ui-bundle.js",
            swagger_css_url=f"{SCRIPTS}/swagger-ui.css",
            swagger_favicon_url=icon,
        )

    def redoc() -> HTMLResponse:
        return get_redoc_html(
            openapi_url=SCHEMA,
            title=app.title,
            redoc_js_url=f"{SCRIPTS}/redoc.standalone.js",
            redoc_favicon_url=icon,
            with_google_fonts=False,
        )

    def root() -> RedirectResponse:
        return RedirectResponse("/v1/")

    app.add_api_route(SCHEMA, schema, include_in_schema=False)
    app.add_api_route("/v1/swagger/", swagger, include_in_schema=False)
    app.add_api_route("/v1/", redoc, include_in_schema=False)
    app.add_api_route("/", root, include_in_schema=False)


class _Slashes:
    """An address is the same with and without a slash at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        ours = scope["type"] == "http" and path.startswith(SAME_WITH_SLASH)
        if ours and not path.endswith("/"):
            raw = scope.get("raw_path") or path.encode()
            scope = {**scope, "path": f"{path}/", "raw_path": raw + b"/"}
        await self._app(scope, receive, send)


class _Throttled:
    """Refuses what is too much of one client."""

    def __init__(self, app: ASGIApp, allows: Callable[[str], bool]) -> None:
        self._app = app
        self._allows = allows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = (scope.get("client") or ("", 0))[0]
            if not self._allows(client):
                answer = status_answer(429, "Too many requests.", headers={"Retry-After": "1"})
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Revision:
    """Every answer says by which version it was given."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (REVISION_HEADER.lower().encode(), __version__.encode())
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        await self._app(scope, receive, send_with_header)
