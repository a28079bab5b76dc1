"""What runs inside the child process that holds R. Imported there only: R starts on import."""

from __future__ import annotations

from typing import Any

import numpy as np
from rpy2 import rinterface

from refinebio_assets.errors import ToolMissing

rinterface.initr()

_TXIMPORT = """
function(files, transcripts, genes, counts_from_abundance) {
  suppressMessages(tximport::tximport(
    files, type = "salmon", tx2gene = data.frame(transcripts, genes),
    countsFromAbundance = counts_from_abundance
  ))[c("abundance", "counts", "length")]
}
"""

_SCAN_UPC = """
function(cel, settings, summary_package) {
  packages <- c("SCAN.UPC", if (!is.na(summary_package)) summary_package)
  absent <- function(names) Filter(function(name) !nzchar(system.file(package = name)), names)
  if (length(absent(packages)) == 0) {
    chip <- affyio::read.celfile.header(cel)$cdfName
    packages <- oligo::cleanPlatformName(chip)
  }
  if (length(absent(packages)) > 0) return(list(absent = absent(packages)))
  suppressMessages(library(SCAN.UPC))  # attached: it finds foreach only so
  foreach::registerDoSEQ()
  scan <- get(c(scan = "SCAN", scanfast = "SCANfast")[[settings]])
  utils::capture.output(
    found <- suppressMessages(scan(cel, probeSummaryPackage = summary_package, verbose = FALSE))
  )
  values <- Biobase::exprs(found)
  list(names = as.character(rownames(values)), values = as.numeric(values))
}
"""

# What limma::nec makes of complete matrices; it gives up where a value is missing.
_NEC = """
function(values, p_values) {
  known <- !is.na(values) & !is.na(p_values)
  if (all(known)) return(limma::nec(values, detection.p = p_values))
  for (i in seq_len(ncol(values))) {
    rows <- known[, i]
    fitted <- limma::normexp.fit.detection.p(
      values[rows, i, drop = FALSE], p_values[rows, i, drop = FALSE]
    )
    values[, i] <- limma::normexp.signal(fitted[1, ], values[, i]) + 16
  }
  values
}
"""


def tximport(
    files: list[str], transcripts: list[str], genes: list[str], counts_from_abundance: str
) -> dict[str, Any]:
    """R's tximport: arrays genes × files, and the gene names, in R's order."""
    function = rinterface.baseenv["eval"](rinterface.parse(_TXIMPORT))
    texts = rinterface.StrSexpVector
    result = function(
        texts(files), texts(transcripts), texts(genes), texts([counts_from_abundance])
    )
    matrices = dict(zip(result.names, result, strict=True))
    dimnames = matrices["counts"].do_slot("dimnames")
    return {
        "genes": list(dimnames[0]),
        **{name: _array(matrix) for name, matrix in matrices.items()},
    }


def scan_upc(cel: str, settings: str, summary_package: str | None) -> dict[str, Any]:
    """R's SCAN or SCANfast of one array: `names` and `values`, in R's order."""
    function = rinterface.baseenv["eval"](rinterface.parse(_SCAN_UPC))
    texts = rinterface.StrSexpVector
    summary = rinterface.NA_Character if summary_package is None else summary_package
    result = function(texts([cel]), texts([settings]), texts([summary]))
    found = dict(zip(result.names, result, strict=True))
    if "absent" in found:
        raise ToolMissing(
            f"R has no package {', '.join(found['absent'])}.",
            remedy="Install it from Bioconductor or BrainArray; R_LIBS may name its library.",
        )
    return {"names": list(found["names"]), "values": np.array(found["values"], dtype=np.float64)}


def nec(values: Any, p_values: Any) -> Any:
    """limma's nec of float64 arrays probes × arrays; offset 16, not robust."""
    function = rinterface.baseenv["eval"](rinterface.parse(_NEC))
    return _array(function(_matrix(values), _matrix(p_values)))


def _matrix(array: Any) -> Any:
    """An array of two dimensions as R's matrix."""
    columns = np.asarray(array, dtype=np.float64).ravel(order="F")
    vector = rinterface.FloatSexpVector.from_memoryview(columns.data)
    vector.do_slot_assign("dim", rinterface.IntSexpVector(array.shape))
    return vector


def _array(matrix: Any) -> Any:
    rows, columns = matrix.do_slot("dim")
    return np.array(matrix, dtype=np.float64).reshape((rows, columns), order="F")
