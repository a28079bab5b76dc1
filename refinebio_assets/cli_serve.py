"""`refinebio serve`: API v1 for clients of refine.bio."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from refinebio_assets.command import dagster_instance, err, errors_told

# Seconds that a connection may idle. The default, five, ends some while a busy client uses them.
KEEP_ALIVE: Final = 75


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8000,
    public_url: Annotated[
        str | None, typer.Option(help="Under which clients reach it, if through a proxy.")
    ] = None,
    requests_per_second: Annotated[
        float, typer.Option(help="Of one client; 0 for any number.", min=0)
    ] = 10,
    origin: Annotated[
        list[str], typer.Option(help="A web page's origin that may read; may be repeated.")
    ] = [],  # noqa: B006  # Typer copies it
    store: Annotated[
        str | None,
        typer.Option(
            envvar="REFINEBIO_API_STORE",
            help="Database for tokens and datasets, as SQLAlchemy writes it; by default SQLite.",
        ),
    ] = None,
    memory_limit: Annotated[str, typer.Option(help="Memory DuckDB may use.")] = "1GB",
) -> None:
    """Serve API v1: search, metadata, compendia, datasets, downloads."""
    import uvicorn

    from refinebio_assets.api.app import create_app
    from refinebio_assets.api.service import Settings
    from refinebio_assets.resources.storage import Storage

    storage = Storage()
    with errors_told(), dagster_instance() as instance:
        settings = Settings(
            requests_per_second=requests_per_second or None,
            public_url=public_url,
            allowed_origins=tuple(origin),
        )
        app = create_app(
            storage, instance, settings=settings, store_url=store, memory_limit=memory_limit
        )
        if not storage.catalogue().exists():
            err.print("There is no catalogue yet: answers will be 503 until one is built.")
        err.print("Datasets are made while Dagster's daemon runs with the sensor dataset_requests.")
        err.print(f"http://{host}:{port}/v1/", highlight=False)
        uvicorn.run(
            app,
            host=host,
            port=port,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
