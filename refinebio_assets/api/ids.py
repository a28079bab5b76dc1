"""Whole numbers as names of the catalogue's rows, for clients of v1, which know no others.

A number is made of what the row is called, not of its place, so that it stays the same when
the catalogue is rebuilt or moved: the first 52 bits of the SHA-256 of a kind and a key.
They are exact in JavaScript's numbers too. Of a million rows of a kind, two are alike with a
probability of 0.01 %; both are then found by their accessions, and by number the first.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

Kind = Literal[
    "experiment",
    "sample",
    "original_file",
    "computed_file",
    "result",
    "processor",
    "index",
    "compendium",
]
DIGITS: Final = 13  # hexadecimal
LARGEST: Final = 16**DIGITS - 1


def number_of(kind: Kind, key: str) -> int:
    """The number of a row."""
    return int(hashlib.sha256(f"{kind} {key}".encode()).hexdigest()[:DIGITS], 16)


def number_sql(kind: Kind, key: str) -> str:
    """The same in SQL, of the text that the expression `key` gives."""
    return f"('0x' || left(sha256('{kind} ' || {key}), {DIGITS}))::BIGINT"
