"""ENA's portal: what it is asked, and its answers checked before they are believed.

A request for one field that ENA has dropped fails as a whole, so its list of fields is
asked first (`available_fields`; the caller may keep it for a day) and only what exists is
requested (`negotiate`). An answer with status 200 may still be an error page or a part of
the truth: every reader here raises `SourceAnswerInvalid` rather than guess. Not here:
what the records mean (see `sources.sra`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from refinebio_assets.errors import (
    AccessionAbsent,
    InvalidAccession,
    SourceAnswerInvalid,
    SourceRefused,
)
from refinebio_assets.sources.web import Web

PORTAL = "https://www.ebi.ac.uk/ena/portal/api"
SEARCH = f"{PORTAL}/search"
XREF = "https://www.ebi.ac.uk/ena/xref/rest/json/search"
VIEW = "https://www.ebi.ac.uk/ena/browser/view"
LARGEST_STUDY = 25_000

Row = Mapping[str, str]
"""One record: ENA's names of fields, and their values; empty ones are left out."""

INDISPENSABLE = (
    "run_accession",
    "scientific_name",
    "instrument_platform",
    "instrument_model",
    "library_strategy",
    "library_source",
)
ONE_OF = ("secondary_study_accession", "study_accession")
FILES = tuple(
    f"{kind}_{what}" for kind in ("fastq", "submitted", "sra") for what in ("ftp", "md5", "bytes")
)
OPTIONAL = (
    *("experiment_accession", "sample_accession", "secondary_sample_accession"),
    *("submission_accession", "tax_id", "status", "center_name", "broker_name"),
    *("library_layout", "library_selection", "library_name", "library_construction_protocol"),
    *("nominal_length", "nominal_sdev", "read_count", "base_count"),
    *("first_public", "last_updated", "first_created", "run_date"),
    *("study_title", "study_alias", "experiment_title", "experiment_alias", "run_alias"),
    *("sample_title", "sample_alias", "sample_description", "description"),
    *("age", "sex", "submitted_sex", "tissue_type", "tissue_lib", "cell_line", "cell_type"),
    *("dev_stage", "disease", "strain", "sub_strain", "sub_species", "cultivar", "ecotype"),
    *("variety", "mating_type", "isolate", "isolation_source", "germline", "bio_material"),
    *("host", "host_body_site", "host_genotype", "host_phenotype", "host_sex", "host_status"),
    *("host_growth_conditions", "collection_date", "country", "project_name", "sample_material"),
    *("experimental_factor", "experimental_protocol", "extraction_protocol", "protocol_label"),
    *("sequencing_method", "rna_integrity_num", "rna_prep_3_protocol", "rna_prep_5_protocol"),
    *FILES,
)

_RUN = re.compile(r"[SED]RR[0-9]{5,12}\Z")
_LISTED_FILE = re.compile(r"(?:ftp://|https?://)?([A-Za-z0-9.-]+/[\x21-\x7e]+)\Z")


@dataclass(frozen=True)
class Fields:
    """The fields of runs to ask for, and those that ENA no longer offers."""

    asked: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ListedFile:
    """A file that a record lists, with the digest and size stated there."""

    url: str
    md5: str | None
    bytes: int | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.url.rpartition("/")[2]


def available_fields(web: Web, result: str = "read_run") -> frozenset[str]:
    """The names of the fields that ENA returns for a kind of record today.

    Raises
    ------
    SourceAnswerInvalid
        If the answer is not a list of fields.
    SourceUnavailable, SourceRefused
    """
    asked = {"dataPortal": "ena", "result": result, "format": "json"}
    try:
        rows = parse_rows(web.get(f"{PORTAL}/returnFields", asked), "columnId")
    except AccessionAbsent:
        rows = []
    if not rows:
        raise SourceAnswerInvalid(f"ENA lists no field of {result}.")
    return frozenset(row["columnId"] for row in rows)


