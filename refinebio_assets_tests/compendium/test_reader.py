"""A release read again by samples and by genes; names and files that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.compendium.layered_h5ad import LayeredH5ad
from refinebio_assets.compendium.reader import ReleaseMatrix, open_release_matrix
from refinebio_assets.errors import DamagedCompendium, NotInCompendium
from refinebio_assets_tests.compendium.example_matrix import Example, example

MADE = example(400, 700, gaps=True)


def write(made: Example, folder: Path) -> Path:
    path = folder / "HOMO_SAPIENS.h5ad"
    with LayeredH5ad(path, made.genes, made.samples) as file:
        made.write_into(file, [400])
    return path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReleaseMatrix]:
    folder = tmp_path_factory.mktemp("release")
    write(MADE, folder)
    with open_release_matrix(folder) as matrix:
        yield matrix


def test_names_are_those_written(opened: ReleaseMatrix) -> None:
    assert opened.samples == MADE.samples
    assert opened.genes == MADE.genes.to_list()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(places=st.lists(st.integers(0, 399), max_size=12))
def test_samples_come_in_the_order_asked_for(opened: ReleaseMatrix, places: list[int]) -> None:
    values, origins = opened.read_samples([MADE.samples[place] for place in places])
    np.testing.assert_array_equal(values, MADE.values[places].reshape(-1, 700))
    np.testing.assert_array_equal(origins, MADE.origins[places].reshape(-1, 700))
    assert (values.dtype, origins.dtype) == (np.float32, np.uint8)


@settings(max_examples=50, deadline=None)
@given(places=st.lists(st.integers(0, 699), max_size=12))
def test_genes_come_in_the_order_asked_for(opened: ReleaseMatrix, places: list[int]) -> None:
    values, origins = opened.read_genes([MADE.genes[place] for place in places])
    np.testing.assert_array_equal(values, MADE.values[:, places].reshape(400, -1))
    np.testing.assert_array_equal(origins, MADE.origins[:, places].reshape(400, -1))


@pytest.mark.parametrize("most_cells", [1, 200_000, 10_000_000])
def test_blocks_are_all_of_it(opened: ReleaseMatrix, most_cells: int) -> None:
    firsts, values, origins = zip(*opened.blocks(most_cells), strict=True)
    assert list(firsts) == list(np.cumsum([0, *map(len, values[:-1])]))
    np.testing.assert_array_equal(np.concatenate(values), MADE.values)
    np.testing.assert_array_equal(np.concatenate(origins), MADE.origins)


def test_a_matrix_of_one_value(tmp_path: Path) -> None:
    made = example(1, 1)
    write(made, tmp_path)
    with open_release_matrix(tmp_path) as matrix:
        assert matrix.read_samples(matrix.samples)[0] == made.values
        assert matrix.read_genes(matrix.genes)[0] == made.values


def test_unknown_names_are_named(opened: ReleaseMatrix) -> None:
    with pytest.raises(NotInCompendium, match="no sample 'GSM1'"):
        opened.read_samples([MADE.samples[0], "GSM1"])
    with pytest.raises(NotInCompendium, match="and 15 more"):
        opened.read_genes([f"TP{number}" for number in range(20)])


def test_a_folder_without_a_matrix(tmp_path: Path) -> None:
    with pytest.raises(DamagedCompendium, match="0 AnnData files"):
        open_release_matrix(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n"])
def test_files_that_are_not_hdf5(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "H.h5ad").write_bytes(content)
    with pytest.raises(DamagedCompendium):
        open_release_matrix(tmp_path)


def test_a_file_that_is_cut(tmp_path: Path) -> None:
    path = write(MADE, tmp_path)
    path.write_bytes(path.read_bytes()[:-10_000])
    with pytest.raises(DamagedCompendium):
        open_release_matrix(tmp_path)


@pytest.mark.parametrize("part", ["X", "layers", "layers/origin", "obs", "var", "obs/_index"])
def test_parts_that_are_missing(part: str, tmp_path: Path) -> None:
    with h5py.File(write(MADE, tmp_path), "r+") as file:
        del file[part]
    with pytest.raises(DamagedCompendium):
        open_release_matrix(tmp_path)


def test_bits_that_have_turned(tmp_path: Path) -> None:
    path = write(MADE, tmp_path)
    with h5py.File(path) as file:
        place = file["X"].id.get_chunk_info_by_coord((128, 256))
    content = bytearray(path.read_bytes())
    for offset in range(place.byte_offset + 100, place.byte_offset + 200):
        content[offset] ^= 0x55
    path.write_bytes(content)
    with open_release_matrix(tmp_path) as matrix:
        with pytest.raises(DamagedCompendium, match="cannot be read"):
            matrix.read_samples([MADE.samples[130]])
        with pytest.raises(DamagedCompendium, match="cannot be read"):
            matrix.read_genes([MADE.genes[300]])
        with pytest.raises(DamagedCompendium, match="cannot be read"):
            list(matrix.blocks())
        np.testing.assert_array_equal(matrix.read_samples([MADE.samples[0]])[0][0], MADE.values[0])
