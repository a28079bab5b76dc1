"""A matrix on disk gives back what was put there, whichever way it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.publish.disk_matrix import DiskMatrix, Spool


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    panel_cells=st.integers(0, 90),
    step=st.integers(1, 9),
    cells=st.integers(0, 90),
)
def test_gives_back_what_was_written(
    shape: tuple[int, int], panel_cells: int, step: int, cells: int, tmp_path: Path
) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    with DiskMatrix(tmp_path, shape, panel_cells) as matrix:
        for first in range(0, shape[0], step):
            matrix.write_samples(first, values[first : first + step])
        for number in range(shape[0]):
            np.testing.assert_array_equal(
                matrix.read_samples(number, number + 2), values[number : number + 2]
            )
        blocks = list(matrix.by_samples(cells))
        assert all(block.size <= max(cells, shape[1]) for _, block in blocks)
        assert [first for first, _ in blocks] == [
            sum(len(block) for _, block in blocks[:at]) for at in range(len(blocks))
        ]
        np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), values)
        for panel in matrix.panels:
            found = matrix.read_panel(panel)
            assert found.size <= max(panel_cells, shape[0])
            np.testing.assert_array_equal(found, values[:, panel])
            matrix.write_panel(panel, 2 * found)
        np.testing.assert_array_equal(matrix.read_samples(0, shape[0]), 2 * values)


def test_vectors_come_back_in_any_order(tmp_path: Path) -> None:
    vectors = [np.arange(number, dtype=np.float32) for number in (3, 0, 5, 1)]
    with Spool(tmp_path) as spool:
        assert [spool.append(each[::-1]) for each in vectors] == [0, 1, 2, 3]
        for number in (2, 0, 3, 1):
            np.testing.assert_array_equal(spool.read(number), vectors[number][::-1])


def test_files_have_no_name_and_are_given_up(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append(np.ones(9, np.float32))
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        spool.append(np.ones(9, np.float32))


def test_what_was_not_written_cannot_be_read(tmp_path: Path) -> None:
    with DiskMatrix(tmp_path, (2, 2), 2) as matrix:
        matrix.write_samples(0, np.ones((1, 2), np.float32))
        with pytest.raises(EOFError):
            matrix.read_samples(1, 2)
