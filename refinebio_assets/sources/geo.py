"""GEO: a series and its samples, from the family SOFT file.

`survey` asks GEO, `parse_series` reads a document that is already here. What GEO's keys
mean, which files count as raw and why a sample won't be processed is decided here; a
CEL header may correct an array's platform later. Not here: fetching raw files, and the
tables of submitter-processed values (`refinebio_assets.sources.miniml`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

from refinebio_assets.errors import (
    AccessionAbsent,
    InvalidAccession,
    RefinebioError,
    SourceAnswerInvalid,
    SourceUnavailable,
    UnsupportedOrganism,
)
from refinebio_assets.metadata.harmonise import harmonise, split_characteristics, title_of
from refinebio_assets.metadata.organisms import organism_name
from refinebio_assets.metadata.platforms import (
    MICROARRAY,
    RNA_SEQ,
    Platform,
    platform_of_gpl,
)
from refinebio_assets.sources.records import (
    Attribute,
    Experiment,
    RawFile,
    Relation,
    Sample,
)
from refinebio_assets.sources.soft import Entity, Lines, Readable, read_soft
from refinebio_assets.sources.web import Web

ARCHIVE = "https://ftp.ncbi.nlm.nih.gov/geo"
QUERY = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi"
PUBMED = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/esummary.fcgi"

UNKNOWN = "UNKNOWN"
MOST_RECORDS = 500_000
MOST_METADATA = 1 << 30

REASONS = {
    "rnaseq_through_sra": "Its reads are processed through SRA, where they are archived.",
    "not_rna_seq": "It was sequenced, but not as RNA-seq.",
    "two_channel": "It is a two-channel array, which has no expression value of one sample.",
    "no_organism": "GEO does not name its organism.",
    "unsupported_platform": "Its platform is not supported.",
    "no_data": "GEO has neither a raw file nor a table of values of it.",
    "record_missing": "Its series names it, but the family file has no record of it.",
}
"""Why a sample of GEO won't be processed: reason code -> sentence."""

_KINDS = {"GSE": "series", "GSM": "samples", "GPL": "platforms"}
_ACCESSION = re.compile(r"(GSE|GSM|GPL)[1-9][0-9]{0,9}\Z")
_DATE = re.compile(r"([A-Z][a-z]{2}) (\d{1,2}),? (\d{4})\Z")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_NOT_NORMALIZED = (
    "_non_normalized.txt",
    "_non-normalized.txt",
    "-non-normalized.txt",
    "-non_normalized.txt",
)
_RAW = (".cel", *_NOT_NORMALIZED)
_NEVER_READ = (
    *("idat.gz", ".chp", "chp.gz", "ndf.gz", "pos.gz", "pair.gz", "gff.gz", "sdf.gz"),
    *("tif.gz", "locs.gz", "grn.xml.gz", "red.xml.gz"),
)
_CEL = (".cel", ".cel.gz")
_ACCESSORY = (".exp", ".exp.gz", ".xml", ".xml.gz")
_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".zip")
_HOST = re.compile(r"(?:ftp|https?)://ftp\.ncbi\.(?:nlm\.)?nih\.gov/+(.+)\Z", re.IGNORECASE)
_OLD_PATH = re.compile(
    r"(?:pub/geo/DATA/supplementary|file://)/(?:samples|series)/(?:[^/]+/)?"
    r"(G(?:SM|SE)[1-9][0-9]{0,9})/([^/]+)\Z"
)
_AS_IS = "/%:@!$&'()*+,;=~"
_SRA_EXPERIMENT = re.compile(r"[SED]RX[0-9]+")
_RELATIONS = {
    "superseries of": ("superseries_of", re.compile(r"GSE[0-9]+")),
    "subseries of": ("subseries_of", re.compile(r"GSE[0-9]+")),
    "sra": ("sra_study", re.compile(r"[SED]RP[0-9]+")),
    "bioproject": ("bioproject", re.compile(r"PRJ[A-Z]{2}[0-9]+")),
}
_PROTOCOLS = {
    "Extraction protocol": "extract_protocol_ch1",
    "Label protocol": "label_protocol_ch1",
    "Hybridization protocol": "hyb_protocol",
    "Scan protocol": "scan_protocol",
    "Data processing": "data_processing",
}


