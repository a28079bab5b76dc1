"""Files to download: what is registered, by its number or id, and never by a path.

Datasets and compendia need an activated token, or an address that was signed for one; it is
good for seven days. Indices and targets are free to everybody. An index is a folder, and
comes as a tar file.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from refinebio_assets.api.errors import NotThere, StatusBody
from refinebio_assets.api.folder_tar import read_tar, tar_size
from refinebio_assets.api.service import Service, ServiceOf, has_token
from refinebio_assets.resources.datasets import record_of, zip_path
from refinebio_assets.resources.storage import Storage

Kind = Literal["dataset", "compendium", "index", "qn_target"]
FREE: Final = ("index", "qn_target")
GOOD_FOR: Final = 7 * 24 * 3600  # seconds

INDEX: Final = "SELECT folder FROM memory.api.indices WHERE id = ?"
FILE: Final = (
    "SELECT path, filename FROM memory.api.computed_files "
    "WHERE experiment IS NULL AND id = ? AND is_compendia = ? AND is_qn_target = ?"
)

router = APIRouter(tags=["downloads"])


def free_address(service: Service, request: Request, kind: Kind, name: str | int) -> str:
    """The address of a file that everybody may have."""
    return f"{service.base(request)}/downloads/{kind}/{name}/"


def signed_address(service: Service, request: Request, kind: Kind, name: str | int) -> str:
    """An address that is good for seven days, for who has shown a token."""
    expires = int(time.time()) + GOOD_FOR
    signature = _signature(service.signing_key, kind, str(name), expires)
    address = free_address(service, request, kind, name)
    return f"{address}?expires={expires}&signature={signature}"


@router.head("/downloads/{kind}/{name}/", include_in_schema=False)
@router.get(
    "/downloads/{kind}/{name}/",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
        206: {"content": {"application/octet-stream": {}}, "description": "A part of it."},
        403: {"model": StatusBody, "description": "It needs a token."},
        416: {"description": "There is no such part of it."},
    },
)
def download(
    request: Request,
    service: ServiceOf,
    kind: str,
    name: str,
    expires: Annotated[str, Query()] = "",
    signature: Annotated[str, Query()] = "",
) -> Response:
    """A file: a dataset, a compendium, a Salmon index or a quantile-normalisation target."""
    if kind not in get_args(Kind):
        raise NotThere("There are no such files.")
    if kind not in FREE and not (
        _is_signed(service.signing_key, kind, name, expires, signature)
        or has_token(request, service)
    ):
        raise HTTPException(403)
    path, filename = _FINDERS[kind](service, name)
    if path.is_dir():
        headers = {
            "Content-Length": str(tar_size(path)),
            "Content-Disposition": f'attachment; filename="{filename}"',
        }
        body: Any = iter(()) if request.method == "HEAD" else read_tar(path)
        return StreamingResponse(body, media_type="application/x-tar", headers=headers)
    if not path.is_file():
        raise NotThere("The file is not there any more.")
    return FileResponse(path, filename=filename, media_type=_media_type(path))


def _dataset(service: Service, name: str) -> tuple[Path, str]:
    wish = service.store.dataset(name)
    if wish is None or wish.made_as is None:
        raise NotThere("There is no such dataset.")
    record = record_of(service.storage, wish.made_as)
    if record is None or record["status"] != "made":
        raise NotThere("The dataset is not made.")
    return zip_path(service.storage, wish.made_as), f"{wish.id}.zip"


def _compendium(service: Service, name: str) -> tuple[Path, str]:
    return _file(service, name, True, False)


def _target(service: Service, name: str) -> tuple[Path, str]:
    return _file(service, name, False, True)


def _file(service: Service, name: str, *kinds: bool) -> tuple[Path, str]:
    with service.catalogue.reader() as reader:
        found = reader.rows(FILE, _number(name), *kinds)
    if not found or not found[0]["path"]:
        raise NotThere("There is no such file.")
    return confined(service.storage, found[0]["path"]), found[0]["filename"]


def _index(service: Service, name: str) -> tuple[Path, str]:
    with service.catalogue.reader() as reader:
        folder = reader.value(INDEX, _number(name))
    if folder is None:
        raise NotThere("There is no such index.")
    path = confined(service.storage, folder)
    if not path.is_dir():
        raise NotThere("The index is not there any more.")
    organism, release, length = Path(folder).parts[-3:]
    return path, f"{organism}_{release}_{length}.tar"


_FINDERS: Final[dict[str, Callable[[Service, str], tuple[Path, str]]]] = {
    "dataset": _dataset,
    "compendium": _compendium,
    "index": _index,
    "qn_target": _target,
}


def confined(storage: Storage, relative: str) -> Path:
    """A path below the home folder.

    Raises
    ------
    NotThere
        It leads elsewhere.
    """
    path = (storage.root / relative).resolve()
    if not path.is_relative_to(storage.root.resolve()):
        raise NotThere("There is no such file.")
    return path


def size_of(storage: Storage, relative: str | None) -> int | None:
    """The size of a file, in bytes; None where it is not there."""
    try:
        return confined(storage, relative).stat().st_size if relative else None
    except (OSError, NotThere):
        return None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise NotThere("There is no such file.")
    return int(text)


def _media_type(path: Path) -> str:
    return "application/zip" if path.suffix == ".zip" else "application/octet-stream"


def _signature(key: bytes, kind: str, name: str, expires: int) -> str:
    return hmac.new(key, f"{kind}/{name}/{expires}".encode(), hashlib.sha256).hexdigest()


def _is_signed(key: bytes, kind: str, name: str, expires: str, signature: str) -> bool:
    if not (expires.isascii() and expires.isdigit() and len(expires) < 12):
        return False
    if int(expires) < time.time():
        return False
    right = _signature(key, kind, name, int(expires))
    return hmac.compare_digest(right.encode(), signature.encode())
