"""R through rpy2, always in a child process: a crash of R takes only the child with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from refinebio_assets.errors import ToolFailed, ToolMissing
from refinebio_assets.resources.process import run_tool
from refinebio_assets.resources.tool import Tool

if TYPE_CHECKING:
    import polars as pl

PACKAGES = {
    "tximport": "r-bioc-tximport",
    "limma": "r-bioc-limma",
    "preprocessCore": "r-bioc-preprocesscore",
    "affyio": "r-bioc-affyio",
}


class R(Tool):
    """R with the packages that we compare with."""

    title: ClassVar[str] = "R"
    minimum: ClassVar[tuple[int, ...]] = (4, 0)
    debian_packages: ClassVar[str] = "r-base-core " + " ".join(PACKAGES.values())

    rscript: str = Field(default="Rscript", description="Command or path of Rscript.")

    def command(self) -> str:
        """The program that is asked for its version."""
        return self.rscript

    def package_versions(self) -> dict[str, str]:
        """Version of each of PACKAGES that is installed."""
        names = ", ".join(f'"{name}"' for name in PACKAGES)
        script = (
            f"found <- intersect(c({names}), rownames(installed.packages())); "
            'for (each in found) cat(each, as.character(packageVersion(each)), "\\n")'
        )
        lines = run_tool([self.rscript, "--vanilla", "-e", script])
        return dict(line.split()[:2] for line in lines if line.split()[:1] and " " in line)

    def tximport(
        self, quant_files: Mapping[str, Path], gene_map: pl.DataFrame, counts_from_abundance: str
    ) -> dict[str, Any]:
        """R's own tximport: `genes`, and `abundance`, `counts`, `length` (genes × samples).

        Raises
        ------
        ToolMissing
            If R, rpy2 or tximport is not installed.
        ToolFailed
            If tximport ends with an error, or R crashes.
        """
        self.version()
        if "tximport" not in self.package_versions():
            raise ToolMissing("R has no package tximport.", remedy=self.remedy())
        arguments = (
            [str(path) for path in quant_files.values()],
            gene_map["transcript"].to_list(),
            gene_map["gene"].to_list(),
            counts_from_abundance,
        )
        found: dict[str, Any] = in_child("tximport", *arguments)
        return found


def in_child(function: str, *arguments: Any) -> Any:
    """Call a function of `r_child` in a fresh process.

    Raises
    ------
    ToolMissing, ToolFailed
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            return pool.submit(_call, function, arguments).result()
        except BrokenProcessPool as error:
            raise ToolFailed("R crashed.", returncode=-11, tail=[]) from error
        except RuntimeError as error:
            raise ToolFailed(f"R: {error}", returncode=1, tail=[]) from error
        except ImportError as error:
            raise ToolMissing(
                "rpy2 is not installed.", remedy="Install refinebio-assets with its extra 'r'."
            ) from error


def _call(function: str, arguments: tuple[Any, ...]) -> Any:
    from rpy2.rinterface_lib.embedded import RRuntimeError

    from refinebio_assets.resources import r_child

    chosen: Callable[..., Any] = getattr(r_child, function)
    try:
        return chosen(*arguments)
    except RRuntimeError as error:
        raise RuntimeError(str(error)) from None  # R's own exception cannot leave the child