# --- names and places -----------------------------------------------------------------


def geo_accession(name: str, *kinds: str) -> str:
    """The accession, upper case.

    Raises
    ------
    InvalidAccession
        For anything but GSE, GSM or GPL (or those `kinds` alone) and a number.
    """
    accession = name.strip().upper()
    found = _ACCESSION.match(accession)
    if not found or found[1] not in (kinds or _KINDS):
        wanted = ", ".join(kinds or _KINDS)
        raise InvalidAccession(
            f"{name[:80]!r} is not an accession of GEO.", remedy=f"Write {wanted} and a number."
        )
    return accession


def folder_url(accession: str) -> str:
    """The folder of a series, sample or platform in GEO's archive, without a final slash."""
    accession = geo_accession(accession)
    shelf = re.sub(r"[0-9]{1,3}\Z", "nnn", accession)
    return f"{ARCHIVE}/{_KINDS[accession[:3]]}/{shelf}/{accession}"


def family_url(series: str) -> str:
    """The family SOFT file of a series: the records of all its samples and platforms."""
    series = geo_accession(series, "GSE")
    return f"{folder_url(series)}/soft/{series}_family.soft.gz"


def miniml_url(series: str) -> str:
    """The MINiML family archive of a series, which holds the tables of its samples."""
    series = geo_accession(series, "GSE")
    return f"{folder_url(series)}/miniml/{series}_family.xml.tgz"


def record_url(accession: str) -> str:
    """The page of a record, for people."""
    return f"{QUERY}?acc={geo_accession(accession)}"


# --- asking GEO -----------------------------------------------------------------------


def survey(accession: str, web: Web) -> Experiment:
    """A series, or the series of a sample, with everything that GEO says of it.

    Raises
    ------
    InvalidAccession
        Neither GSE nor GSM and a number.
    AccessionAbsent
        GEO has no such public record, or the sample belongs to no series.
    SourceUnavailable
        GEO is down, or has not written the family file of a public series yet.
    SourceRefused, SourceAnswerInvalid
        As `Web.get` and `parse_series` say.
    """
    named = geo_accession(accession, "GSE", "GSM")
    series = named if named.startswith("GSE") else series_of(named, web)
    try:
        with web.open(family_url(series)) as body:
            hashed = _Hashed(body)
            records = _records(hashed)
    except AccessionAbsent:
        brief(series, web)  # says so itself where there is no such record
        raise SourceUnavailable(
            f"{series} is public, but its family file is not there.",
            remedy="Try again tomorrow: GEO writes it after the release.",
        ) from None
    experiment = _experiment(records, hashed.digest())
    if experiment.experiment != series:
        raise SourceAnswerInvalid(f"GEO gave {experiment.experiment} for {series}.")
    if experiment.pubmed_id:
        found = publication(experiment.pubmed_id, web)
        experiment = replace(
            experiment,
            publication_title=found.title,
            publication_doi=found.doi,
            publication_authors=found.authors,
        )
    return experiment


def brief(accession: str, web: Web) -> Entity:
    """The record itself, without its table and what belongs to it.

    Raises
    ------
    AccessionAbsent, SourceUnavailable, SourceRefused, SourceAnswerInvalid
    """
    accession = geo_accession(accession)
    asked = {"acc": accession, "targ": "self", "form": "text", "view": "brief"}
    for entity in read_soft(web.get(QUERY, asked).split(b"\n")):
        if entity.name == accession:
            return entity
    raise SourceAnswerInvalid(f"GEO's answer for {accession} holds other records only.")


def series_of(sample: str, web: Web) -> str:
    """The first series that a sample names; a super-series comes after its parts.

    Raises
    ------
    AccessionAbsent, SourceUnavailable, SourceRefused, SourceAnswerInvalid
    """
    for series in brief(geo_accession(sample, "GSM"), web).values("series_id"):
        with suppress(InvalidAccession):
            return geo_accession(series, "GSE")
    raise AccessionAbsent(f"{sample} belongs to no series.")


