"""SRA's own documents, read into the same records as ENA's portal gives.

`read_sra_xml` reads the XML of NCBI (EXPERIMENT_PACKAGE_SET) and of ENA's browser
(STUDY_SET, SAMPLE_SET, EXPERIMENT_SET, RUN_SET); `read_runinfo` reads NCBI's run table;
`fetch_from_ncbi` is the way to a study that ENA does not have (yet). XML is read without
entities, within bounds. Elements are looked for, never taken for granted: RUN_SET may
lack RUN, an attribute its VALUE, a file its url.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from refinebio_assets.errors import AccessionAbsent, SourceAnswerInvalid, SourceUnavailable
from refinebio_assets.sources.ena import LARGEST_STUDY, Row
from refinebio_assets.sources.web import Web

EUTILS = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
PAGE = 500
LARGEST_DOCUMENT = 512 << 20
DEEPEST = 64

SRA_URL, SRA_MD5, SRA_BYTES = "ncbi_sra_url", "ncbi_sra_md5", "ncbi_sra_bytes"
"""Fields that ENA's records don't have: the run's .sra object as NCBI offers it."""

_SETS = ("EXPERIMENT_PACKAGE_SET", "STUDY_SET", "SAMPLE_SET", "EXPERIMENT_SET", "RUN_SET")
_RECORDS = ("STUDY", "SAMPLE", "EXPERIMENT")
_ENA_TAGS = {
    "ENA-SPOT-COUNT": "read_count",
    "ENA-BASE-COUNT": "base_count",
    "ENA-FIRST-PUBLIC": "first_public",
    "ENA-LAST-UPDATE": "last_updated",
}
_RUNINFO = {
    "Run": "run_accession",
    "ReleaseDate": "first_public",
    "spots": "read_count",
    "bases": "base_count",
    "Experiment": "experiment_accession",
    "LibraryName": "library_name",
    "LibraryStrategy": "library_strategy",
    "LibrarySelection": "library_selection",
    "LibrarySource": "library_source",
    "LibraryLayout": "library_layout",
    "Platform": "instrument_platform",
    "Model": "instrument_model",
    "SRAStudy": "secondary_study_accession",
    "BioProject": "study_accession",
    "Sample": "secondary_sample_accession",
    "BioSample": "sample_accession",
    "TaxID": "tax_id",
    "ScientificName": "scientific_name",
    "SampleName": "sample_alias",
    "CenterName": "center_name",
    "Submission": "submission_accession",
    "dbgap_study_accession": "dbgap_study_accession",
}


@dataclass(frozen=True)
class SraRecords:
    """What documents hold, with ENA's names of fields.

    `without_run` names the experiments that no run of the documents belongs to.
    """

    runs: tuple[Row, ...]
    studies: Mapping[str, Row]
    without_run: tuple[str, ...]


def fetch_from_ncbi(accession: str, web: Web) -> SraRecords:
    """All that NCBI's SRA has of a study, project, experiment or run.

    Raises
    ------
    AccessionAbsent
        SRA knows no public record of it.
    SourceAnswerInvalid
        The answer is no SRA document, of another record, or not whole.
    SourceUnavailable, SourceRefused
    """
    tag = "BioProject" if accession.startswith("PRJ") else "Accession"
    found = _search(f"{accession}[{tag}]", web)
    if found.count > LARGEST_STUDY:
        raise SourceAnswerInvalid(f"SRA finds {found.count} experiments for {accession}.")
    pages = [
        web.get(f"{EUTILS}/efetch.fcgi", {**found.token, "retstart": str(start)})
        for start in range(0, found.count, PAGE)
    ]
    records = read_sra_xml(*pages)
    given = len({run.get("experiment_accession") for run in records.runs}) + len(
        records.without_run
    )
    if given < found.count:
        raise SourceAnswerInvalid(f"SRA gave {given} of {found.count} experiments of {accession}.")
    # A search field that NCBI does not know is dropped, and finds what merely mentions the name.
    runs = tuple(run for run in records.runs if accession in run.values())
    if not runs:
        raise AccessionAbsent(f"SRA has no run of {accession}.")
    return SraRecords(runs, records.studies, records.without_run)


