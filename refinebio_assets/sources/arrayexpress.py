"""ArrayExpress: experiments described by MAGE-TAB, kept at BioStudies.

A sample is a source measured by an assay, and so one row or several of the SDRF. Its
accession is `<experiment>-<name>`, the name being the assay's or the source's. Every row
becomes a sample or part of one: those that can't be processed carry a reason. Not here:
discovering new experiments (see `biostudies.search`), and what a CEL file's header says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from refinebio_assets.errors import (
    AccessionAbsent,
    SourceAnswerInvalid,
    UnsupportedOrganism,
)
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.metadata.harmonise import harmonise, title_of
from refinebio_assets.metadata.organisms import organism_name
from refinebio_assets.metadata.platforms import (
    MICROARRAY,
    RNA_SEQ,
    UNKNOWN,
    find_array,
    manufacturer_of,
)
from refinebio_assets.sources import biostudies
from refinebio_assets.sources.biostudies import Info, Study
from refinebio_assets.sources.mage_tab import Idf, Row, Sdrf, Value, parse_idf, parse_sdrf
from refinebio_assets.sources.records import (
    Attribute,
    Experiment,
    RawFile,
    Relation,
    Sample,
)
from refinebio_assets.sources.web import Web

SOURCE = "ARRAY_EXPRESS"
MOST_SDRF_FILES = 20
LONGEST_INSTITUTION = 255

REASONS = {
    "rnaseq_through_sra": "Its reads are processed through SRA, where they are archived.",
    "not_rna_seq": "It was sequenced, but not as RNA-seq.",
    "two_channel": "It is a two-channel array, which has no expression value of one sample.",
    "no_organism": "ArrayExpress does not name its organism.",
    "unsupported_platform": "Its platform is not supported.",
    "no_data": "ArrayExpress has neither a raw nor a processed file of it.",
    "malformed_row": "Its row of the SDRF has another number of cells than the heading.",
}
"""Why a sample of ArrayExpress won't be processed: reason code -> sentence."""

_ACCESSION = re.compile(r"E-[A-Z0-9]{2,10}-[0-9]{1,10}\Z")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._-]+|\.{2,}")
_RUN = re.compile(r"\b[SED]RR[0-9]{5,}\b")
_RELATIONS = (
    ("sra_study", re.compile(r"[SED]RP[0-9]+\Z")),
    ("bioproject", re.compile(r"PRJ[A-Z]{2}[0-9]+\Z")),
    ("same_as", re.compile(r"GSE[0-9]+\Z")),
)
_ASSAYS = ("assay name", "hybridization name", "hybridisation name")
_RAW_FILES = ("array data file", "array data matrix file")
_DERIVED_FILES = ("derived array data file", "derived array data matrix file")
_CEL = (".cel", ".cel.gz")
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
_FETCHED = ("https://", "http://", "ftp://")  # never a path of this machine
_LONGEST_NAME = 100


def survey(accession: str, web: Web) -> Experiment:
    """Read an experiment and its samples.

    Raises
    ------
    AccessionAbsent
        If there is no such public experiment, or it's no accession of ArrayExpress.
    SourceAnswerInvalid
        If BioStudies has the study without readable MAGE-TAB, or answers anything else.
    SourceRefused, SourceUnavailable
    """
    experiment = accession.strip().upper()
    if not _ACCESSION.match(experiment):
        raise AccessionAbsent(f"{accession[:100]!r} is no accession of ArrayExpress.")
    info = biostudies.fetch_info(experiment, web)
    study = biostudies.fetch_study(experiment, web)
    idf_content = _file(f"{experiment}.idf.txt", info, web)
    idf = parse_idf(idf_content)
    names = idf.texts("sdrf file") or [f"{experiment}.sdrf.txt"]
    if len(names) > MOST_SDRF_FILES:
        raise SourceAnswerInvalid(f"{experiment} names {len(names)} SDRF files.")
    sdrf_contents = [_file(name, info, web) for name in names]
    digest = hashlib.sha256(b"".join([idf_content, *sdrf_contents])).hexdigest()
    sdrfs = [parse_sdrf(content) for content in sdrf_contents]
    return describe(experiment, idf, sdrfs, study, info, sha256=digest)


