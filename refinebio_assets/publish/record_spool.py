"""Records of samples that are too many for memory: on disk, made again one at a time.

The file has no name, and is gone once it is closed, however the process ends. Not here: what
the records say.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Self, TypeVar, overload

from refinebio_assets.publish.records import Processor, SampleRecord

Item = TypeVar("Item", covariant=True)


class Lazy(Sequence[Item], Generic[Item]):
    """A sequence whose items are made when they are asked for."""

    def __init__(self, length: int, make: Callable[[int], Item]) -> None:
        self._places, self._make = range(length), make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | Sequence[Item]:
        if isinstance(place, slice):
            return [self._make(each) for each in self._places[place]]
        return self._make(self._places[place])


class RecordSpool:
    """Samples' records in a file, by their number; to be closed, or used in a `with`."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 — closed on exit
        self._ends = array("q", [0])
        self._unwritten = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, record: SampleRecord) -> int:
        """Keep a record; return its number, from 0."""
        made_by = record.processor
        fields = {
            **vars(record),
            "harmonised": dict(record.harmonised),
            "annotations": [dict(each) for each in record.annotations],
            "processor": made_by and [made_by.name, made_by.version],
        }
        text = json.dumps(fields).encode()
        self._file.write(text)
        self._unwritten = True
        self._ends.append(self._ends[-1] + len(text))
        return len(self) - 1

    def read(self, number: int) -> SampleRecord:
        """A record that was kept, equal to what was given."""
        if self._unwritten:
            self._file.flush()
            self._unwritten = False
        start, end = self._ends[number : number + 2]
        fields = json.loads(os.pread(self._file.fileno(), end - start, start))
        return SampleRecord(
            **{
                **fields,
                "annotations": tuple(fields["annotations"]),
                "processor": fields["processor"] and Processor(*fields["processor"]),
            }
        )

    def records(self) -> Sequence[SampleRecord]:
        """All that were kept so far."""
        return Lazy(len(self), self.read)