def read_sra_xml(*documents: bytes) -> SraRecords:
    """Join the runs of all documents with their experiments, samples and studies.

    Attributes of samples get the keys that BioSamples gives them
    (`characteristics_<tag>_<n>_text`), so that a record reads the same from either place.

    Raises
    ------
    SourceAnswerInvalid
        A document that is not well formed, declares entities, is too large or no SRA set.
    """
    packages: list[Element] = []
    for document in documents:
        root = parse_xml(document)
        if root.tag not in _SETS:
            raise SourceAnswerInvalid(f"A document <{root.tag[:40]}> is no SRA record.")
        packages += root.findall("EXPERIMENT_PACKAGE") if root.tag == _SETS[0] else [root]
    known = {
        (kind, _accession(element)): element
        for package in packages
        for kind in _RECORDS
        for element in package.iter(kind)
    }
    runs: dict[str, Row] = {}
    with_run = set()
    for package in packages:
        for run in package.iter("RUN"):
            experiment = _referred(run, "EXPERIMENT_REF", "EXPERIMENT", package, known)
            if experiment is not None:
                with_run.add(_accession(experiment))
            if _accession(run):
                runs[_accession(run)] = _run_record(run, experiment, package, known)
    return SraRecords(
        runs=tuple(runs[name] for name in sorted(runs)),
        studies={
            name: _study_record(element)
            for (kind, name), element in sorted(known.items(), key=lambda item: item[0])
            if kind == "STUDY" and name
        },
        without_run=tuple(
            sorted(n for kind, n in known if kind == "EXPERIMENT" and n and n not in with_run)
        ),
    )


def read_runinfo(body: bytes) -> list[Row]:
    """The runs of NCBI's run table (CSV); blank and repeated header lines are passed over.

    Raises
    ------
    SourceAnswerInvalid
        If it has no column Run, or a row is cut.
    """
    try:
        text = body.decode("utf-8-sig")
        table = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceAnswerInvalid(f"The run table is not CSV: {error}.") from error
    if not table:
        return []
    header = table[0]
    if "Run" not in header:
        raise SourceAnswerInvalid(f"The run table has no column Run: {text[:120]!r}.")
    runs: dict[str, Row] = {}
    for row in table:
        if row == header:
            continue
        if len(row) != len(header):
            raise SourceAnswerInvalid(f"The run table has {len(row)} cells for {len(header)}.")
        record = _runinfo_record(dict(zip(header, row, strict=True)))
        runs[record["run_accession"]] = record
    return [runs[name] for name in sorted(runs)]


def parse_xml(document: bytes) -> Element:
    """Read XML that may come from anybody: no entities, no outside references, bounded depth.

    Raises
    ------
    SourceAnswerInvalid
    """
    if len(document) > LARGEST_DOCUMENT:
        raise SourceAnswerInvalid(f"An XML document of {len(document)} bytes is too large.")
    builder = TreeBuilder()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise SourceAnswerInvalid(f"An XML document is more than {DEEPEST} elements deep.")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise SourceAnswerInvalid("An XML document declares entities.")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    parser.UnparsedEntityDeclHandler = refuse
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise SourceAnswerInvalid(f"A document is not well-formed XML: {error}.") from error
    return builder.close()


@dataclass(frozen=True)
class _Found:
    count: int
    token: Mapping[str, str]


