"""A platform made ready for SCAN: its probes, what they belong to, prepared once for all arrays.

Read only and shared by threads. Not here: where probes and genes come from, and which
platform a CEL file is of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidProbeAnnotation, ProbesDoNotFitChip
from refinebio_assets.microarray.cel import Cel
from refinebio_assets.microarray.mixture import Fit
from refinebio_assets.microarray.probes import GeneMap, ProbeTable
from refinebio_assets.microarray.scan import (
    Groups,
    PreparedPlatform,
    ScanSettings,
    groups_of_genes,
    groups_of_probe_sets,
    percent_saturated,
    prepare,
    scan,
    summarise,
)

GENE = "gene"
PROBE_SET = "probe set"

_LEAST_REACH = 0.9  # of a chip's width and height; real platforms end 1 to 4 cells before its edge


@dataclass(frozen=True, eq=False)
class ArrayExpression:
    """One array's values.

    Attributes
    ----------
    names
        Genes or probe sets, sorted.
    values
        (names,) float64.
    num_probes
        Perfect-match probes of the platform, all of which are in the fit's universe.
    percent_saturated
        Share of their intensities that equal the largest, in per cent.
    """

    names: list[str]
    values: NDArray[np.float64]
    fit: Fit
    zero_shift: bool
    num_probes: int
    percent_saturated: float


@dataclass(frozen=True, eq=False)
class ArrayModel:
    """A platform's probes and the groups that are reported: `feature` says of what kind."""

    probes: ProbeTable
    platform: PreparedPlatform
    groups: Groups
    feature: str

    @classmethod
    def prepared(
        cls, probes: ProbeTable, genes: GeneMap | None, settings: ScanSettings
    ) -> ArrayModel:
        """Prepare a platform; without genes, values are per probe set.

        Raises
        ------
        TooFewProbes
        InvalidProbeAnnotation
            No gene has any of the platform's probes.
        """
        groups = groups_of_genes(probes, genes) if genes else groups_of_probe_sets(probes)
        if not groups.names:
            raise InvalidProbeAnnotation("No cell of the gene map is a probe of the platform.")
        feature = GENE if genes else PROBE_SET
        return cls(probes, prepare(probes, settings), groups, feature)

    def expression(self, cel: Cel, *, upc: bool = False) -> ArrayExpression:
        """The values of an array of this platform.

        Parameters
        ----------
        upc
            Universal expression codes, the probability that a gene is expressed, in place
            of SCAN values.

        Raises
        ------
        ProbesDoNotFitChip
            A probe lies outside the array, a tenth of its columns or rows has none at the far
            edge, or the probes are known to be of a chip of other width.
        TooManyZeros, ModelNotFitted
            As `scan`.
        """
        intensities = cel.intensities[self._cells(cel)]
        found = scan(intensities, self.platform, upc=upc)
        return ArrayExpression(
            names=self.groups.names,
            values=summarise(found.values if found.upc is None else found.upc, self.groups),
            fit=found.fit,
            zero_shift=found.zero_shift,
            num_probes=len(intensities),
            percent_saturated=percent_saturated(intensities),
        )

    def _cells(self, cel: Cel) -> NDArray[np.int64]:
        columns, rows = cel.header.columns, cel.header.rows
        x, y = int(self.probes.x.max()) + 1, int(self.probes.y.max()) + 1
        fit = _LEAST_REACH * columns <= x <= columns and _LEAST_REACH * rows <= y <= rows
        stated = self.probes.columns
        if not fit or (stated is not None and stated != columns):
            raise ProbesDoNotFitChip(
                f"The array ({cel.header.chip_type}) has {columns} x {rows} cells; the probe "
                f"annotation is of one with {stated or f'about {x}'} columns and about {y} rows."
            )
        return self.probes.cells(columns)
