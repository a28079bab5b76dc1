"""What `refinebio doctor` reports: every outside program and R package, found or not."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from importlib import metadata

from refinebio_assets.errors import RefinebioError
from refinebio_assets.resources.r import PACKAGES, R
from refinebio_assets.resources.rsem import Rsem
from refinebio_assets.resources.salmon import Salmon
from refinebio_assets.resources.sra_toolkit import SraToolkit
from refinebio_assets.resources.storage import Storage
from refinebio_assets.resources.tool import Tool

PYTHON_PACKAGES = ("dagster", "duckdb", "polars", "rpy2")
LITTLE_SPACE = 10 << 30


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remark` says how to mend what is not ok."""

    what: str
    ok: bool
    version: str | None
    remark: str = ""


def examine() -> list[Finding]:
    """Look at everything that processing needs."""
    tools: list[Tool] = [Salmon(), SraToolkit(), Rsem(), R()]
    return [
        Finding("Python", True, platform.python_version()),
        *map(_python_package, PYTHON_PACKAGES),
        *map(_tool, tools),
        *_r_packages(R()),
        _disk(Storage()),
    ]


def _tool(tool: Tool) -> Finding:
    try:
        version = tool.version()
    except RefinebioError as error:
        return Finding(tool.title, False, None, str(error))
    return Finding(tool.title, True, version, shutil.which(tool.command()) or "")


def _python_package(name: str) -> Finding:
    try:
        return Finding(f"Python {name}", True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(f"Python {name}", False, None, "Run `make setup`.")


def _r_packages(r: R) -> list[Finding]:
    try:
        found = r.package_versions()
    except RefinebioError:
        found = {}
    return [
        Finding(f"R {name}", True, found[name])
        if name in found
        else Finding(f"R {name}", False, None, f"Install it with `apt-get install {package}`.")
        for name, package in PACKAGES.items()
    ]


def _disk(storage: Storage) -> Finding:
    root = storage.root
    existing = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    ok = free > LITTLE_SPACE
    remark = str(root) if ok else f"{root}: less than {LITTLE_SPACE >> 30} GiB; set REFINEBIO_HOME."
    return Finding("Free space", ok, f"{free / (1 << 30):.0f} GiB", remark)
