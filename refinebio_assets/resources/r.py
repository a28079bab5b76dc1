"""R through rpy2, always in a child process: a crash of R takes only the child with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from refinebio_assets.errors import ToolFailed, ToolMissing, TooManyZeros
from refinebio_assets.resources.process import run_tool
from refinebio_assets.resources.tool import Tool

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

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
        self._require("tximport")
        arguments = (
            [str(path) for path in quant_files.values()],
            gene_map["transcript"].to_list(),
            gene_map["gene"].to_list(),
            counts_from_abundance,
        )
        found: dict[str, Any] = in_child("tximport", *arguments)
        return found

    def nec(
        self, values: NDArray[np.float64], p_values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Background correction of bead arrays by limma's nec, from detection p-values.

        Shi, Oshlack and Smyth, Nucleic Acids Research 38:e204 (2010). Offset 16, not robust.
        Whether small p-values mean detection is told by the first array.

        Parameters
        ----------
        values, p_values
            Probes × arrays. An array with missing values (NaN) is corrected by its other
            probes, on its own; its missing values stay missing.

        Returns
        -------
        NDArray[np.float64]
            The corrected values, a new array of the same shape.

        Raises
        ------
        ToolMissing
            If R, rpy2 or limma is not installed.
        ToolFailed
            If limma ends with an error (an array has fewer than three different p-values,
            the shapes differ), or R crashes.
        """
        self._require("limma")
        corrected: NDArray[np.float64] = in_child("nec", values, p_values)
        return corrected

    def scan_upc(
        self,
        cel: Path,
        settings: Literal["scanfast", "scan"],
        probe_summary_package: str | None = None,
    ) -> dict[str, Any]:
        """R's own SCAN of one Affymetrix array: `names` and `values` of probe sets or genes.

        Parameters
        ----------
        cel
            May be compressed.
        probe_summary_package
            BrainArray's package of probes and genes; None groups by the array's probe sets.

        Raises
        ------
        ToolMissing
            If R, rpy2, SCAN.UPC, the array's `pd` package or the summary package is not
            installed.
        TooManyZeros
            If SCAN refuses the array.
        ToolFailed
            If SCAN ends with an error, or R crashes (affyio does on some truncated files).
        """
        self.version()
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "sample.CEL")  # SCAN reads a name as a pattern of names
            plain.symlink_to(cel.absolute())
            arguments = (str(plain), settings, probe_summary_package)
            found: dict[str, Any] = in_child("scan_upc", *arguments)
        if not found["names"]:
            raise TooManyZeros(f"R's SCAN refuses {cel.name}: too many intensities are 0.")
        return found

    def _require(self, package: str) -> None:
        self.version()
        if package not in self.package_versions():
            raise ToolMissing(f"R has no package {package}.", remedy=self.remedy())


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
