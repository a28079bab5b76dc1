"""Values that do not fit into memory: float32 in files without a name, in blocks.

They are read and written through the file's descriptor and not through a memory map, whose
pages would count as memory of the process. The files are gone once they are closed, however
the process ends. Not here: what the values are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

_ITEM: Final = 4  # bytes of a value


class _File:
    """A file of float32, by the position of values."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 — closed on exit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file up."""
        self._file.close()

    def _write(self, at: int, values: Values) -> None:
        left, offset = _bytes_of(np.ascontiguousarray(values, np.float32)), at * _ITEM
        while left:
            done = os.pwrite(self._file.fileno(), left, offset)
            left, offset = left[done:], offset + done

    def _read_into(self, at: int, values: Values) -> None:
        left, offset = _bytes_of(values), at * _ITEM
        while left:
            done = os.preadv(self._file.fileno(), [left], offset)
            if not done:
                raise EOFError("Values are read that were not written.")
            left, offset = left[done:], offset + done


def _bytes_of(values: Values) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


class Spool(_File):
    """Vectors, one after the other, to be read again in any order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._ends = [0]

    def append(self, values: Values) -> int:
        """Keep a vector; return its number, from 0."""
        self._write(self._ends[-1], values)
        self._ends.append(self._ends[-1] + len(values))
        return len(self._ends) - 2

    def read(self, number: int) -> Values:
        """A vector that was kept."""
        start, end = self._ends[number : number + 2]
        values = np.empty(end - start, np.float32)
        self._read_into(start, values)
        return values


class DiskMatrix(_File):
    """A matrix of samples and genes that is read by samples and by genes.

    It lies in panels of some genes of all samples, so that either way is a few long reads.

    Parameters
    ----------
    folder
        Where there is room for it.
    shape
        (samples, genes)
    panel_cells
        The most values of a panel, if that is one gene at least.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], panel_cells: int) -> None:
        super().__init__(folder)
        self.samples, self.genes = shape
        width = max(1, panel_cells // max(1, self.samples))
        self.panels = [
            slice(start, min(start + width, self.genes)) for start in range(0, self.genes, width)
        ]

    def write_samples(self, first: int, values: Values) -> None:
        """Put samples, (some, genes), from sample `first` on."""
        for panel in self.panels:
            self._write(self._at(panel, first), values[:, panel])

    def read_samples(self, first: int, end: int) -> Values:
        """Samples from `first` to before `end`, (some, genes)."""
        values = np.empty((min(end, self.samples) - first, self.genes), np.float32)
        for panel in self.panels:
            part = np.empty((len(values), panel.stop - panel.start), np.float32)
            self._read_into(self._at(panel, first), part)
            values[:, panel] = part
        return values

    def write_panel(self, panel: slice, values: Values) -> None:
        """Put the genes of one of the panels, (samples, some)."""
        self._write(self._at(panel, 0), values)

    def read_panel(self, panel: slice) -> Values:
        """The genes of one of the panels, (samples, some)."""
        values = np.empty((self.samples, panel.stop - panel.start), np.float32)
        self._read_into(self._at(panel, 0), values)
        return values

    def by_samples(self, most_cells: int) -> Iterator[tuple[int, Values]]:
        """All samples in blocks of so many values: the first one's number, (some, genes)."""
        step = max(1, most_cells // max(1, self.genes))
        for first in range(0, self.samples, step):
            yield first, self.read_samples(first, first + step)

    def _at(self, panel: slice, sample: int) -> int:
        at: int = self.samples * panel.start + sample * (panel.stop - panel.start)
        return at