@dataclass(frozen=True)
class Publication:
    """What PubMed says of a publication."""

    title: str | None = None
    doi: str | None = None
    authors: tuple[str, ...] = ()


def publication(pubmed_id: str, web: Web) -> Publication:
    """Title, DOI and authors from NCBI's esummary; nothing where PubMed does not answer."""
    try:
        answer = web.get(PUBMED, {"db": "pubmed", "id": pubmed_id, "retmode": "json"})
        found: dict[str, Any] = json.loads(answer)["result"][pubmed_id]
        dois = [each["value"] for each in found.get("articleids", ()) if each["idtype"] == "doi"]
        authors = tuple(str(each["name"]) for each in found.get("authors", ()))
        return Publication(str(found["title"]) or None, str(dois[0]) if dois else None, authors)
    except (RefinebioError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Publication()


class _Hashed:
    """A stream that is hashed while it is read."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._sha256 = stream, hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._sha256.update(data)
        return data

    def digest(self) -> str:
        return self._sha256.hexdigest()


# --- the series -----------------------------------------------------------------------


def parse_series(soft: Readable | Lines, sha256: str) -> Experiment:
    """A series from its family SOFT document, plain or gzip; publications have their id alone.

    Parameters
    ----------
    soft
        An open file, or the lines.
    sha256
        Of the document, for the record.

    Raises
    ------
    AccessionAbsent, SourceUnavailable, SourceAnswerInvalid
        As `read_soft` says; SourceAnswerInvalid also if there is not exactly one series, or
        not one of its samples.
    """
    return _experiment(_records(soft), sha256)


@dataclass(frozen=True)
class _Records:
    series: Entity
    platforms: Mapping[str, Entity]
    samples: Mapping[str, Entity]


def _records(document: Readable | Lines) -> _Records:
    found: dict[str, dict[str, Entity]] = {"SERIES": {}, "PLATFORM": {}, "SAMPLE": {}}
    size = 0
    for number, entity in enumerate(read_soft(document)):
        size += sum(len(value) for _, value in entity.attributes)
        if number >= MOST_RECORDS or size > MOST_METADATA:
            raise SourceAnswerInvalid("The SOFT text is larger than any series of GEO.")
        if entity.kind in found:
            found[entity.kind].setdefault(entity.name, entity)
    if len(found["SERIES"]) != 1:
        raise SourceAnswerInvalid(f"The SOFT text has {len(found['SERIES'])} series, not one.")
    (series,) = found["SERIES"].values()
    return _Records(series, found["PLATFORM"], found["SAMPLE"])


def _experiment(records: _Records, sha256: str) -> Experiment:
    series = records.series
    try:
        accession = geo_accession(series.name, "GSE")
        listed = [geo_accession(name, "GSM") for name in series.values("sample_id")]
        names = list(dict.fromkeys([*listed, *(geo_accession(n, "GSM") for n in records.samples)]))
    except InvalidAccession as error:
        raise SourceAnswerInvalid(f"The SOFT text of {series.name[:40]!r}: {error}") from error
    if listed and not records.samples:
        raise SourceAnswerInvalid(f"The SOFT text of {accession} has none of its samples.")
    samples = _Samples(accession, series, records.platforms)
    pubmed_id = series.first("pubmed_id") or ""
    return Experiment(
        experiment=accession,
        source_database="GEO",
        source_url=record_url(accession),
        source_sha256=sha256,
        alternate_accession=f"E-GEOD-{accession[3:]}",
        title=series.first("title"),
        description=series.first("summary"),
        submitter_institution=", ".join(dict.fromkeys(series.values("contact_institute"))) or None,
        pubmed_id=pubmed_id if re.fullmatch(r"[0-9]{1,10}", pubmed_id) else None,
        source_first_published=_date(series.first("submission_date")),
        source_last_modified=_date(series.first("last_update_date")),
        relations=_relations(series),
        samples=tuple(samples.sample(name, records.samples.get(name)) for name in names),
    )


def _date(text: str | None) -> datetime | None:
    """'Jan 28 2009', midnight UTC; none for anything else."""
    found = _DATE.match(text or "")
    if not found or found[1] not in _MONTHS:
        return None
    try:
        return datetime(int(found[3]), _MONTHS.index(found[1]) + 1, int(found[2]), tzinfo=UTC)
    except ValueError:
        return None


def _relations(series: Entity) -> tuple[Relation, ...]:
    found = []
    for name, (relation, pattern) in _RELATIONS.items():
        for text in _relations_to(series, name):
            target = pattern.search(text)
            if target:
                found.append(Relation(relation, target[0]))
    return tuple(dict.fromkeys(found))


def _relations_to(entity: Entity, name: str) -> list[str]:
    """The targets of the relations of one name: 'SRA: https://…' -> 'https://…'."""
    split = (text.partition(":") for text in entity.values("relation"))
    return [target.strip() for kind, _, target in split if kind.strip().lower() == name]


# --- its samples ----------------------------------------------------------------------


class _Samples:
    """Turns the records of one series into samples."""

    def __init__(self, series: str, entity: Entity, platforms: Mapping[str, Entity]) -> None:
        self._platforms = platforms
        self._platform = cache(self._look_up)
        studies = [each.target for each in _relations(entity) if each.relation == "sra_study"]
        self._study = next(iter(studies), None)
        self._shared = [file for file in _files(entity) if _contains(file, *_NOT_NORMALIZED)]
        self._tables = RawFile(
            f"{series}_family.xml.tgz", miniml_url(series), is_raw=False, is_archive=True
        )

    def _look_up(self, gpl: str | None) -> Platform:
        entity = self._platforms.get(gpl or "")
        return platform_of_gpl(gpl, entity.first("title") if entity else None)

    def sample(self, name: str, entity: Entity | None) -> Sample:
        if entity is None:
            skipped = Entity("SAMPLE", name), UNKNOWN, _skip("record_missing")
            return self._described(*skipped, Platform(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN), [])
        platform = self._platform(entity.first("platform_id"))
        files = _readable(_files(entity), platform.manufacturer)
        has_cel = any(file.filename.lower().endswith(_CEL) for file in files)
        if has_cel:
            platform = replace(platform, technology=MICROARRAY, manufacturer="AFFYMETRIX")
        if platform.technology == RNA_SEQ:
            return self._sequenced(entity, platform)
        files += self._shared
        has_raw = any(not file.filename.lower().endswith(_ACCESSORY) for file in files) and (
            not entity.values("data_processing")
            or has_cel
            or any(_contains(file, *_RAW) for file in files)
        )
        organism = _organism(entity)
        reason = None
        if _is_two_channel(entity):
            reason = _skip("two_channel")
        elif organism == UNKNOWN:
            reason = _skip("no_organism", entity.first("organism_ch1"))
        elif not has_cel and UNKNOWN in (platform.platform, platform.technology):
            reason = _skip("unsupported_platform", platform.platform)
        elif not has_raw and _has_table(entity):
            files.append(self._tables)
        elif not files:
            reason = _skip("no_data")
        files = [replace(file, is_raw=has_raw) for file in files]
        return self._described(entity, organism, reason, platform, files, has_raw)

    def _sequenced(self, entity: Entity, platform: Platform) -> Sample:
        """Its raw data are in SRA: the files at GEO are not listed."""
        organism = _organism(entity)
        strategies = entity.values("library_strategy")
        link = _SRA_EXPERIMENT.search(" ".join(_relations_to(entity, "sra")))
        if strategies and "RNA-Seq" not in strategies:
            reason = _skip("not_rna_seq", ", ".join(strategies))
        else:
            links = [link[0] if link else None, self._study]
            reason = _skip("rnaseq_through_sra", " of ".join(filter(None, links)) or "no link")
        has_raw = not entity.values("data_processing")
        return self._described(entity, organism, reason, platform, [], has_raw)

    def _described(
        self,
        entity: Entity,
        organism: str,
        reason: tuple[str, str] | None,
        platform: Platform,
        files: list[RawFile],
        has_raw: bool = False,
    ) -> Sample:
        pairs = _pairs(entity)
        return Sample(
            sample=entity.name,
            organism=organism,
            technology=platform.technology,
            source_database="GEO",
            title=title_of(pairs) or entity.first("title"),
            source_archive_url=record_url(entity.name),
            has_raw=has_raw,
            platform=platform.platform,
            platform_name=platform.platform_name,
            manufacturer=platform.manufacturer,
            protocol_info=_protocols(entity),
            harmonised=harmonise(pairs),
            attributes=tuple(_attributes(entity)),
            files=tuple(dict.fromkeys(files)),
            skip_reason=reason,
        )


def _skip(code: str, detail: str | None = None) -> tuple[str, str]:
    return code, f"{REASONS[code]} ({detail})" if detail else REASONS[code]


def _organism(entity: Entity) -> str:
    """That of the first channel; the others are of no account."""
    try:
        return organism_name(entity.first("organism_ch1") or "")
    except UnsupportedOrganism:
        return UNKNOWN


def _is_two_channel(entity: Entity) -> bool:
    count = entity.first("channel_count") or ""
    if count.isdecimal():
        return int(count[:9]) > 1
    return any(entity.values(f"{key}_ch2") for key in ("source_name", "organism", "label"))


def _has_table(entity: Entity) -> bool:
    return entity.rows > 0 or (entity.first("data_row_count") or "0") not in ("0", "")


def _protocols(entity: Entity) -> str:
    found: dict[str, Any] = {
        name: entity.values(key) for name, key in _PROTOCOLS.items() if entity.values(key)
    }
    return json.dumps({**found, "Reference": record_url(entity.name)}, ensure_ascii=False)


def _attributes(entity: Entity) -> Iterator[Attribute]:
    """Every key and value in order; characteristics are split at their first colon."""
    for key, value in entity.attributes:
        name, colon, said = value.partition(":")
        if key == "characteristics_ch1" and colon and name.strip():
            yield Attribute(name.strip(), said.strip())
        else:
            yield Attribute(key, value)
    for column in entity.columns:
        yield Attribute("geo_columns", column)


def _pairs(entity: Entity) -> list[tuple[str, str]]:
    """What the harmoniser is given: characteristics, then each other key once."""
    joined: dict[str, list[str]] = {}
    for key, value in entity.attributes:
        if key != "characteristics_ch1" and value:
            joined.setdefault(key, []).append(value)
    return [
        *split_characteristics(entity.values("characteristics_ch1")),
        *((key, " ".join(values)) for key, values in joined.items()),
    ]


# --- its files ------------------------------------------------------------------------


def _files(entity: Entity) -> list[RawFile]:
    """The files that GEO keeps of a record, up to the word NONE."""
    found = []
    for key, text in entity.attributes:
        if key != "supplementary_file" and not key.startswith("supplementary_file_"):
            continue
        if text.upper() == "NONE":
            break
        file = _file(text)
        if file:
            found.append(file)
    return found


def _file(text: str) -> RawFile | None:
    """A file of GEO's archive; what lies elsewhere or has no safe name is left out.

    Old records have FTP addresses of a former tree, or none but a path: both are at the
    archive's present place.
    """
    hosted = _HOST.match(text)
    moved = _OLD_PATH.match(hosted[1] if hosted else text)
    if not hosted and not moved:
        return None
    path = hosted[1] if hosted else ""
    filename = unquote(path.rpartition("/")[2] if not moved else moved[2])
    if filename in ("", ".", "..") or "/" in filename or not filename.isprintable():
        return None
    if moved:
        url = f"{folder_url(moved[1])}/suppl/{quote(moved[2], safe=_AS_IS)}"
    else:
        url = f"https://ftp.ncbi.nlm.nih.gov/{quote(path, safe=_AS_IS)}"
    return RawFile(filename, url, is_archive=filename.lower().endswith(_ARCHIVES))


def _readable(files: list[RawFile], manufacturer: str) -> list[RawFile]:
    never = (*_NEVER_READ, "csv.gz") if manufacturer == "ILLUMINA" else _NEVER_READ
    return [file for file in files if not _contains(file, *never)]


def _contains(file: RawFile, *parts: str) -> bool:
    return any(part in file.filename.lower() for part in parts)
