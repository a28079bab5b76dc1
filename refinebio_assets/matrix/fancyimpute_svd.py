"""fancyimpute's own IterativeSVD, for comparison: in memory, from a random start.

It names an argument of scikit-learn as that did before 1.6; here the name is translated, and
all else is fancyimpute's. Not here: our own (`impute.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from refinebio_assets.errors import ToolMissing
from refinebio_assets.matrix.low_rank import Reals


def impute_by_fancyimpute(values: Reals, rank: int) -> Reals:
    """A matrix of samples × genes with its missing values (NaN) imputed.

    Raises
    ------
    ToolMissing
        fancyimpute is not installed.
    """
    try:
        from fancyimpute import iterative_svd, solver
    except ImportError as error:
        raise ToolMissing(
            f"fancyimpute cannot be used ({error}).",
            remedy="Install it: pip install 'refinebio-assets[fancyimpute]'.",
        ) from error
    with _with_new_argument(iterative_svd), _with_new_argument(solver):
        method = iterative_svd.IterativeSVD(rank=rank, verbose=False)
        filled: Reals = method.fit_transform(values)
    return filled


@contextmanager
def _with_new_argument(module: ModuleType) -> Iterator[None]:
    """Give a module a `check_array` that knows the former name of `ensure_all_finite`."""
    original = module.check_array

    def check_array(values: Any, *, force_all_finite: bool) -> Any:
        return original(values, ensure_all_finite=force_all_finite)

    module.check_array = check_array  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.check_array = original  # type: ignore[attr-defined]
