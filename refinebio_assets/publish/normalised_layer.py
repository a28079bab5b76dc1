"""RNA-seq samples on the scale of their organism's arrays, as one more layer of a block.

log2(x + 1) of length-scaled TPM, quantile-normalised to the organism's target, as in a
dataset of a whole species. Samples are independent of each other. Not here: which target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from refinebio_assets.matrix.log_scale import log2_of_counts
from refinebio_assets.matrix.quantile import Floats, apply_target
from refinebio_assets.publish.sample_blocks import SampleBlock

NORMALISED: Final = "normalised"
FROM: Final = "length_scaled_tpm"


def with_normalised(
    blocks: Iterable[SampleBlock], target: Floats, threads: int = 2
) -> Iterator[SampleBlock]:
    """The blocks with the layer NORMALISED, made from their layer FROM."""
    for block in blocks:
        values = log2_of_counts(block.layers[FROM]).astype(np.float32, copy=False)
        apply_target(values.T, target, out=values.T, threads=threads)
        yield SampleBlock(block.samples, {**block.layers, NORMALISED: values})
