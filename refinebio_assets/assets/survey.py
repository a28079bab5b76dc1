"""`experiment_metadata`: an experiment's record, read from its source into rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinebio_assets.assets import previews
from refinebio_assets.assets.stage import (
    StageOutcome,
    Toolbox,
    counts_by_status,
    record_statuses,
)
from refinebio_assets.resources import registry
from refinebio_assets.sample_status import SampleStatus

if TYPE_CHECKING:
    from refinebio_assets.sources.records import Sample

STAGE = "experiment_metadata"


def survey_experiment(experiment: str, toolbox: Toolbox) -> StageOutcome:
    """Read the record, say which samples won't be processed, publish both."""
    from refinebio_assets.sources.records import write_experiment

    finding = registry.look_up(toolbox.storage, experiment, toolbox.http)
    found = finding.experiment
    if finding.missing_fields:
        toolbox.log(f"{experiment}: ENA no longer offers {', '.join(finding.missing_fields)}.")
    statuses = [_verdict(sample) for sample in found.samples]
    path = toolbox.storage.table_file("experiments", experiment)
    with toolbox.storage.publish_file(path) as staged:
        write_experiment(found, staged, **toolbox.lineage())
    record_statuses(experiment, STAGE, statuses, toolbox)
    preview = [
        {
            "sample": sample.sample,
            "title": sample.title,
            "organism": sample.organism,
            "technology": sample.technology,
            "files": len(sample.files),
            "attributes": "; ".join(f"{each.key}: {each.value}" for each in sample.attributes),
        }
        for sample in found.samples
    ]
    return StageOutcome(
        statuses,
        metadata={
            **counts_by_status(statuses),
            "title": found.title or "",
            "organisms": ", ".join(found.organisms),
            "technology": found.technology,
            "n_documents": len(finding.documents),
            "n_documents_not_kept": sum(each.file is None for each in finding.documents),
            "document_bytes": sum(each.bytes for each in finding.documents),
            "missing_ena_fields": ", ".join(finding.missing_fields),
            "preview": previews.table(preview),
        },
    )


def _verdict(sample: Sample) -> SampleStatus:
    from refinebio_assets.sources.records import TECHNOLOGIES

    if sample.skip_reason:
        return SampleStatus(sample.sample, "skipped", *sample.skip_reason)
    if sample.technology not in TECHNOLOGIES:
        return SampleStatus(
            sample.sample,
            "skipped",
            "unsupported_technology",
            f"Samples of technology {sample.technology} are not processed.",
        )
    return SampleStatus(sample.sample, "waiting", "not_started", "Surveyed, not yet processed.")
