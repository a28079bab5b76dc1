"""`/v1/samples/`: samples with all that is known of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request

from refinebio_assets.api import models
from refinebio_assets.api.catalogue import Reader, Row
from refinebio_assets.api.described import IndexAddress, document, file, with_makers
from refinebio_assets.api.downloads import free_address
from refinebio_assets.api.errors import NotThere
from refinebio_assets.api.filters import Conditions, Filter, Parameters, listed, read_query
from refinebio_assets.api.filters import Query as ListQuery
from refinebio_assets.api.lists import answer
from refinebio_assets.api.pages import PageOf
from refinebio_assets.api.service import ReaderOf, Service, ServiceOf
from refinebio_assets.publish.records import sample_record
from refinebio_assets.resources.storage import Storage
from refinebio_assets.tables import HARMONISED_FIELDS

_LOOKED_THROUGH: Final = (
    "accession_code",
    "title",
    *(each.name for each in HARMONISED_FIELDS if each.name != "developmental_stage"),
)
_SOMEWHERE: Final = f"contains(lower(concat_ws(chr(10), {', '.join(_LOOKED_THROUGH)})), lower(?))"
_COLUMNS: Final = (
    Filter("title"),
    Filter("source_database"),
    Filter("source_archive_url"),
    Filter("has_raw", "boolean"),
    Filter("platform_name"),
    Filter("technology"),
    Filter("manufacturer"),
    *(
        Filter(each.name, "text" if each.type == "VARCHAR" else "number")
        for each in HARMONISED_FIELDS
    ),
    Filter("is_processed", "boolean"),
    Filter("is_unable_to_be_processed", "boolean"),
)
PARAMETERS: Final = Parameters(
    filters=(
        *_COLUMNS,
        Filter("organism", sql="organism_name = ?"),
        Filter("organism__name", sql="organism_name = ?"),
        Filter("organism__taxonomy_id", "integer", "taxonomy_id = ?"),
        Filter("is_public", "boolean", "?"),
        Filter("filter_by", sql=_SOMEWHERE),
    ),
    orderings=(
        "id",
        "accession_code",
        "platform_accession_code",
        "created_at",
        "last_modified",
        *(each.name for each in _COLUMNS),
    ),
    default_ordering="-is_processed,accession_code",
    others=("ids", "dataset_id", "experiment_accession_code", "accession_codes"),
)
ONE: Final = "SELECT * FROM memory.api.samples WHERE accession_code = ?"
IS_EXPERIMENT: Final = "SELECT count(*) FROM catalogue.main.experiments WHERE experiment = ?"
OF_EXPERIMENT: Final = (
    "accession_code IN (SELECT sample FROM catalogue.main.samples WHERE experiment = ?)"
)
AMONG: Final = "accession_code IN (SELECT unnest(?::VARCHAR[]))"
NUMBERED: Final = "id IN (SELECT unnest(?::BIGINT[]))"
EXPERIMENTS: Final = """
SELECT sample, list(experiment ORDER BY experiment) AS experiments
FROM catalogue.main.samples WHERE sample IN ($among) GROUP BY sample
"""
# The rows of a table that belong to the samples, each in its experiment. Tables are sorted by
# experiment: naming the experiments confines what is read.
OF_SAMPLES: Final = """
SELECT t.* FROM {table} AS t
SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS experiment, unnest(?::VARCHAR[]) AS sample)
    USING (experiment, sample)