def negotiate(available: Iterable[str]) -> Fields:
    """What of the wanted fields of a run can be asked for.

    Raises
    ------
    SourceAnswerInvalid
        If ENA no longer has a field without which a run cannot be judged.
    """
    offered = frozenset(available)
    lost = [name for name in INDISPENSABLE if name not in offered]
    if not offered.intersection(ONE_OF):
        lost.append(" or ".join(ONE_OF))
    if lost:
        raise SourceAnswerInvalid(f"ENA no longer offers the field {', '.join(lost)}.")
    wanted = (*INDISPENSABLE, *ONE_OF, *OPTIONAL)
    return Fields(
        asked=tuple(name for name in wanted if name in offered),
        missing=tuple(name for name in wanted if name not in offered),
    )


def fetch_runs(accession: str, web: Web, fields: Fields) -> list[Row]:
    """The runs of a study, project, experiment or run, sorted by accession.

    Raises
    ------
    AccessionAbsent
        ENA has no public run of it (yet).
    InvalidAccession
        It has more than `LARGEST_STUDY` runs: an umbrella project.
    SourceAnswerInvalid
        The answer is not a table of runs, or not as long as ENA itself says.
    SourceUnavailable, SourceRefused
    """
    expected = _count_runs(accession, web)
    if expected is not None and expected > LARGEST_STUDY:
        raise InvalidAccession(
            f"{accession} has {expected} runs, more than {LARGEST_STUDY}.",
            remedy="It may be an umbrella project: survey its studies one by one.",
        )
    asked = {
        "accession": accession,
        "result": "read_run",
        "fields": ",".join(fields.asked),
        "format": "json",
    }
    rows = parse_rows(web.get(f"{PORTAL}/filereport", asked), "run_accession")
    runs = {row["run_accession"]: row for row in rows}
    wrong = next((run for run in runs if not _RUN.match(run)), None)
    if wrong is not None:
        raise SourceAnswerInvalid(f"ENA calls {wrong[:40]!r} a run of {accession}.")
    if not runs:
        raise AccessionAbsent(f"ENA has no public run of {accession}.")
    if expected and len(rows) < expected:
        raise SourceAnswerInvalid(f"ENA gave {len(rows)} of the {expected} runs of {accession}.")
    return [runs[run] for run in sorted(runs)]


def fetch_study(study: str, web: Web) -> Row:
    """The record of a study; empty where the portal gives none: runs name their study too.

    Raises
    ------
    SourceAnswerInvalid, SourceUnavailable
    """
    asked = {
        "result": "study",
        "includeAccessions": study,
        "fields": "all",
        "format": "json",
        "limit": "10",
    }
    try:
        rows = parse_rows(web.get(SEARCH, asked), "study_accession")
    except (AccessionAbsent, SourceRefused):
        return {}
    return next((row for row in rows if study in (row.get(name) for name in ONE_OF)), {})


def fetch_pubmed_id(study: str, web: Web) -> str | None:
    """The first publication of a study: the lowest of the PubMed ids that ENA links to it.

    The links come in no promised order. None also where the service does not give a list:
    a publication is not worth losing an experiment.

    Raises
    ------
    SourceUnavailable
    """
    try:
        found = _json(web.get(XREF, {"accession": study, "source": "PubMed"}))
    except (AccessionAbsent, SourceRefused, SourceAnswerInvalid):
        return None
    links = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return lowest_pubmed_id(
        str(link.get(f"Source {place} Accession", ""))
        for link in links
        for place in ("Primary", "Secondary")
        if link.get("Source") in ("PubMed", "EuropePMC")
    )


def lowest_pubmed_id(ids: Iterable[str]) -> str | None:
    """The lowest of the texts that are PubMed ids."""
    numbers = [int(each) for each in ids if re.fullmatch("[1-9][0-9]{0,8}", each)]
    return str(min(numbers)) if numbers else None


def clean_text(value: object) -> str:
    """A value as trimmed text that can be stored: JSON may hold halves of characters."""
    return str(value).strip().encode("utf-8", "replace").decode("utf-8")


