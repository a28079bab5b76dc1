"""Sample sheets: how a lab describes its own experiments.

A TSV or CSV, one row per sample, with the columns experiment, sample, organism,
technology and files; some optional columns have a meaning of their own (see
docs/samplesheet.md); every further column is submitted metadata. A sheet may describe
several experiments. Sheets are read through fsspec, so a path may also be a URL of an
object store. Not here: fetching the files that a sheet names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import dropwhile
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from refinebio_assets.errors import InvalidSampleSheet, RefinebioError
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.metadata.organisms import organism_name
from refinebio_assets.sources.records import (
    TECHNOLOGIES,
    Attribute,
    Experiment,
    RawFile,
    Sample,
)
from refinebio_assets.tables import HARMONISED_FIELDS

REQUIRED = ("experiment", "sample", "organism", "technology", "files")
OF_THE_SAMPLE = ("title", "platform", "platform_name", "manufacturer", "library_layout", "md5")
OF_THE_EXPERIMENT = (
    "experiment_title",
    "experiment_description",
    "experiment_url",
    "submitter_institution",
    "publication_title",
    "publication_doi",
    "pubmed_id",
)
MEANT = frozenset({*REQUIRED, *OF_THE_SAMPLE, *OF_THE_EXPERIMENT})
LARGEST_SHEET = 256 << 20
LAYOUTS = ("SINGLE", "PAIRED")


def read_sample_sheet(location: str) -> list[Experiment]:
    """The experiments that a sample sheet describes, in its order.

    Parameters
    ----------
    location
        Path or fsspec URL of a .tsv, .txt or .csv file, UTF-8, with a header.

    Raises
    ------
    InvalidSampleSheet
        Naming every row that is wrong (at most ten); nothing of the sheet is taken then.
    """
    content = _read(location)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSampleSheet(f"{location} is not UTF-8 text: {error}.") from error
    return parse_sample_sheet(text, location, hashlib.sha256(content).hexdigest())


def parse_sample_sheet(text: str, location: str, sha256: str) -> list[Experiment]:
    """Like `read_sample_sheet`, for a text that was read from `location`."""
    rows = _rows(text, location)
    problems: list[str] = []
    grouped: dict[str, list[tuple[Mapping[str, str], Sample]]] = {}
    for number, row in rows:
        try:
            experiment = valid_accession(row["experiment"])
            grouped.setdefault(experiment, []).append((row, _sample(row, location)))
        except RefinebioError as error:
            problems.append(f"line {number}: {error}")
    for experiment, members in grouped.items():
        counted = Counter(sample.sample for _, sample in members)
        twice = [name for name, times in counted.items() if times > 1]
        problems += [f"sample {name} occurs twice in {experiment}" for name in twice]
    if problems:
        more = f" (and {len(problems) - 10} more)" if len(problems) > 10 else ""
        raise InvalidSampleSheet(f"{location}: " + "; ".join(problems[:10]) + more + ".")
    return [_experiment(name, members, location, sha256) for name, members in grouped.items()]


def _read(location: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(location, "rb") as file:
            content: bytes = file.read(LARGEST_SHEET + 1)
    except Exception as error:
        raise InvalidSampleSheet(f"{location} cannot be read: {error}.") from error
    if len(content) > LARGEST_SHEET:
        raise InvalidSampleSheet(f"{location} is larger than {LARGEST_SHEET >> 20} MiB.")
    return content


def _rows(text: str, location: str) -> list[tuple[int, dict[str, str]]]:
    told = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    header = next(told, "")
    delimiter = "\t" if "\t" in header else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        read = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise InvalidSampleSheet(f"{location} is not a table: {error}.") from error
    filled = [(number, cells) for number, cells in read if any(cells)]
    lines = list(dropwhile(lambda line: line[1][0].startswith("#"), filled))
    if not lines:
        raise InvalidSampleSheet(f"{location} is empty.")
    given = lines[0][1]
    names = [name.lower() if name.lower() in MEANT else name for name in given]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InvalidSampleSheet(f"{location} has no column {', '.join(missing)}.")
    twice = [name for name, times in Counter(map(str.lower, given)).items() if times > 1]
    if twice:
        raise InvalidSampleSheet(f"{location} has the column {twice[0]!r} twice.")
    rows = []
    for number, cells in lines[1:]:
        comment = cells[0].startswith("#")  # but not a title such as "#1" in a first column
        if comment and (names[0] == "experiment" or len(cells) != len(names)):
            continue
        if len(cells) != len(names):
            raise InvalidSampleSheet(
                f"{location}, line {number}: {len(cells)} cells where the header has {len(names)}."
            )
        rows.append((number, dict(zip(names, cells, strict=True))))
    if not rows:
        raise InvalidSampleSheet(f"{location} names no sample.")
    return rows


def _sample(row: Mapping[str, str], location: str) -> Sample:
    technology = row["technology"].upper().replace("_", "-").replace("RNASEQ", "RNA-SEQ")
    if technology not in TECHNOLOGIES:
        raise InvalidSampleSheet(
            f"technology {row['technology']!r} is none of {', '.join(TECHNOLOGIES)}.", remedy=""
        )
    layout = row.get("library_layout", "").upper() or None
    if layout not in (*LAYOUTS, None):
        raise InvalidSampleSheet(f"library_layout {layout!r} is not SINGLE or PAIRED.", remedy="")
    submitted = {key: value for key, value in row.items() if key not in MEANT and value}
    return Sample(
        sample=valid_accession(row["sample"], what="sample"),
        organism=organism_name(row["organism"]),
        technology=technology,
        source_database="LOCAL",
        title=row.get("title") or None,
        platform=row.get("platform") or None,
        platform_name=row.get("platform_name") or None,
        manufacturer=row.get("manufacturer") or None,
        library_layout=layout,
        harmonised=_harmonised(submitted),
        attributes=tuple(Attribute(key, value) for key, value in submitted.items()),
        files=_files(row, location),
    )


def _harmonised(submitted: Mapping[str, str]) -> dict[str, str | float]:
    """Columns named exactly as a harmonised field fill it; nothing is guessed here."""
    by_name = {key.lower(): value.strip().lower() for key, value in submitted.items()}
    found: dict[str, str | float] = {}
    for field in HARMONISED_FIELDS:
        value = by_name.get(field.name)
        if value and field.type == "VARCHAR":
            found[field.name] = value
        elif value:
            found |= _number(field.name, value)
    return found


def _number(name: str, value: str) -> dict[str, float]:
    try:
        number = float(value)
    except ValueError:
        return {}
    return {name: number} if math.isfinite(number) else {}


def _files(row: Mapping[str, str], location: str) -> tuple[RawFile, ...]:
    named = [name.strip() for name in row["files"].split(";") if name.strip()]
    if not named:
        raise InvalidSampleSheet("no file is named.", remedy="")
    digests: list[str | None] = [each.strip() or None for each in row.get("md5", "").split(";")]
    if digests == [None]:
        digests = [None] * len(named)
    if len(digests) != len(named):
        raise InvalidSampleSheet(f"{len(named)} files but {len(digests)} md5.", remedy="")
    return tuple(
        RawFile(_filename(name), _absolute(name, location), expected_md5=digest)
        for name, digest in zip(named, digests, strict=True)
    )


def _filename(name: str) -> str:
    try:
        filename = PurePosixPath(urlsplit(name).path if "://" in name else name).name
    except ValueError as error:
        raise InvalidSampleSheet(f"{name!r} is not a URL: {error}.", remedy="") from error
    if filename in ("", "..") or "\0" in filename:
        raise InvalidSampleSheet(f"{name!r} does not name a file.", remedy="")
    return filename


def _absolute(name: str, location: str) -> str:
    """A file's path or URL; a relative one is relative to its sheet."""
    if "://" in name or name.startswith("/"):
        return name
    folder, slash, _ = location.rpartition("/")
    return f"{folder}{slash}{name}"


def _experiment(
    name: str, members: Iterable[tuple[Mapping[str, str], Sample]], location: str, sha256: str
) -> Experiment:
    rows = [row for row, _ in members]

    def first(column: str) -> str | None:
        return next((row[column] for row in rows if row.get(column)), None)

    described: dict[str, Any] = {
        column.removeprefix("experiment_"): first(column)
        for column in OF_THE_EXPERIMENT
        if column != "experiment_url"
    }
    return Experiment(
        experiment=name,
        source_database="LOCAL",
        samples=tuple(sample for _, sample in members),
        source_sha256=sha256,
        source_url=first("experiment_url") or location,
        **described,
    )
