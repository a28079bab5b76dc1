"""JSON documents, written member by member, so that a large one is never held.

UTF-8, indented by 4, with sorted keys; a number that isn't finite is null. Not here: what
the documents say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

_INDENT: Final = "    "


@dataclass(frozen=True)
class Members:
    """An object whose members are made one at a time: keys, sorted, and values."""

    pairs: Iterable[tuple[str, Any]]


@dataclass(frozen=True)
class Elements:
    """A list whose elements are made one at a time."""

    values: Iterable[Any]


def write_json(path: Path, document: Mapping[str, Any] | Members) -> None:
    """Write a document; of a mapping, values may be `Members` and `Elements`.

    Raises
    ------
    ValueError
        Keys of `Members` are not sorted, or one comes twice.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        if isinstance(document, Members):
            _write(file, document, "")
        else:
            _write(file, Members((key, document[key]) for key in sorted(document)), "")
        file.write("\n")


def _write(file: TextIO, value: Any, margin: str) -> None:
    if not isinstance(value, Members | Elements):
        file.write(_text(value).replace("\n", f"\n{margin}"))
        return
    opening, closing = "{}" if isinstance(value, Members) else "[]"
    separator = opening
    inner = f"{margin}{_INDENT}"
    for key, each in _with_keys(value):
        file.write(f"{separator}\n{inner}{key}")
        _write(file, each, inner)
        separator = ","
    file.write(f"{opening}{closing}" if separator == opening else f"\n{margin}{closing}")


def _with_keys(value: Members | Elements) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Elements):
        yield from (("", each) for each in value.values)
        return
    before = None
    for key, each in value.pairs:
        if before is not None and key <= before:
            raise ValueError(f"The key {key!r} comes after {before!r}.")
        before = key
        yield f"{json.dumps(key, ensure_ascii=False)}: ", each


def _text(value: Any) -> str:
    return json.dumps(_finite(value), indent=4, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
