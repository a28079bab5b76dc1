"""The sensor that makes the datasets that were asked for.

`refinebio dataset create --queue` and the API leave requests under datasets/; a lab may
also drop recipes (YAML or JSON) into REFINEBIO_HOME/dataset_requests/. A recipe that was
taken gets the ending `.accepted`, one that was not `.rejected` with the reason beside it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg

from refinebio_assets.errors import RefinebioError
from refinebio_assets.jobs import datasets_job
from refinebio_assets.partitions import range_tags, register_datasets
from refinebio_assets.resources.datasets import record_of, register_request, requested_datasets
from refinebio_assets.resources.storage import Storage

EVERY_HALF_MINUTE = 30
MOST_PER_TICK = 50
ENDINGS = (".yaml", ".yml", ".json")


@dg.sensor(
    name="dataset_requests",
    job=datasets_job,
    minimum_interval_seconds=EVERY_HALF_MINUTE,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def dataset_requests(
    context: dg.SensorEvaluationContext, storage: Storage
) -> dg.SensorResult | dg.SkipReason:
    """Start a run for every dataset that is asked for and not made; each is tried once."""
    taken = list(_take_dropped(storage, context.log.info))
    waiting = [each for each in requested_datasets(storage) if record_of(storage, each) is None]
    wanted = waiting[:MOST_PER_TICK]
    if not wanted:
        return dg.SkipReason("No dataset waits to be made.")
    context.log.info(f"{len(taken)} recipes taken, {len(waiting)} datasets wait")
    register_datasets(context.instance, wanted)
    return dg.SensorResult(
        [dg.RunRequest(run_key=each, tags=range_tags(each, each)) for each in wanted]
    )


def _take_dropped(storage: Storage, log: Callable[[str], None]) -> Iterator[str]:
    from refinebio_assets.publish.recipe import read_recipe_file
    from refinebio_assets.resources.dataset_selection import select_today

    for path in _dropped(storage):
        try:
            dataset = register_request(storage, select_today(read_recipe_file(path), storage))
        except RefinebioError as error:
            log(f"{path.name}: {error.code}: {error}")
            path.with_name(f"{path.name}.rejected.txt").write_text(f"{error.code}: {error}\n")
            path.rename(path.with_name(f"{path.name}.rejected"))
        else:
            path.rename(path.with_name(f"{path.name}.{dataset}.accepted"))
            yield dataset


def _dropped(storage: Storage) -> list[Path]:
    folder = storage.root / "dataset_requests"
    found = [path for path in folder.glob("*") if path.suffix in ENDINGS and path.is_file()]
    return sorted(found)[:MOST_PER_TICK]