def describe(
    experiment: str, idf: Idf, sdrfs: Sequence[Sdrf], study: Study, info: Info, *, sha256: str
) -> Experiment:
    """The records of an experiment whose documents have been read.

    Raises
    ------
    SourceAnswerInvalid
        If the SDRF names no sample.
    """
    protocols = _protocols(idf, study, experiment)
    reader = _Reader(experiment, study, info, protocols)
    samples = reader.samples(sdrfs)
    if not samples:
        raise SourceAnswerInvalid(f"The SDRF of {experiment} has no rows.")
    relations = _relations(experiment, idf, study)
    alternates = [each.target for each in relations if each.relation == "same_as"]
    return Experiment(
        experiment=experiment,
        source_database=SOURCE,
        samples=samples,
        source_sha256=sha256,
        title=_joined(idf.texts("investigation title")[:1]) or study.title,
        description=_joined(idf.texts("experiment description"), " ") or study.description,
        alternate_accession=alternates[0] if alternates else None,
        source_url=_page(experiment),
        protocol_description=protocols,
        submitter_institution=_institution(idf),
        publication_title=_joined(idf.texts("publication title"), "; "),
        publication_doi=_joined(idf.texts("publication doi")),
        publication_authors=_authors(idf),
        pubmed_id=_joined(idf.texts("pubmed id")),
        source_first_published=info.released or _released(idf),
        source_last_modified=info.modified,
        relations=relations,
    )


def sample_accession(experiment: str, name: str) -> str:
    """`<experiment>-<name>` with every character that an accession can't hold as '_'.

    A name that is too long is cut, and told apart by a digest of the whole.
    """
    plain = _FORBIDDEN.sub("_", name.strip())
    accession = f"{experiment}-{plain}"
    if len(accession) > _LONGEST_NAME:
        accession = _with_digest(accession, name)
    return valid_accession(accession, what="sample")


# --- from rows to samples -----------------------------------------------------------------


@dataclass
class _Group:
    """The rows of one source measured by one assay."""

    source: str
    assay: str
    rows: list[Row]

    def texts(self, kind: str, label: str | None = None) -> list[str]:
        """The different values of a kind of column."""
        found = (text for row in self.rows for text in row.texts(kind, label))
        return list(dict.fromkeys(found))

    def values(self) -> Iterator[Value]:
        """All values, those that rows share once."""
        seen = set()
        for row in self.rows:
            for value in row.values:
                if value not in seen:
                    seen.add(value)
                    yield value


@dataclass(frozen=True)
class _Platform:
    platform: str
    platform_name: str
    manufacturer: str
    is_supported: bool


_NO_PLATFORM = _Platform(UNKNOWN, UNKNOWN, UNKNOWN, is_supported=False)


