"""Sensors that look for new and changed experiments at the public sources.

All are off by default and safe to turn on: what is asked for is bounded by `settings.yaml`
in REFINEBIO_HOME (by default ten experiments a day and source, as the reference system),
a tick that finds its source down keeps its cursor, and no accession is taken twice. What a
tick decides is in `refinebio_assets.discovery`.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime

import dagster as dg

from refinebio_assets.discovery import Cursor, Filter, decide, window
from refinebio_assets.errors import RefinebioError
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
    question = {"release_date": f"[{since} TO {until}]", "type": "study", "directsub": "true"}
    names = chosen.organisms or ("",)
    return [
        hit.accession
        for name in names
        for hit in biostudies.search(web, question | ({"organism": f'"{name}"'} if name else {}))
    ]


SEARCHES: dict[str, Callable[[Web, Filter, Cursor], list[str]]] = {
    "geo": _geo,
    "sra": _sra,
    "arrayexpress": _arrayexpress,
}


def _today() -> date:
    return datetime.now(UTC).date()


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
        try:
            chosen = read_filter(storage, source)
            found = SEARCHES[source](http, chosen, cursor)
        except RefinebioError as error:
            return dg.SkipReason(f"No news from {source}: {error.code}: {error}")
        known = set(context.instance.get_dynamic_partitions("experiments"))
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
