"""The references that a release was made with, found again by their digests.

Another reference is refused, or, where any will do, taken and said. Not here: what is done
with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from refinebio_assets.errors import (
    DamagedCompendium,
    MissingIndex,
    MissingProbeAnnotation,
    MissingTarget,
    ReferenceNotOfRelease,
)
from refinebio_assets.resources.annotations import BuiltAnnotation, annotations_of
from refinebio_assets.resources.compendia import Release
from refinebio_assets.resources.qn_targets import newest_target, targets_of
from refinebio_assets.resources.references import BuiltIndex, indices_of
from refinebio_assets.resources.storage import Storage

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from refinebio_assets.compendium.projection import Axes, Space
    from refinebio_assets.compendium.reader import ReleaseMatrix
    from refinebio_assets.matrix.low_rank import Reals

FACTORS, COMPONENTS, SAMPLES = "factors.npz", "components.npz", "samples.parquet"

Reference = TypeVar("Reference", BuiltAnnotation, BuiltIndex)


@dataclass(frozen=True)
class Chosen(Generic[Reference]):
    """A reference, and what is to be said of it where it is not the release's."""

    what: Reference
    remark: str | None = None


@dataclass(frozen=True)
class ReleaseReferences:
    """What samples of one's own are processed with to be of a release.

    Attributes
    ----------
    any_reference
        Whether what is installed will do where the release's own is not there.
    """

    release: Release
    storage: Storage
    any_reference: bool = False

    def annotation(self, platform: str) -> Chosen[BuiltAnnotation]:
        """The probe annotation of an array platform.

        Raises
        ------
        ReferenceNotOfRelease
        MissingProbeAnnotation
            There is none, of any release.
        """
        built = [each for each in annotations_of(self.storage, platform) if each.kind == "cells"]
        missing = MissingProbeAnnotation(f"{platform} has no probe annotation for CEL files.")
        return self._chosen("platform", platform, f"probe annotation of {platform}", built, missing)

    def index(self, length: str) -> Chosen[BuiltIndex]:
        """The short or long Salmon index, and with it the gene map of its release.

        Raises
        ------
        ReferenceNotOfRelease
        MissingIndex
            There is none, of any release.
        """
        organism = self.release.organism
        built = indices_of(self.storage, organism, length)
        what = f"{length} Salmon index of {organism}"
        missing = MissingIndex(f"{organism} has no {length} Salmon index.")
        return self._chosen("index", f"{organism}, {length}", what, built, missing)

    def _chosen(
        self,
        kind: Literal["platform", "index"],
        name: str,
        what: str,
        built: Sequence[Reference],
        missing: MissingProbeAnnotation | MissingIndex,
    ) -> Chosen[Reference]:
        """Of several that the release was made with, the one of most samples that is there."""
        used = [
            each
            for each in self.release.record["references"]
            if (each["kind"], each["name"]) == (kind, name)
        ]
        used.sort(key=lambda each: -each["samples"])
        by_digest = {each.sha256: each for each in reversed(built)}
        for each in used:
            if each["sha256"] in by_digest:
                return Chosen(by_digest[each["sha256"]])
        if used:
            releases = ", ".join(sorted({str(each["release"]) for each in used}))
            said = (
                f"The {what} that {self.release.name} was made with (release {releases}, SHA-256 "
                f"{used[0]['sha256'][:12]}…) is not here any more"
            )
        else:
            said = f"{self.release.name} has no sample that was made with a {what}"
        if not built:
            if not used:
                raise missing
            raise ReferenceNotOfRelease(f"{said}, and no other is.", remedy="Build it again.")
        installed = f"release {built[0].release}, SHA-256 {built[0].sha256[:12]}…"
        if not self.any_reference:
            raise ReferenceNotOfRelease(f"{said}; installed is {installed}.")
        return Chosen(built[0], f"{said}; {installed} was taken.")

    def target(self, tell: Callable[[str], None]) -> NDArray[np.float64] | None:
        """The quantile-normalisation target; None if the release was made without.

        Raises
        ------
        ReferenceNotOfRelease, MissingTarget
        """
        version, digest = (self.release.record[f"target_{name}"] for name in ("version", "sha256"))
        if version is None:
            return None
        organism = self.release.organism
        for each in targets_of(self.storage, organism):
            if (each.version, each.sha256) == (version, digest):
                numbers = each.numbers()
                if hashlib.sha256(numbers.tobytes()).hexdigest() == digest:
                    return numbers
        said = f"The target that {self.release.name} was made with (version {version}) is not here"
        if not self.any_reference:
            raise ReferenceNotOfRelease(f"{said}, or is changed.")
        try:
            newest = newest_target(self.storage, organism)
        except MissingTarget as error:
            raise MissingTarget(f"{said}, and no other is.") from error
        tell(f"{said}, or is changed; version {newest.version} was taken.")
        return newest.numbers()

    def space(self, matrix: ReleaseMatrix, tell: Callable[[str], None]) -> Space:
        """What the release's folder and its target say of the space that it is.

        Parameters
        ----------
        tell
            Told what is not as it should be.

        Raises
        ------
        DamagedCompendium, DamagedFactors
            A file of the release cannot be read, or does not fit the others.
        ReferenceNotOfRelease, MissingTarget
        """
        import polars as pl

        from refinebio_assets.compendium.projection import Space, set_aside_of
        from refinebio_assets.metadata.platforms import RNA_SEQ

        target = self.target(tell)
        is_rnaseq = (self.technologies(matrix) == RNA_SEQ).to_numpy()
        loadings = self._loadings(matrix.genes)
        if loadings is None:
            tell(
                f"{self.release.name} keeps no factors of an imputation: genes that a sample lacks "
                "stay missing, and the others decide."
            )
        return Space(
            genes=pl.Series(matrix.genes, dtype=pl.String),
            loadings=loadings,
            target=target,
            axes=self._axes(matrix),
            set_aside=set_aside_of(matrix, is_rnaseq),
        )

    def technologies(self, matrix: ReleaseMatrix) -> pl.Series:
        """MICROARRAY or RNA-SEQ, of every sample of the release, in its order."""
        import polars as pl

        path = self.release.folder / SAMPLES
        try:
            samples = pl.read_parquet(path, columns=["sample", "technology", "place"], glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DamagedCompendium(f"{path} cannot be read ({error}).") from error
        samples = samples.sort("place")
        if samples["sample"].to_list() != list(matrix.samples):
            raise DamagedCompendium(f"{path} has not the samples of the matrix.")
        return samples["technology"]

    def _loadings(self, genes: Sequence[str]) -> Reals | None:
        from refinebio_assets.matrix.kept_factors import read_factors

        path = self.release.folder / FACTORS
        if not path.exists():
            return None
        kept = read_factors(path)
        places = _places(kept.genes.tolist(), genes)
        if places is None:
            raise DamagedCompendium(f"{path} has not the genes of the matrix.")
        return kept.fill.genes[places]

    def _axes(self, matrix: ReleaseMatrix) -> Axes | None:
        import zipfile

        import numpy as np

        from refinebio_assets.compendium.projection import Axes

        path = self.release.folder / COMPONENTS
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as kept:
                names = ("genes", "means", "axes", "shares", "coordinates")
                genes, means, weights, shares, coordinates = (kept[name] for name in names)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DamagedCompendium(f"{path} cannot be read ({error}).") from error
        places = _places(matrix.genes, genes.tolist())
        fit = (means.shape, weights.shape, coordinates.shape) == (
            (len(genes),),
            (len(genes), 2),
            (len(matrix.samples), 2),
        )
        if places is None or not fit:
            raise DamagedCompendium(f"{path} does not fit the matrix.")
        return Axes(places, means, weights, shares, coordinates)


def _places(among: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp] | None:
    """Where each of the wanted names stands; None if one does not."""
    import numpy as np

    place_of = {name: place for place, name in enumerate(among)}
    places = [place_of.get(name, -1) for name in wanted]
    return None if -1 in places else np.array(places, np.intp)