def _search(term: str, web: Web) -> _Found:
    """Park a search's result at NCBI; the token is good for hours."""
    asked = {"db": "sra", "term": term, "retmax": "0", "usehistory": "y", "retmode": "json"}
    body = web.get(f"{EUTILS}/esearch.fcgi", asked)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceAnswerInvalid(f"NCBI's search gave no JSON: {error}.") from error
    result: Any = answer.get("esearchresult") if isinstance(answer, dict) else None
    if not isinstance(result, dict) or "ERROR" in result:
        raise SourceUnavailable(f"NCBI's search failed: {body[:200]!r}.")
    count = str(result.get("count", ""))
    if not re.fullmatch("[0-9]{1,9}", count):
        raise SourceAnswerInvalid(f"NCBI's search gave no count: {body[:200]!r}.")
    if int(count) == 0:
        raise AccessionAbsent(f"SRA finds nothing for {term}.")
    token = {
        "db": "sra",
        "WebEnv": str(result.get("webenv", "")),
        "query_key": str(result.get("querykey", "")),
        "rettype": "full",
        "retmode": "xml",
        "retmax": str(PAGE),
    }
    if not (token["WebEnv"] and token["query_key"]):
        raise SourceAnswerInvalid("NCBI's search parked no result.")
    return _Found(int(count), token)


_Known = Mapping[tuple[str, str], Element]


def _referred(
    element: Element | None, reference: str, kind: str, package: Element, known: _Known
) -> Element | None:
    """The record that `element` refers to; failing that, the only one of its package."""
    named = element.find(f".//{reference}") if element is not None else None
    found = known.get((kind, _accession(named))) if named is not None else None
    if found is None and package.tag == "EXPERIMENT_PACKAGE":
        within = list(package.iter(kind))
        found = within[0] if len(within) == 1 else None
    return found


def _run_record(
    run: Element, experiment: Element | None, package: Element, known: _Known
) -> dict[str, str]:
    study = _referred(experiment, "STUDY_REF", "STUDY", package, known)
    sample = _referred(experiment, "SAMPLE_DESCRIPTOR", "SAMPLE", package, known)
    record = {
        "run_accession": _accession(run),
        "run_alias": run.get("alias", ""),
        "submission_accession": _accession(package.find("SUBMISSION")),
        "read_count": run.get("total_spots", ""),
        "base_count": run.get("total_bases", ""),
        "first_public": run.get("published", ""),
        "status": "private" if run.get("is_public") == "false" else "",
        **_of_experiment(experiment),
        **_of_sample(sample, package, run),
        **_of_file(run),
    }
    if study is not None:
        described = _study_record(study)
        names = ("secondary_study_accession", "study_accession", "study_title", "study_alias")
        record |= {name: described.get(name, "") for name in names}
    for tag, value in (*_attributes(experiment), *_attributes(run)):
        record.setdefault(tag, value)
        if tag in _ENA_TAGS and tag.startswith("ENA-"):
            record[_ENA_TAGS[tag]] = record.get(_ENA_TAGS[tag]) or value
            del record[tag]
    return {name: value for name, value in record.items() if value}


def _of_experiment(experiment: Element | None) -> dict[str, str]:
    if experiment is None:
        return {}
    layout = experiment.find(".//LIBRARY_LAYOUT/*")
    platform = experiment.find("PLATFORM/*")
    return {
        "experiment_accession": _accession(experiment),
        "experiment_alias": experiment.get("alias", ""),
        "experiment_title": _text(experiment, "TITLE"),
        "center_name": experiment.get("center_name", ""),
        "secondary_study_accession": _accession(experiment.find("STUDY_REF")),
        "library_name": _text(experiment, ".//LIBRARY_NAME"),
        "library_strategy": _text(experiment, ".//LIBRARY_STRATEGY"),
        "library_source": _text(experiment, ".//LIBRARY_SOURCE"),
        "library_selection": _text(experiment, ".//LIBRARY_SELECTION"),
        "library_layout": layout.tag if layout is not None else "",
        "nominal_length": layout.get("NOMINAL_LENGTH", "") if layout is not None else "",
        "library_construction_protocol": _text(experiment, ".//LIBRARY_CONSTRUCTION_PROTOCOL"),
        "instrument_platform": platform.tag if platform is not None else "",
        "instrument_model": _text(experiment, "PLATFORM//INSTRUMENT_MODEL"),
    }


