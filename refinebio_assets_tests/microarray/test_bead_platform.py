"""Which array a table is from: real tables and the real probes of the arrays."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import IdentifiersNotRecognised
from refinebio_assets.microarray.bead_platform import Detection, detect_bead_platform
from refinebio_assets.microarray.bead_table import read_bead_table
from refinebio_assets_tests.conftest import shared_data


@pytest.fixture(scope="module")
def human() -> dict[str, pl.Series]:
    return {f"humanv{version}": probes_of(f"humanv{version}") for version in (1, 2, 3, 4)}


def probes_of(platform: str) -> pl.Series:
    return pl.read_csv(
        shared_data(f"illumina/bead_maps/{platform}_bead_level_mapping.tsv.gz"),
        separator="\t",
        infer_schema=False,
        quote_char=None,
    )["Probe_Id"]


@pytest.mark.parametrize(
    ("file", "platform", "found", "mapped"),
    [
        ("MAQC_illumina_non-normalized.txt.gz", "humanv1", 96.225, 99.992),
        ("GSM744991.txt", "humanv3", 100, 100),
    ],
)
def test_real_tables(
    file: str, platform: str, found: float, mapped: float, human: dict[str, pl.Series]
) -> None:
    ids = read_bead_table(shared_data(f"illumina/{file}")).texts(0)
    detection = detect_bead_platform(ids, human)
    assert detection.platform == platform
    assert detection.detection_percentage == pytest.approx(found, abs=1e-3)
    assert detection.mapped_percentage == pytest.approx(mapped, abs=1e-3)
    with pytest.raises(IdentifiersNotRecognised, match="None of the table's ids"):
        detect_bead_platform(ids, {"mousev2": probes_of("mousev2")})


def test_part_of_a_table_is_enough(human: dict[str, pl.Series]) -> None:
    """A subset array has few of the probes, but all of its rows are probes."""
    ids = human["humanv4"].head(2000)
    detection = detect_bead_platform(ids, human)
    assert (detection.platform, detection.mapped_percentage) == ("humanv4", 100)


def test_numeric_ids_of_genomestudio_are_of_no_platform(human: dict[str, pl.Series]) -> None:
    table = read_bead_table(shared_data("illumina/4343238080_A_ProbeSummary.txt.gz"))
    with pytest.raises(IdentifiersNotRecognised, match=r"None of the table's ids \(10008, "):
        detect_bead_platform(table.texts(1), human)


def test_more_than_three_quarters_of_the_rows_must_be_probes() -> None:
    candidates = {"array": ["a", "b", "c", "d"]}
    assert detect_bead_platform(["a", "b", "c", "d", "x"], candidates).mapped_percentage == 80
    for ids in (["a", "b", "c", "x"], ["a", "b", "c", "c"], ["a", "b", "c", None], []):
        with pytest.raises(IdentifiersNotRecognised):
            detect_bead_platform(ids, candidates)


def test_of_equals_the_first() -> None:
    candidates = {"small": ["a", "b", "z"], "one": ["a", "b"], "other": ["b", "a"]}
    assert detect_bead_platform(["a", "b"], candidates) == Detection("one", 100, 100)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1),
    st.dictionaries(st.text(min_size=1), st.sets(st.sampled_from("abcdefghij"), min_size=1)),
)
def test_against_sets(ids: list[str], candidates: dict[str, set[str]]) -> None:
    shares = {name: len(set(ids) & keys) / len(keys) for name, keys in candidates.items()}
    best = max(shares, key=lambda name: shares[name], default="")
    mapped = len(set(ids) & candidates.get(best, set())) / len(ids)
    if mapped > 0.75:
        detection = detect_bead_platform(ids, candidates)
        assert detection.detection_percentage == pytest.approx(100 * shares[best])
        assert detection.mapped_percentage == pytest.approx(100 * mapped)
    else:
        with pytest.raises(IdentifiersNotRecognised):
            detect_bead_platform(ids, candidates)
