"""Partition keys cut into the runs of a job."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import ExperimentNotFound
from refinebio_assets.running import contiguous_batches

KNOWN = list("abcdefghij")


@pytest.mark.parametrize(
    ("wanted", "batches"),
    [
        ("", []),
        ("c", ["c"]),
        ("abc", ["abc"]),
        ("cba", ["abc"]),
        ("aac", ["a", "c"]),
        ("abdehij", ["ab", "de", "hij"]),
        ("abcdefghij", ["abcd", "efgh", "ij"]),
    ],
)
def test_runs_of_neighbours(wanted: str, batches: list[str]) -> None:
    assert contiguous_batches(KNOWN, iter(wanted), 4) == [list(batch) for batch in batches]


def test_unknown_keys_are_named() -> None:
    with pytest.raises(ExperimentNotFound, match="x, y is not registered"):
        contiguous_batches(KNOWN, ["x", "a", "y"], 4)


@given(wanted=st.lists(st.sampled_from(KNOWN)), largest=st.integers(1, 12))
def test_batches_cover_the_wanted_keys_once_and_are_ranges(wanted: list[str], largest: int) -> None:
    batches = contiguous_batches(KNOWN, wanted, largest)
    assert [key for batch in batches for key in batch] == sorted(set(wanted))
    for batch in batches:
        assert 1 <= len(batch) <= largest
        assert "".join(batch) in "".join(KNOWN)
    for before, after in pairwise(batches):
        joined = "".join(before + after)
        assert len(before) == largest or joined not in "".join(KNOWN)  # none is cut needlessly
