"""What runs inside the child process that holds R. Imported there only: R starts on import."""

from __future__ import annotations

from typing import Any

import numpy as np
from rpy2 import rinterface

rinterface.initr()

_TXIMPORT = """
function(files, transcripts, genes, counts_from_abundance) {
  suppressMessages(tximport::tximport(
    files, type = "salmon", tx2gene = data.frame(transcripts, genes),
    countsFromAbundance = counts_from_abundance
  ))[c("abundance", "counts", "length")]
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


def _array(matrix: Any) -> Any:
    rows, columns = matrix.do_slot("dim")
    return np.array(matrix, dtype=np.float64).reshape((rows, columns), order="F")
