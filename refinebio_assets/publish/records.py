"""What a dataset says of its experiments and samples, made from rows of the catalogue.

Submitted keys and values are put back into the form in which refine.bio keeps them, by
source, so that a reader of its metadata finds them at the same places:

- GEO: every key with the list of its values; what was a characteristic stands in
  `characteristics_ch1` as 'key: value'. A characteristic is known by its key, which is none
  of those that GEO itself gives to samples.
- ArrayExpress: 'Characteristics [x]' is in `characteristic` as category and value, 'Factor
  Value [x]' in `variable` as name and value; every other column by its heading.
- SRA and sample sheets: every key with its value.

Where a key was given several times, it has the list of its values. Not here: how the
records are written down.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from refinebio_assets.metadata.platforms import pretty_name
from refinebio_assets.tables import HARMONISED_FIELDS

Row = Mapping[str, Any]
Annotation = Mapping[str, Any]

# GEO's own keys of a sample; the others were characteristics.
_GEO_KEY = re.compile(
    r"title|geo_accession|status|submission_date|last_update_date|type|channel_count"
    r"|(source_name|organism|taxid|characteristics|biomaterial_provider|treatment_protocol"
    r"|growth_protocol|molecule|extract_protocol|label|label_protocol)_ch\d+"
    r"|hyb_protocol|scan_protocol|data_processing|description|platform_id|contact_.+"
    r"|supplementary_file(_\d+)?|series_id|data_row_count|geo_columns|relation"
    r"|instrument_model|library_(selection|source|strategy)|tag_count|tag_length|anchor"
)
_SDRF_HEADING = re.compile(
    r"(characteristics?|factor ?value)\s*\[\s*(.*?)\s*\]\s*(?:\(.*\))?", re.IGNORECASE | re.DOTALL
)
# refine.bio's names of what made an array's values, by `arrays.method`.
_ARRAY_PROCESSORS: Final = {
    "SCANfast": "Affymetrix SCAN",
    "SCAN": "Affymetrix SCAN",
    "Illumina SCAN": "Illumina SCAN",
    "submitter-processed": "Submitter-processed",
}
_SUBMITTED: Final = "Submitter-processed"


@dataclass(frozen=True)
class Processor:
    """What made a sample's values; `name` is one of refine.bio's."""

    name: str
    version: str

    @property
    def id(self) -> str:
        """The same for the same name and version: 'illumina-scan-refinebio-assets-0.1.0'."""
        return re.sub(r"[^a-z0-9.]+", "-", f"{self.name} {self.version}".lower()).strip("-")


@dataclass(frozen=True)
class SampleRecord:
    """A sample as a dataset describes it.

    Attributes
    ----------
    harmonised
        The fields of `tables.HARMONISED_FIELDS` that are known.
    platform
        In its pretty form, 'Affymetrix Human Genome U133A Array (hgu133a)'.
    processed
        From raw data, as opposed to the submitter's own values.
    annotations
        What was submitted, in the forms above; the Illumina detection after it.
    """

    accession: str
    title: str
    organism: str
    source_database: str
    source_archive_url: str
    platform: str
    technology: str
    processed: bool
    harmonised: Mapping[str, str | float] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    processor: Processor | None = None


@dataclass(frozen=True)
class ExperimentRecord:
    """An experiment as a dataset describes it.

    `samples` are all that it has, wanted or not; `protocol_description` is any JSON value.
    """

    accession: str
    title: str
    organisms: tuple[str, ...]
    samples: tuple[str, ...]
    description: str = ""
    protocol_description: Any = ""
    technology: str = ""
    submitter_institution: str = ""
    has_publication: bool = False
    publication_title: str = ""
    publication_doi: str = ""
    pubmed_id: str = ""
    source_first_published: datetime | None = None
    source_last_modified: datetime | None = None


@dataclass(frozen=True)
class FilteredSample:
    """A sample that was asked for and isn't in the dataset, or not in its experiment's matrix.

    `experiment` is the one that it was asked for under, `filename` its file where known.
    """

    sample: SampleRecord
    experiment: str
    reason: str
    filename: str | None = None


def experiment_record(row: Row, samples: Iterable[str]) -> ExperimentRecord:
    """A row of `experiments`, with all samples of the experiment."""
    texts = (
        "title",
        "description",
        "technology",
        "submitter_institution",
        "publication_title",
        "publication_doi",
        "pubmed_id",
    )
    return ExperimentRecord(
        accession=row["experiment"],
        organisms=tuple(row["organisms"] or ()),
        samples=tuple(samples),
        protocol_description=_document(row["protocol_description"]),
        has_publication=bool(row["has_publication"]),
        source_first_published=row["source_first_published"],
        source_last_modified=row["source_last_modified"],
        **{name: row[name] or "" for name in texts},
    )


def sample_record(
    row: Row,
    attributes: Iterable[Row],
    *,
    array: Row | None = None,
    quantification: Row | None = None,
    quant_sf_only: bool = False,
) -> SampleRecord:
    """A row of `samples` with what belongs to it.

    Parameters
    ----------
    row
        Of `samples`.
    attributes
        Its rows of `sample_attributes`, in any order.
    array, quantification
        Its row of the table of that name, if it was processed.
    quant_sf_only
        The dataset holds Salmon's own files, not what tximport made of them.
    """
    in_order = sorted(attributes, key=lambda each: each["position"])
    submitted = _annotation(
        row["source_database"], [(each["key"], each["value"] or "") for each in in_order]
    )
    annotations = [each for each in (submitted, _detection(array)) if each]
    processor = _processor(array, quantification, quant_sf_only=quant_sf_only)
    platform = row["platform"] or ""
    known = (each.name for each in HARMONISED_FIELDS if row[each.name] is not None)
    return SampleRecord(
        accession=row["sample"],
        title=row["title"] or "",
        organism=row["organism"] or "",
        source_database=row["source_database"] or "",
        source_archive_url=row["source_archive_url"] or "",
        platform=pretty_name(row["platform_name"] or platform, platform) if platform else "",
        technology=row["technology"] or "",
        processed=bool(row["has_raw"]) and (processor is None or processor.name != _SUBMITTED),
        harmonised={name: row[name] for name in known},
        annotations=tuple(annotations),
        processor=processor,
    )


# --- what was submitted ---------------------------------------------------------------


def _annotation(source: str, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    if source == "GEO":
        return _of_geo(pairs)
    if source == "ARRAY_EXPRESS":
        return _of_sdrf(pairs)
    return _gathered(pairs)


def _of_geo(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        if _GEO_KEY.fullmatch(key):
            found.setdefault(key, []).append(value)
        else:
            found.setdefault("characteristics_ch1", []).append(f"{key}: {value}")
    return found


def _of_sdrf(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    characteristics, variables, others = [], [], []
    for key, value in pairs:
        heading = _SDRF_HEADING.fullmatch(key.strip())
        if heading is None:
            others.append((key, value))
        elif heading[1].lower().startswith("char"):
            characteristics.append({"category": heading[2], "value": value})
        else:
            variables.append({"name": heading[2], "value": value})
    lists = {"characteristic": characteristics, "variable": variables}
    return {**{name: each for name, each in lists.items() if each}, **_gathered(others)}


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _detection(array: Row | None) -> dict[str, Any]:
    """How Illumina's platform was told from the probes of the table."""
    if array is None or array["detection_percentage"] is None:
        return {}
    return {
        "detected_platform": array["platform"],
        "detection_percentage": array["detection_percentage"],
        "mapped_percentage": array["mapped_percentage"],
    }


def _processor(
    array: Row | None, quantification: Row | None, *, quant_sf_only: bool
) -> Processor | None:
    if array is not None:
        made_by = f"{array['engine']} {array['code_version']}"
        if array["engine"] != "refinebio_assets":
            made_by = f"{array['engine']} by refinebio_assets {array['code_version']}"
        made_as: str = array["method"]
        name = _ARRAY_PROCESSORS.get(made_as, made_as)
        method = f"{made_as}, " if name == "Affymetrix SCAN" else ""
        return Processor(name, f"{method}{made_by}")
    if quantification is None:
        return None
    salmon = f"salmon {quantification['salmon_version']}"
    if quant_sf_only:
        return Processor("Salmon Quant", salmon)
    return Processor("Tximport", f"refinebio_assets {quantification['code_version']}, {salmon}")


def _document(text: str | None) -> Any:
    """The JSON value of a text that is one, else the text."""
    try:
        return json.loads(text or '""')
    except ValueError:
        return text
