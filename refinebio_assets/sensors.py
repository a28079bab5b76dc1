"""Sensors that look for new and changed experiments at the public sources.

All are off by default and safe to turn on: what is asked for is bounded by `settings.yaml`
in REFINEBIO_HOME (by default ten experiments a day and source, as the reference system),
a tick that finds its source down keeps its cursor, and no accession is taken twice. What a
tick decides is in `refinebio_assets.discovery`.
"""

from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from refinebio_assets.discovery import Cursor, Filter, decide, window
from refinebio_assets.errors import RefinebioError, SourceUnavailable
from refinebio_assets.jobs import survey_job
from refinebio_assets.partitions import experiments, range_tags
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.settings import read_filter
from refinebio_assets.resources.storage import Storage
from refinebio_assets.sources.web import Web

HOURLY = 3600


def _geo(web: Web, chosen: Filter, cursor: Cursor) -> list[str]:
    from refinebio_assets.sources.entrez import find_series

    since, until = window(cursor, chosen, _today())
    hits = find_series(web, since, until, organisms=chosen.organisms, platforms=chosen.platforms)
    hits.sort(key=lambda hit: (hit.organisms, hit.samples))
    return [hit.accession for hit in hits]


def _sra(web: Web, chosen: Filter, cursor: Cursor) -> list[str]:
    from refinebio_assets.sources import ena, sra

    since, until = window(cursor, chosen, _today())
    taxa = [int(each) for each in chosen.organisms]
    found: list[str] = []
    for changed in (False, True):
        question = sra.discover_query(since, until, taxonomy_ids=taxa, changed=changed)
        found += [study for study, _ in sra.parse_discovery(web.get(ena.SEARCH, question))]
    return found


def _arrayexpress(web: Web, chosen: Filter, cursor: Cursor) -> list[str]:
    from refinebio_assets.sources import biostudies

    since, until = window(cursor, chosen, _today())
    released = {"release_date": f"[{since} TO {until}]"}
    return [
        hit.accession
        for question in _of_arrayexpress(chosen)
        for hit in biostudies.search(web, released | question)
    ]


def _changed_at_arrayexpress(web: Web, chosen: Filter, cursor: Cursor) -> list[str]:
    from refinebio_assets.sources import biostudies

    since, until = window(cursor, chosen, _today())
    since = max(since, until - timedelta(days=MOST_DAYS_OF_CHANGES))
    return [
        accession
        for question in _of_arrayexpress(chosen)
        for accession in biostudies.find_changed(web, since, until, question)
    ]


def _of_arrayexpress(chosen: Filter) -> list[dict[str, str]]:
    """What every search asks: studies that were submitted to ArrayExpress itself."""
    always = {"type": "study", "directsub": "true"}
    return [always | {"organism": f'"{name}"'} for name in chosen.organisms] or [always]


Search = Callable[[Web, Filter, Cursor], list[str]]
SEARCHES: dict[str, Search] = {
    "geo": _geo,
    "sra": _sra,
    "arrayexpress": _arrayexpress,
}
CHANGES: dict[str, Search] = {"arrayexpress": _changed_at_arrayexpress}
"""The searches for changes alone, of which only what is registered is taken.

GEO and ENA tell what is new and what changed in one list."""
MOST_DAYS_OF_CHANGES = 30


def _today() -> date:
    return datetime.now(UTC).date()


def _changed(
    source: str,
    web: Web,
    chosen: Filter,
    cursor: Cursor,
    known: Collection[str],
    warn: Callable[[str], None],
) -> list[str]:
    """The registered experiments that changed; where that cannot be told, the new ones go on.

    Raises
    ------
    SourceUnavailable
    """
    if source not in CHANGES or not known:
        return []
    try:
        return [each for each in CHANGES[source](web, chosen, cursor) if each in known]
    except SourceUnavailable:
        raise
    except RefinebioError as error:
        warn(f"What changed at {source} cannot be told: {error.code}: {error}")
        return []


def discovery_sensor(source: str) -> dg.SensorDefinition:
    """The sensor of one source: registers what is new, and surveys it and what has changed."""

    @dg.sensor(
        name=f"{source}_discovery",
        job=survey_job,
        minimum_interval_seconds=HOURLY,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"New and changed experiments at {source}; bounded by settings.yaml.",
    )
    def discover(
        context: dg.SensorEvaluationContext, storage: Storage, http: Http
    ) -> dg.SensorResult | dg.SkipReason:
        cursor = Cursor.from_text(context.cursor)
        known = set(context.instance.get_dynamic_partitions("experiments"))
        try:
            chosen = read_filter(storage, source)
            found = _changed(source, http, chosen, cursor, known, context.log.warning)
            found += SEARCHES[source](http, chosen, cursor)
        except RefinebioError as error:
            return dg.SkipReason(f"No news from {source}: {error.code}: {error}")
        decision = decide(cursor, found, known, chosen, _today())
        left = f"; {decision.left} wait for their turn" if decision.left else ""
        context.log.info(
            f"{source}: {len(found)} found, {len(decision.new)} new, "
            f"{len(decision.changed)} to survey again{left}"
        )
        day = _today().isoformat()
        requests = [
            dg.RunRequest(
                run_key=f"{source}:{accession}:{day}",
                tags=range_tags(accession, accession),
            )
            for accession in decision.changed
        ]
        if decision.new:
            first, last = decision.new[0], decision.new[-1]
            requests.append(
                dg.RunRequest(
                    run_key=f"{source}:{first}-{last}:{day}", tags=range_tags(first, last)
                )
            )
        return dg.SensorResult(
            run_requests=requests,
            dynamic_partitions_requests=[experiments.build_add_request(decision.new)],
            cursor=decision.cursor.to_text(),
        )

    return discover


SENSORS = [discovery_sensor(source) for source in SEARCHES]
