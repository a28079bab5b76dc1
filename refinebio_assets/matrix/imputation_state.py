"""How far an imputation has come, in memory and as a file that outlives the process.

Not here: what is done with it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from refinebio_assets.matrix.low_rank import Factors, Reals
from refinebio_assets.whole_file import whole_file


@dataclass
class State:
    """Between two passes.

    Attributes
    ----------
    basis
        (genes, width): estimates of the filled matrix's right singular vectors.
    next_rank
        So many of them are good enough for the next fill; None: a further pass is needed.
    fill
        What the missing cells hold; None is 0.
    at_full_rank
        Whether the next fill is of the asked rank at once.
    repeats
        Passes since the fill was replaced.
    changes
        Of each replacement: the fill's squared change over its square; infinite from 0.
    """

    basis: Reals
    next_rank: int | None = None
    fill: Factors | None = None
    passes: int = 0
    repeats: int = 0
    changes: list[float] = field(default_factory=list)
    converged: bool = False
    at_full_rank: bool = False


def is_converged(changed: float, before: float, threshold: float) -> bool:
    """Whether a fill has come to rest, from its squared change and its square before."""
    tiny = float(np.finfo(np.float32).eps)
    if before == 0 or (before < tiny and changed > tiny):
        return False
    return changed / before < threshold


def save(state: State, path: Path, identity: str) -> None:
    """Write the state, whole or not at all; `identity` is of the matrix and the settings."""
    fill = {} if state.fill is None else {"samples": state.fill.samples, "genes": state.fill.genes}
    with whole_file(path) as aside, aside.open("xb") as file:
        np.savez(
            file,
            allow_pickle=False,
            identity=np.array(identity),
            basis=state.basis,
            counts=np.array([state.next_rank or 0, state.passes, state.repeats]),
            changes=np.array(state.changes, np.float64),
            converged=np.array([state.converged, state.at_full_rank]),
            **fill,
        )


def restored(path: Path, identity: str) -> State | None:
    """The state that was saved there; None if there is none, or one of something else."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            if str(saved["identity"]) != identity:
                return None
            rank, passes, repeats = saved["counts"].tolist()
            converged, at_full_rank = saved["converged"].tolist()
            return State(
                basis=saved["basis"],
                next_rank=rank or None,
                fill=Factors(saved["samples"], saved["genes"]) if "samples" in saved else None,
                passes=passes,
                repeats=repeats,
                changes=saved["changes"].tolist(),
                converged=converged,
                at_full_rank=at_full_rank,
            )
    except (FileNotFoundError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