class _Reader:
    """Makes samples of rows; holds what all samples of an experiment share."""

    def __init__(self, experiment: str, study: Study, info: Info, protocols: str | None) -> None:
        self._experiment, self._study, self._info = experiment, study, info
        self._protocols = protocols

    def samples(self, sdrfs: Iterable[Sdrf]) -> tuple[Sample, ...]:
        samples: list[Sample] = []
        rows: list[Row] = []
        for number, sdrf in enumerate(sdrfs, 1):
            rows += sdrf.rows
            samples += [self._malformed(number, *each) for each in sdrf.malformed]
        groups = _groups(rows)
        labels: dict[str, set[str]] = {}
        for group in groups:
            mine = {label.lower() for label in group.texts("label")}
            labels.setdefault(group.assay or group.source, set()).update(mine)
        names = self._names(groups)
        for group, name in zip(groups, names, strict=True):
            of_the_assay = labels[group.assay or group.source]
            samples.append(self._sample(name, group, of_the_assay))
        return _all_different(samples)

    def _names(self, groups: list[_Group]) -> list[str]:
        """One accession for each group; where the chosen names are alike, the longer one."""
        chosen = [
            sample_accession(self._experiment, _chosen_name(group, self._files(group)))
            for group in groups
        ]
        times = Counter(chosen)
        both = [
            sample_accession(self._experiment, f"{group.source}-{group.assay}")
            if times[name] > 1
            else name
            for group, name in zip(groups, chosen, strict=True)
        ]
        times = Counter(both)
        return [
            _with_digest(name, f"{group.source}\t{group.assay}") if times[name] > 1 else name
            for group, name in zip(groups, both, strict=True)
        ]

    def _sample(self, name: str, group: _Group, labels: set[str]) -> Sample:
        if _is_sequenced(group):
            return self._sequenced(name, group)
        platform = self._platform(group)
        files = self._files(group)
        if _is_one_colour(group):
            files = [file for file in files if not file.is_raw]
        has_raw = any(file.is_raw for file in files)
        files = [file for file in files if file.is_raw == has_raw]
        has_cel = has_raw and any(file.filename.lower().endswith(_CEL) for file in files)
        organism, reason = _organism(group)
        if {"cy3", "cy5"} <= labels:
            reason = _skip("two_channel")
        elif reason is None and not (platform.is_supported or has_cel):
            designs = self._designs(group)
            reason = _skip("unsupported_platform", ", ".join(designs) or "no array design")
        elif reason is None and not files:
            reason = _skip("no_data")
        return self._described(
            name, group, organism, MICROARRAY, platform, reason, has_raw=has_raw, files=files
        )

    def _sequenced(self, name: str, group: _Group) -> Sample:
        organism, reason = _organism(group)
        model = next(iter(group.texts("comment", "instrument_model")), None)
        maker = manufacturer_of(model, RNA_SEQ) if model else UNKNOWN
        platform = _NO_PLATFORM
        if model and maker != UNKNOWN:
            platform = _Platform("".join(model.split()), model, maker, is_supported=True)
        strategies = {text.upper() for text in group.texts("comment", "library_strategy")}
        technology = RNA_SEQ if strategies <= {"RNA-SEQ"} else UNKNOWN
        runs = _runs(group)
        if technology == UNKNOWN:
            reason = _skip("not_rna_seq", ", ".join(sorted(strategies)))
        elif reason is None:
            reason = _skip("rnaseq_through_sra", ", ".join(runs[:20]) or "no run is named")
        layouts = {text.upper() for text in group.texts("comment", "library_layout")}
        layout = layouts.pop() if len(layouts) == 1 else None
        return self._described(
            name,
            group,
            organism,
            technology,
            platform,
            reason,
            has_raw=bool(runs),
            layout=layout if layout in ("SINGLE", "PAIRED") else None,
        )

    def _described(
        self,
        name: str,
        group: _Group,
        organism: str,
        technology: str,
        platform: _Platform,
        reason: tuple[str, str] | None,
        *,
        has_raw: bool,
        files: Iterable[RawFile] = (),
        layout: str | None = None,
    ) -> Sample:
        values = list(group.values())
        own = [(each.column.heading, each.text) for each in values if not each.column.is_qualifier]
        comments = [
            comment
            for row in group.rows
            for value in row.values
            if value.column.kind == "source name"
            for comment in row.comments_of(value.position)
        ]
        return Sample(
            sample=name,
            organism=organism,
            technology=technology,
            source_database=SOURCE,
            title=title_of(own, source_comments=comments) or group.assay or group.source or name,
            source_archive_url=_page(self._experiment),
            has_raw=has_raw,
            platform=platform.platform,
            platform_name=platform.platform_name,
            manufacturer=platform.manufacturer,
            library_layout=layout,
            protocol_info=self._protocols,
            harmonised=harmonise(own),
            attributes=tuple(_attributes(group)),
            files=tuple(dict.fromkeys(files)),
            skip_reason=reason,
        )

    def _malformed(self, table: int, line: int, beginning: str) -> Sample:
        name = sample_accession(self._experiment, f"line-{line}")
        return Sample(
            sample=_with_digest(name, f"{table}\t{line}"),
            organism=UNKNOWN,
            technology=UNKNOWN,
            source_database=SOURCE,
            title=beginning or f"line {line}",
            source_archive_url=_page(self._experiment),
            has_raw=False,
            platform=UNKNOWN,
            platform_name=UNKNOWN,
            manufacturer=UNKNOWN,
            skip_reason=_skip("malformed_row", f"line {line}"),
        )

    # --- its array and files ------------------------------------------------------------

    def _designs(self, group: _Group) -> list[str]:
        return group.texts("array design ref") or list(self._study.array_designs)

    def _platform(self, group: _Group) -> _Platform:
        """Of its own array design, else of the experiment's; of several nothing is known."""
        designs = self._designs(group)
        if len(designs) != 1:
            return _NO_PLATFORM
        array = find_array(designs[0])
        if array is None:
            return _Platform(designs[0], UNKNOWN, UNKNOWN, is_supported=False)
        name = array.name or array.internal
        return _Platform(array.internal, name, array.manufacturer, is_supported=True)

    def _files(self, group: _Group) -> list[RawFile]:
        cells = (
            (value, row.comments_of(value.position))
            for row in group.rows
            for value in row.values
            if value.column.kind in (*_RAW_FILES, *_DERIVED_FILES)
        )
        found = (self._raw_file(value, comments) for value, comments in cells)
        return [file for file in found if file is not None]

    def _raw_file(self, cell: Value, comments: list[tuple[str, str]]) -> RawFile | None:
        """A file, by itself if BioStudies has it so, else in the archive that is named for it.

        None for what is no file's name. `filename` is that of the file, also in an archive.
        """
        name = _basename(cell.text)
        if name is None:
            return None
        told = [_basename(text) or "" for label, text in comments if "file" in label.lower()]
        is_raw = cell.column.kind in _RAW_FILES or any(".raw." in each.lower() for each in told)
        if "://" in cell.text:
            if not cell.text.lower().startswith(_FETCHED):
                return None
            is_archive = name.lower().endswith(_ARCHIVES)
            return RawFile(name, cell.text, is_raw=is_raw, is_archive=is_archive)
        path = cell.text if cell.text in self._study.files else name
        archive = next((each for each in told if each.lower().endswith(_ARCHIVES)), None)
        if archive is not None and path not in self._study.files:
            path = archive
        return RawFile(
            filename=name,
            source_url=f"{self._info.files_url}/{quote(path)}",
            is_raw=is_raw,
            is_archive=path.lower().endswith(_ARCHIVES),
            expected_bytes=self._study.files.get(path),
        )


