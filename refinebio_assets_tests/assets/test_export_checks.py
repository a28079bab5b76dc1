"""What is said of an export's files: what must hold, and in words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from refinebio_assets.assets.export_checks import (
    Seen,
    count_differences,
    to_compare,
    verdicts_of,
)
from refinebio_assets.matrix.join import LeftOut


def seen(**other: Any) -> Seen:
    good: dict[str, Any] = {
        "contents": "x.h5, 2 samples × 3 genes",
        "as_written": True,
        "missing": 0,
        "compared": {"a": 0, "b": 0},
        "wanted": ["a", "b"],
        "there": ["a", "b"],
        "left_out": [],
    }
    return Seen(**{**good, **other})


def test_what_is_good_holds() -> None:
    assert all(each["holds"] for each in verdicts_of(seen()).values())


@pytest.mark.parametrize(
    ("check", "other", "words"),
    [
        ("readable", {"as_written": False}, "NOT"),
        ("as_the_catalogue", {"compared": {"a": 0, "b": 7}}, "b (7 values)"),
        ("nothing_missing", {"missing": 1234}, "1,234 values"),
        ("samples_complete", {"there": ["a"]}, "Lost without a reason: b."),
    ],
)
def test_what_is_bad_is_an_error_that_names_it(check: str, other: Any, words: str) -> None:
    found = verdicts_of(seen(**other))
    assert [name for name, each in found.items() if not each["holds"]] == [check]
    assert found[check]["must_hold"]
    assert words in found[check]["words"]


def test_what_is_left_out_with_a_reason_is_a_warning() -> None:
    told = seen(there=["a"], left_out=[LeftOut("b", "Its index lacks 3 of the transcripts.")])
    verdict = verdicts_of(told)["samples_complete"]
    assert (verdict["holds"], verdict["must_hold"]) == (False, False)
    assert "1 of 2 samples" in verdict["words"]
    assert "b (Its index lacks 3" in verdict["words"]


@pytest.mark.parametrize("number", [0, 1, 8, 9, 17, 1000])
def test_some_samples_are_compared_at_equal_distances(number: int) -> None:
    names = [f"s{place}" for place in range(number)]
    chosen = to_compare(names)
    assert len(chosen) == len(set(chosen)) <= 8
    assert chosen[:1] == names[:1]
    gaps = {names.index(b) - names.index(a) for a, b in pairwise(chosen)}
    assert len(gaps) <= 1


def test_differences_are_counted_value_by_value() -> None:
    origin = pl.DataFrame(
        {"feature": ["z", "y", "x"], "counts": [2.5, 1.0, 3.4], "tpm": [1.0, 2, 3]}
    )
    features = ["x", "y", "z"]
    right = {"counts": np.array([3.4, 1.0, 2.5]), "tpm": np.array([3.0, 2.0, 1.0])}
    assert count_differences(right, features, origin) == 0
    assert count_differences({"counts": np.array([3, 1, 2])}, features, origin, np.rint) == 0
    assert count_differences({"counts": np.array([3, 1, 3])}, features, origin, np.rint) == 1
    assert count_differences({**right, "tpm": np.zeros(3)}, features, origin) == 3
    absent = {"counts": np.array([3.4, 1.0, 2.5, 0.0])}
    assert count_differences(absent, [*features, "w"], origin) == 1
