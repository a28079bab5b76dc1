"""The public sources as assets of others, and their canary.

Does each service still answer in the shape that we read? One small question a service,
checked with the same code that surveys. Run by the schedule `daily_source_check`; a service
that is down warns, one whose answers changed fails.
"""

from collections.abc import Callable

import dagster as dg

from refinebio_assets.errors import RefinebioError, SourceUnavailable
from refinebio_assets.resources.http import Http
from refinebio_assets.sources.web import Web

WELL_KNOWN_SERIES = "GSE2018"


def _geo(web: Web) -> str:
    from refinebio_assets.sources.geo import brief

    return f"{WELL_KNOWN_SERIES}: {brief(WELL_KNOWN_SERIES, web).first('title')}"


def _ena(web: Web) -> str:
    from refinebio_assets.sources.ena import available_fields, negotiate

    fields = negotiate(available_fields(web))
    gone = f"; no longer offered: {', '.join(fields.missing)}" if fields.missing else ""
    return f"{len(fields.asked)} fields of a run can be asked for{gone}"


def _arrayexpress(web: Web) -> str:
    from refinebio_assets.sources.biostudies import search

    question = {"organism": '"homo sapiens"', "type": "study", "directsub": "true"}
    return f"latest study: {next(search(web, question)).accession}"


QUESTIONS: dict[str, Callable[[Web], str]] = {
    "geo": _geo,
    "ena": _ena,
    "arrayexpress": _arrayexpress,
}

SOURCES = [
    dg.AssetSpec("geo", group_name="sources", description="NCBI GEO: series and samples."),
    dg.AssetSpec(
        "ena", group_name="sources", description="ENA at EMBL-EBI, with all of SRA and DRA."
    ),
    dg.AssetSpec(
        "arrayexpress", group_name="sources", description="ArrayExpress, a BioStudies collection."
    ),
]


def source_check(source: str) -> dg.AssetChecksDefinition:
    """The check of one service."""

    @dg.asset_check(asset=source, name="answers")
    def answers(http: Http) -> dg.AssetCheckResult:
        """The service answers in the shape that the survey reads."""
        try:
            return dg.AssetCheckResult(passed=True, description=QUESTIONS[source](http))
        except RefinebioError as error:
            down = isinstance(error, SourceUnavailable)
            severity = dg.AssetCheckSeverity.WARN if down else dg.AssetCheckSeverity.ERROR
            return dg.AssetCheckResult(
                passed=False, severity=severity, description=f"{error.code}: {error}"
            )
        except StopIteration:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.ERROR,
                description="The search found nothing at all.",
            )

    return answers


SOURCE_CHECKS = [source_check(source) for source in QUESTIONS]

source_check_job = dg.define_asset_job(
    "check_sources",
    selection=dg.AssetSelection.checks(*SOURCE_CHECKS),
    description="Do the public sources still answer in the shape that is read?",
)

daily_source_check = dg.ScheduleDefinition(
    name="daily_source_check",
    job=source_check_job,
    cron_schedule="30 5 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