def _groups(rows: Iterable[Row]) -> list[_Group]:
    groups: dict[tuple[str, str], _Group] = {}
    for row in rows:
        source = next(iter(row.texts("source name")), "")
        assay = next((text for kind in _ASSAYS for text in row.texts(kind)), "")
        key = (source, assay) if source or assay else (f"line-{row.line}", "")
        groups.setdefault(key, _Group(*key, [])).rows.append(row)
    return list(groups.values())


def _chosen_name(group: _Group, files: Sequence[RawFile]) -> str:
    """The source's name or the assay's: that which the file is called after, else the one
    without spaces, else the longer."""
    source, assay = group.source, group.assay
    if not (source and assay):
        return source or assay
    first = next((file for file in files if file.is_raw), files[0] if files else None)
    stem = first.filename.partition(".")[0] if first else ""
    for name in (source, assay):
        if stem and stem in name:
            return name
    if (" " in source) != (" " in assay):
        return assay if " " in source else source
    return assay if len(assay) > len(source) else source


def _all_different(samples: list[Sample]) -> tuple[Sample, ...]:
    twice = [name for name, n in Counter(each.sample for each in samples).items() if n > 1]
    if twice:
        raise SourceAnswerInvalid(f"Two samples would be called {twice[0]}.")
    return tuple(samples)


