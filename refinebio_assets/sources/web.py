"""How sources ask the outside world: a protocol, so that they open no socket themselves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol


class Web(Protocol):
    """What `resources.http` provides: limits per host, retries and mirrors are its business."""

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer with status 200.

        Raises
        ------
        AccessionAbsent
            Status 204, 404 or 410.
        SourceRefused
            Another 4xx; the message holds the body's first words.
        SourceUnavailable
            5xx, 429 or no answer, after several attempts.
        """
        ...

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        """A large document to be read as it arrives; raises as `get` does."""
        ...
