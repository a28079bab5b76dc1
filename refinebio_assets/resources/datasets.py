"""The datasets that were asked for and made: where they lie, and what is known of them.

`datasets/<id>/` holds `request.json`, and once it is made, `dataset.json` and the zip. Not
here: how a dataset is made.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets.errors import InvalidRequest
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    from refinebio_assets.publish.recipe import Recipe
    from refinebio_assets.resources.dataset_selection import Selection

REQUEST = "request.json"
RECORD = "dataset.json"
_ID = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True)
class DatasetRequest:
    """A dataset that was asked for; `versions` are those of the data it was asked of."""

    id: str
    recipe: Recipe
    versions: dict[str, str]
    requested_at: str


def dataset_folder(storage: Storage, dataset: str) -> Path:
    """The folder of a dataset.

    Raises
    ------
    InvalidRequest
        That is not an id.
    """
    if not _ID.match(dataset):
        raise InvalidRequest(f"{dataset[:80]!r} is not the id of a dataset.")
    return storage.root / "datasets" / dataset


def zip_path(storage: Storage, dataset: str) -> Path:
    """The dataset as it is delivered."""
    return dataset_folder(storage, dataset) / f"{dataset}.zip"


def register_request(storage: Storage, selection: Selection) -> str:
    """Remember that a dataset is wanted; return its id. Asked for again, it is the same."""
    dataset = selection.id
    path = dataset_folder(storage, dataset) / REQUEST
    if not path.exists():
        storage.write_json(
            path,
            {
                "id": dataset,
                "recipe": json.dumps(selection.recipe.to_json()),  # as text: order has a meaning
                "versions": selection.versions(),
                "requested_at": datetime.now(UTC).isoformat(),
            },
        )
    return dataset


def request_of(storage: Storage, dataset: str) -> DatasetRequest:
    """What was asked for.

    Raises
    ------
    InvalidRequest
        There is no such dataset.
    """
    from refinebio_assets.publish.recipe import read_recipe

    found = read_json(dataset_folder(storage, dataset) / REQUEST)
    if found is None:
        raise InvalidRequest(f"No dataset {dataset} was asked for.")
    return DatasetRequest(
        dataset, read_recipe(json.loads(found["recipe"])), found["versions"], found["requested_at"]
    )


def record_of(storage: Storage, dataset: str) -> dict[str, Any] | None:
    """What became of a dataset (see `tables.DATASETS`); None while it has not been tried."""
    return read_json(dataset_folder(storage, dataset) / RECORD)


def dataset_row(storage: Storage, dataset: str) -> dict[str, Any]:
    """A row of `tables.DATASETS`: what was asked for and, if it was tried, what came of it."""
    asked = request_of(storage, dataset)
    return {
        "dataset": dataset,
        "recipe": json.dumps(asked.recipe.to_json()),
        "status": "requested",
        "requested_at": asked.requested_at,
        **(record_of(storage, dataset) or {}),
    }


def requested_datasets(storage: Storage) -> list[str]:
    """The ids of all datasets that were asked for, the oldest first."""
    found = (storage.root / "datasets").glob(f"*/{REQUEST}")
    ordered = sorted(found, key=lambda path: (path.stat().st_mtime_ns, path))
    return [path.parent.name for path in ordered if _ID.match(path.parent.name)]
