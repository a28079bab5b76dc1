"""Where a user's own samples fall among those of a release: from files to a folder of results.

Not here: how a sample is brought to genes (`user_samples`), how it is placed
(`compendium.projection`), and the command.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refinebio_assets import __version__
from refinebio_assets.assets.progress import by_stage
from refinebio_assets.assets.stage import Toolbox
from refinebio_assets.assets.user_samples import HowToRead, read_user_samples
from refinebio_assets.resources.release_references import ReleaseReferences
from refinebio_assets.whole_file import refuse_taken, whole_new_folder

if TYPE_CHECKING:
    from refinebio_assets.compendium.projection import Space
    from refinebio_assets.compendium.projection_files import Found, NotPlaced, OwnSample
    from refinebio_assets.compendium.reader import ReleaseMatrix


@dataclass(frozen=True, eq=False)
class UserProjection:
    """What came of a user's samples; `found` is None where none could be placed."""

    samples: list[OwnSample]
    not_placed: list[NotPlaced]
    found: Found | None


def project_files(
    paths: Sequence[Path],
    references: ReleaseReferences,
    output: Path,
    toolbox: Toolbox,
    how: HowToRead,
) -> UserProjection:
    """Place the samples of files and folders in a release; `output` is there whole or not at all.

    Raises
    ------
    FileExistsError
        There is an output of that name, which is not an empty folder.
    DamagedCompendium, DamagedFactors
    ReferenceNotOfRelease, MissingTarget
        Of the target; those of single samples are told of them.
    """
    from refinebio_assets.compendium.projection_files import Told, write_projection
    from refinebio_assets.compendium.reader import open_release_matrix

    refuse_taken(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    remarks: list[str] = []

    def tell(remark: str) -> None:
        toolbox.log(remark)
        remarks.append(remark)

    release = references.release
    with open_release_matrix(release.folder) as matrix:
        space = references.space(matrix, tell)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
            samples, not_placed = read_user_samples(
                paths, references, space, toolbox, Path(scratch), how
            )
        found = None
        if samples:
            found = _found(samples, references, matrix, space, toolbox)
    told = Told(release.name, f"refinebio_assets {__version__}", remarks)
    with whole_new_folder(output) as folder:
        write_projection(folder, samples, not_placed, found, space, told)
    return UserProjection(samples, not_placed, found)


def _found(
    samples: Sequence[OwnSample],
    references: ReleaseReferences,
    matrix: ReleaseMatrix,
    space: Space,
    toolbox: Toolbox,
) -> Found:
    """One pass over the release, for the samples and for some of the release's own."""
    import numpy as np

    from refinebio_assets.compendium.projection import (
        DRAWN,
        nearest,
        percentiles,
        project,
        spread,
    )
    from refinebio_assets.compendium.projection_files import Found

    projection = project(
        np.stack([each.row for each in samples]),
        np.array([each.is_rnaseq for each in samples]),
        space,
    )
    drawn = spread(len(matrix.samples), DRAWN)
    values, origins = matrix.read_samples([matrix.samples[each] for each in drawn])
    neighbours = nearest(
        np.concatenate([projection.values, values]),
        np.concatenate([projection.origins, origins]),
        matrix,
        itself=np.concatenate([np.full(len(samples), -1), drawn]),
        on_progress=by_stage(references.release.name, toolbox.log),
    )
    mine, theirs = neighbours.of(slice(0, len(samples))), neighbours.of(slice(len(samples), None))
    near = np.unique(mine.places[mine.places >= 0])
    return Found(
        projection=projection,
        neighbours=mine,
        percentiles=percentiles(mine.correlations[:, 0], theirs.correlations[:, 0]),
        facts=matrix.describe([matrix.samples[each] for each in near]),
        samples_of_release=matrix.samples,
        technologies=references.technologies(matrix),
    )