def parse_rows(body: bytes, key: str) -> list[Row]:
    """Read an answer of the portal, JSON or TSV; no row is a possible answer.

    Parameters
    ----------
    key
        The field that every row must have.

    Raises
    ------
    SourceAnswerInvalid
        An HTML page, a message, a cut table, a row without `key`.
    """
    text = _text(body)
    if not text:
        return []
    rows = _json_rows(body) if text[0] in "[{" else _tsv_rows(text, key)
    filled: list[Row] = [{name: value for name, value in row.items() if value} for row in rows]
    if not all(key in row for row in filled):
        raise SourceAnswerInvalid(f"ENA gave a record without {key}.")
    return filled


def listed_files(record: Row, kind: str) -> list[ListedFile]:
    """The files that a run lists as `fastq`, `submitted` or `sra`; https in place of no scheme.

    Raises
    ------
    SourceAnswerInvalid
        If digests or sizes don't belong to the names one by one.
    """
    names = _listed(record, f"{kind}_ftp")
    digests = _listed(record, f"{kind}_md5") or [""] * len(names)
    sizes = _listed(record, f"{kind}_bytes") or [""] * len(names)
    run = record.get("run_accession", "a run")
    if not len(names) == len(digests) == len(sizes):
        raise SourceAnswerInvalid(
            f"{run} lists {len(names)} {kind} files, {len(digests)} MD5 and {len(sizes)} sizes."
        )
    files = []
    for name, digest, size in zip(names, digests, sizes, strict=True):
        located = _LISTED_FILE.match(name)
        if not located or not re.fullmatch("(?i)([0-9a-f]{32})?", digest):
            raise SourceAnswerInvalid(f"{run} lists the file {name[:200]!r}, MD5 {digest[:40]!r}.")
        if not re.fullmatch("[0-9]{0,18}", size):
            raise SourceAnswerInvalid(f"{run} lists a file of {size[:40]!r} bytes.")
        url = f"https://{located[1]}"
        files.append(ListedFile(url, digest.lower() or None, int(size) if size else None))
    return files


def _listed(record: Row, name: str) -> list[str]:
    value = record.get(name, "").strip().strip(";")
    return [each.strip() for each in value.split(";")] if value else []


def _count_runs(accession: str, web: Web) -> int | None:
    """How many runs ENA says it has; None where it doesn't say."""
    asked = {"accession": accession, "result": "read_run"}
    try:
        body = web.get(f"{PORTAL}/filereportcount", asked)
    except (AccessionAbsent, SourceRefused):
        return None
    said = re.search(rb"(?<![0-9.])([0-9]{1,9})[\s\"}]*\Z", body)
    return int(said[1]) if said else None


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise SourceAnswerInvalid(f"ENA's answer is not UTF-8: {error}.") from error
    if text.startswith("<"):
        raise SourceAnswerInvalid(f"ENA answered with a page: {' '.join(text[:120].split())!r}.")
    return text


def _json(body: bytes) -> Any:
    text = _text(body)
    try:
        return json.loads(text) if text else []
    except (ValueError, RecursionError) as error:
        raise SourceAnswerInvalid(f"ENA's answer is not JSON: {error}.") from error


def _json_rows(body: bytes) -> list[dict[str, str]]:
    rows = _json(body)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceAnswerInvalid(f"ENA answered with no table: {body[:120]!r}.")
    return [
        {clean_text(name): clean_text(value) for name, value in row.items() if _is_scalar(value)}
        for row in rows
    ]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _tsv_rows(text: str, key: str) -> list[dict[str, str]]:
    lines = [line.rstrip("\r").split("\t") for line in text.split("\n") if line.strip()]
    header = lines[0]
    if key not in header:
        raise SourceAnswerInvalid(f"ENA's answer has no column {key}: {text[:120]!r}.")
    # `strip` took the empty cells at the end of the last line.
    lines[-1] += [""] * (len(header) - len(lines[-1]))
    cut = next((cells for cells in lines if len(cells) != len(header)), None)
    if cut is not None:
        raise SourceAnswerInvalid(
            f"ENA's table has a row of {len(cut)} cells under a header of {len(header)}."
        )
    return [dict(zip(header, map(str.strip, cells), strict=True)) for cells in lines[1:]]
