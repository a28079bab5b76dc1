"""Markdown of what others submitted: text, which can't become a tag or a table's border."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from refinebio_assets.publish.metadata_table import one_line

_LONGEST_TEXT: Final = 160
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~&$]|\A[#+-]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def count(number: int, what: str) -> str:
    """'1 sample', '2 samples'."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def said(text: str) -> str:
    """A text of someone else's as Markdown that shows it, cut where it is long."""
    line = one_line(text).strip()
    cut = line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"
    return _MARKDOWN.sub(r"\\\1", cut)