def _of_sample(sample: Element | None, package: Element, run: Element) -> dict[str, str]:
    if sample is None:
        # A pool of several samples: only what all its members share.
        members = [*run.iter("Member")] or [*package.iter("Member")]
        organisms = {member.get("organism", "") for member in members}
        return {"scientific_name": organisms.pop()} if len(organisms) == 1 else {}
    record = {
        "secondary_sample_accession": _accession(sample),
        "sample_accession": _external(sample, "BioSample"),
        "sample_alias": sample.get("alias", ""),
        "sample_title": _text(sample, "TITLE"),
        "sample_description": _text(sample, "DESCRIPTION"),
        "tax_id": _text(sample, "SAMPLE_NAME/TAXON_ID"),
        "scientific_name": _text(sample, "SAMPLE_NAME/SCIENTIFIC_NAME"),
    }
    times: Counter[str] = Counter()
    for tag, value in _attributes(sample):
        if tag not in _ENA_TAGS:
            key = "_".join(tag.split())
            record[f"characteristics_{key}_{times[key]}_text"] = value
            times[key] += 1
    return record


def _of_file(run: Element) -> dict[str, str]:
    """The run's own .sra object, where anybody may fetch it, with its MD5 and size.

    One with the qualities in full goes before SRA Lite, open data before other servers.
    """
    places = [
        (".lite" in url, "-odp." not in url, url, file)
        for file in run.iter("SRAFile")
        if file.get("supertype") == "Primary ETL"
        for url in _anonymous_urls(file)
    ]
    if not places:
        return {}
    *_, url, file = min(places, key=lambda place: place[:3])
    return {SRA_URL: url, SRA_MD5: file.get("md5", ""), SRA_BYTES: file.get("size", "")}


def _anonymous_urls(file: Element) -> list[str]:
    alternatives = file.iter("Alternatives")
    anonymous = (each for each in alternatives if each.get("access_type") == "anonymous")
    urls = (each.get("url", "") for each in (file, *anonymous))
    return [url for url in urls if _is_public(url)]


def _is_public(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.netloc) and url.isascii() and url.isprintable()


def _study_record(study: Element) -> dict[str, str]:
    described = (_text(study, f"DESCRIPTOR/STUDY_{each}") for each in ("ABSTRACT", "DESCRIPTION"))
    pubmed = (
        _text(link, "ID")
        for link in study.iter("XREF_LINK")
        if _text(link, "DB").lower() == "pubmed"
    )
    record = {
        "secondary_study_accession": _accession(study),
        "study_accession": _external(study, "BioProject"),
        "study_title": _text(study, "DESCRIPTOR/STUDY_TITLE"),
        "study_description": next(filter(None, described), ""),
        "study_alias": study.get("alias", ""),
        "center_name": study.get("center_name", ""),
        "geo_accession": _external(study, "GEO"),
        "pubmed_id": ";".join(filter(None, pubmed)),
    }
    record |= {_ENA_TAGS.get(tag, tag): value for tag, value in _attributes(study)}
    return {name: value for name, value in record.items() if value}


def _runinfo_record(row: Mapping[str, str]) -> dict[str, str]:
    record = {ours: row.get(theirs, "").strip() for theirs, ours in _RUNINFO.items()}
    if not re.fullmatch("[SED]RR[0-9]{5,12}", record["run_accession"]):
        raise SourceAnswerInvalid(f"The run table has a run {record['run_accession'][:80]!r}.")
    if not record["study_accession"].startswith("PRJ"):
        del record["study_accession"]  # older tables hold GEO's accession there
    return {name: value for name, value in record.items() if value}


def _attributes(element: Element | None) -> Iterator[tuple[str, str]]:
    if element is None:
        return
    for attribute in element.findall(f"{element.tag}_ATTRIBUTES/{element.tag}_ATTRIBUTE"):
        tag, value = _text(attribute, "TAG"), _text(attribute, "VALUE")
        if tag and value:
            yield tag, value


def _accession(element: Element | None) -> str:
    if element is None:
        return ""
    return element.get("accession", "").strip() or _text(element, "IDENTIFIERS/PRIMARY_ID")


def _external(element: Element, namespace: str) -> str:
    named = element.findall("IDENTIFIERS/EXTERNAL_ID")
    return next((_text(each) for each in named if each.get("namespace") == namespace), "")


def _text(element: Element, path: str = ".") -> str:
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""