WHERE t.experiment IN ({marks})
"""
ORIGINAL_FILES: Final = """
SELECT experiment, unnest(samples) AS sample, id FROM memory.api.original_files
WHERE experiment IN ($among) ORDER BY id
"""

router = APIRouter(prefix="/v1/samples", tags=["samples"])


@router.get("/", openapi_extra=PARAMETERS.openapi())
def list_samples(request: Request, service: ServiceOf, reader: ReaderOf) -> PageOf[models.Sample]:
    """Samples; `ids` and `accession_codes` take several, between commas."""
    query = read_query(request, PARAMETERS)
    confined = ListQuery(_confined(query, service, reader), query.order)
    found = answer(
        request,
        reader,
        "samples",
        confined,
        lambda rows: _told(reader, rows, service, request),
        key="accession_code",
    )
    return PageOf[models.Sample].model_validate(found)


@router.get("/{accession_code}/")
def get_sample(
    request: Request, accession_code: str, service: ServiceOf, reader: ReaderOf
) -> models.Sample:
    """A sample."""
    rows = reader.rows(ONE, accession_code)
    if not rows:
        raise NotThere("There is no such sample.")
    return models.Sample.model_validate(_told(reader, rows, service, request)[0])


def _confined(query: ListQuery, service: Service, reader: Reader) -> Conditions:
    conditions, given = query.conditions, query.others
    if "ids" in given:
        numbers = [int(each) for each in listed(given["ids"]) if each.isdigit() and len(each) < 18]
        conditions = conditions.and_also(NUMBERED, numbers)
    if "experiment_accession_code" in given:
        name = given["experiment_accession_code"]
        if not reader.value(IS_EXPERIMENT, name):
            raise NotThere("There is no such experiment.")
        conditions = conditions.and_also(OF_EXPERIMENT, name)
    if "dataset_id" in given:
        wish = service.store.dataset(given["dataset_id"])
        if wish is None:
            raise NotThere("There is no such dataset.")
        names = sorted({name for samples in wish.data.values() for name in samples})
        return conditions.and_also(AMONG, names)
    if "accession_codes" in given:
        return conditions.and_also(AMONG, listed(given["accession_codes"]))
    return conditions


def _told(
    reader: Reader, rows: list[Row], service: Service, request: Request
) -> list[dict[str, Any]]:
    def address(number: int) -> str:
        return free_address(service, request, "index", number)

    accessions = [row["accession_code"] for row in rows]
    experiments = {
        each["sample"]: each["experiments"] for each in reader.rows_among(EXPERIMENTS, accessions)
    }
    of_samples = _reading(reader, rows)
    annotations = _annotations(of_samples)
    results = _results(reader, of_samples, address)
    files = of_samples("memory.api.computed_files")
    originals = _original_files(reader, rows)
    told = []
    for row in rows:
        key = (row["experiment"], row["accession_code"])
        stamps = {"created_at": row["created_at"], "last_modified": row["last_modified"]}
        theirs = files.get(key, [])
        told.append(
            {
                **{name: row[name] for name in models.Sample.model_fields if name in row},
                "organism": {"name": row["organism_name"], "taxonomy_id": row["taxonomy_id"]}
                if row["organism_name"]
                else None,
                "protocol_info": document(row["protocol_info"]),
                "annotations": [
                    {"data": each, "is_ccdl": False, **stamps} for each in annotations.get(key, [])
                ],
                "results": results.get(key, []),
                "original_files": originals.get(key, []),
                "computed_files": sorted(each["id"] for each in theirs),
                "last_processor_job": None,
                "last_downloader_job": None,
                "most_recent_smashable_file": _newest(theirs, True, service.storage),
                "most_recent_quant_file": _newest(theirs, False, service.storage),
                "contributed_metadata": {},
                "contributed_keywords": {},
                "experiment_accession_codes": experiments[row["accession_code"]],
            }
        )
    return told


Key = tuple[str, str]
OfSamples = Callable[[str], dict[Key, list[Row]]]


def _reading(reader: Reader, rows: list[Row]) -> OfSamples:
    keys = [[row["experiment"] for row in rows], [row["accession_code"] for row in rows]]
    experiments = sorted(set(keys[0]))
    marks = ", ".join("?" for _ in experiments) or "NULL"

    def of_samples(table: str) -> dict[Key, list[Row]]:
        found = defaultdict(list)
        for each in reader.rows(OF_SAMPLES.format(table=table, marks=marks), *keys, *experiments):
            found[each["experiment"], each["sample"]].append(each)
        return found

    return of_samples


def _annotations(of_samples: OfSamples) -> dict[Key, list[dict[str, Any]]]:
    attributes = of_samples("catalogue.main.sample_attributes")
    arrays = of_samples("catalogue.main.arrays")
    return {
        key: [
            dict(each)
            for each in sample_record(
                row, attributes.get(key, []), array=next(iter(arrays.get(key, [])), None)
            ).annotations
        ]
        for key, [row] in of_samples("catalogue.main.samples").items()
    }


def _results(
    reader: Reader, of_samples: OfSamples, address: IndexAddress
) -> dict[Key, list[dict[str, Any]]]:
    rows = of_samples("memory.api.results")
    makers = with_makers(reader, [row for each in rows.values() for row in each], address)
    return {
        key: [makers[row["id"]] for row in sorted(each, key=lambda row: str(row["key"]))]
        for key, each in rows.items()
    }


def _original_files(reader: Reader, rows: list[Row]) -> dict[Key, list[int]]:
    found = defaultdict(list)
    for each in reader.rows_among(ORIGINAL_FILES, sorted({row["experiment"] for row in rows})):
        found[each["experiment"], each["sample"]].append(each["id"])
    return found


def _newest(files: list[Row], smashable: bool, storage: Storage) -> dict[str, Any] | None:
    found = [each for each in files if each["is_smashable"] == smashable]
    if not found:
        return None
    return file(max(found, key=lambda each: each["created_at"]), storage)
