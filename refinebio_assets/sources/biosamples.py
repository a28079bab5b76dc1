"""BioSamples: what submitters said of the material behind a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from refinebio_assets.errors import AccessionAbsent, SourceAnswerInvalid, SourceRefused
from refinebio_assets.sources.ena import clean_text
from refinebio_assets.sources.web import Web

BIOSAMPLES = "https://www.ebi.ac.uk/biosamples/samples"
_ACCESSION = re.compile(r"SAM(?:N|D|EA|EG)[0-9]{1,15}\Z")
_NOT_SUBMITTED = frozenset({"accession", "status", "_links"})
_DEEPEST = 12


def is_biosample(accession: str) -> bool:
    """Whether a text is an accession of BioSamples (SAMN…, SAMEA…, SAMD…)."""
    return _ACCESSION.match(accession) is not None


def fetch_biosample(accession: str, web: Web) -> dict[str, str]:
    """The flattened record of a sample; empty where it is not public.

    Raises
    ------
    SourceAnswerInvalid
        If the answer is no JSON object.
    SourceUnavailable
    """
    try:
        return parse_biosample(web.get(f"{BIOSAMPLES}/{accession}.json"))
    except (AccessionAbsent, SourceRefused):
        return {}


def parse_biosample(body: bytes) -> dict[str, str]:
    """Flatten a record: keys joined by '_', blanks in them too, lists numbered from 0.

    `{"characteristics": {"cell line": [{"text": "HeLa"}]}}` becomes
    `{"characteristics_cell_line_0_text": "HeLa"}`. Accession, status and links are left
    out, as are empty values.

    Raises
    ------
    SourceAnswerInvalid
        If the answer is no JSON object.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceAnswerInvalid(f"BioSamples' answer is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise SourceAnswerInvalid(f"BioSamples' answer is no record: {body[:120]!r}.")
    submitted = {key: value for key, value in document.items() if key not in _NOT_SUBMITTED}
    return dict(_flatten(submitted, ""))


def _flatten(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            below = "_".join(clean_text(key).split())
            yield from _flatten(inner, f"{path}_{below}" if path else below, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flatten(inner, f"{path}_{number}", depth + 1)
    elif value is not None and clean_text(value):
        yield path, clean_text(value)