def _with_digest(accession: str, of: str) -> str:
    digest = hashlib.sha256(of.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{accession[: _LONGEST_NAME - 9]}-{digest}"


def _organism(group: _Group) -> tuple[str, tuple[str, str] | None]:
    named = group.texts("characteristics", "organism")
    try:
        return organism_name(named[0] if named else ""), None
    except UnsupportedOrganism:
        return UNKNOWN, _skip("no_organism", named[0] if named else None)


def _is_sequenced(group: _Group) -> bool:
    technologies = {text.lower() for text in group.texts("technology type")}
    return bool(_runs(group)) or "sequencing assay" in technologies


def _runs(group: _Group) -> list[str]:
    labels = ("ena_run", "fastq_uri", "sra_run")
    told = (text for label in labels for text in group.texts("comment", label))
    return list(dict.fromkeys(run for text in told for run in _RUN.findall(text)))


def _is_one_colour(group: _Group) -> bool:
    """Whether anything of it mentions Cy3, and nothing Cy5."""
    mentioned = "\t".join(value.text for value in group.values()).lower()
    return "cy3" in mentioned and "cy5" not in mentioned


def _attributes(group: _Group) -> Iterator[Attribute]:
    """What was submitted, left to right; a unit or term says of which column it is."""
    for value in group.values():
        column = value.column
        if column.kind == "term source ref":
            continue
        if column.kind == "term accession number":
            yield Attribute(f"{column.owner} {column.heading}".strip(), value.text)
        else:
            yield Attribute(column.heading, value.text)


# --- the experiment -----------------------------------------------------------------------


def _file(name: str, info: Info, web: Web) -> bytes:
    if _basename(name) != name:
        raise SourceAnswerInvalid(f"{name[:100]!r} is no file name.")
    try:
        return web.get(f"{info.files_url}/{quote(name)}")
    except AccessionAbsent as error:
        raise SourceAnswerInvalid(f"The study has no {name}: {error.message}") from None


def _protocols(idf: Idf, study: Study, experiment: str) -> str | None:
    """The experiment's protocols as JSON, which all samples share; those without a name or
    text are left out, equal ones given once."""
    stated = idf.records(
        Accession="protocol name", Text="protocol description", Type="protocol type"
    ) or [
        {
            "Accession": each.get("name", ""),
            "Text": each.get("description", ""),
            "Type": each.get("type", ""),
        }
        for each in study.protocols
    ]
    told = [each for each in stated if each["Accession"] and each["Text"]]
    once = {tuple(each.values()): each for each in told}
    entries = [{**each, "Reference": _page(experiment)} for each in once.values()]
    return json.dumps(entries, ensure_ascii=False) if entries else None


def _relations(experiment: str, idf: Idf, study: Study) -> tuple[Relation, ...]:
    told = [*idf.texts("comment[secondaryaccession]"), *study.links]
    if experiment.startswith("E-GEOD-"):
        told.append(f"GSE{experiment.removeprefix('E-GEOD-')}")
    targets = (part for text in told for part in re.split(r"[\s,;]+", text))
    found = (
        Relation(relation, target)
        for target in targets
        for relation, pattern in _RELATIONS
        if pattern.match(target)
    )
    return tuple(dict.fromkeys(found))


def _institution(idf: Idf) -> str | None:
    unique = dict.fromkeys(idf.texts("person affiliation"))
    joined = ", ".join(unique)[:LONGEST_INSTITUTION].rstrip(", ")
    return joined or None


def _authors(idf: Idf) -> tuple[str, ...]:
    """Their names; a list is divided at ';' where it has one, else at ','."""
    names: list[str] = []
    for text in idf.texts("publication author list"):
        names += text.split(";" if ";" in text else ",")
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _released(idf: Idf) -> datetime | None:
    for text in idf.texts("public release date"):
        try:
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _joined(texts: Iterable[str], joint: str = ", ") -> str | None:
    return joint.join(texts) or None


def _basename(name: str) -> str | None:
    """The last part of a path or URL, if that is a file's name."""
    try:
        path = urlsplit(name).path if "://" in name else name
    except ValueError:
        return None
    last = PurePosixPath(path.replace("\\", "/")).name
    return last if last not in ("", "..") and last.isprintable() else None


def _page(experiment: str) -> str:
    return f"{biostudies.PAGE}/{experiment}"


def _skip(code: str, detail: str | None = None) -> tuple[str, str]:
    return code, f"{REASONS[code]} ({detail[:200]})" if detail else REASONS[code]
