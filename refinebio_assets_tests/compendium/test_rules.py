"""Rules are read back as they were written, and what cannot be followed is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.compendium.rules import Rules, read_rules
from refinebio_assets.errors import InvalidRequest

shares = st.floats(0, 1)


@given(
    st.builds(
        Rules,
        gene_presence=shares,
        low_count_percentile=st.floats(0, 100),
        most_missing_per_gene=shares,
        most_missing_per_sample=shares,
        rank=st.integers(1, 100),
        engine=st.sampled_from(["svd", "none", "fancyimpute"]),
        quantile_normalize=st.booleans(),
        hold_out_samples=st.integers(0, 10_000),
    )
)
def test_rules_go_through_json(rules: Rules) -> None:
    assert read_rules(json.loads(json.dumps(rules.to_json()))) == rules


def test_what_is_not_given_is_refine_bios() -> None:
    rules = read_rules({"rank": 5, "gene_presence": 1})
    assert rules == Rules(rank=5, gene_presence=1)
    assert (rules.most_missing_per_gene, rules.most_missing_per_sample) == (0.3, 0.5)
    assert (rules.low_count_percentile, rules.quantile_normalize) == (10, True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (["rank"], "mapping"),
        ({"ranks": 10}, "'ranks'"),
        ({3: 10}, "'3'"),
        ({"rank": 0}, "rank is 0"),
        ({"rank": 2.5}, "rank is 2.5"),
        ({"rank": True}, "rank is True"),
        ({"hold_out_samples": -1}, "hold_out_samples is -1"),
        ({"gene_presence": 1.01}, "gene_presence is 1.01"),
        ({"gene_presence": float("nan")}, "gene_presence is nan"),
        ({"most_missing_per_gene": -0.1}, "most_missing_per_gene is -0.1"),
        ({"most_missing_per_sample": "0.5"}, "most_missing_per_sample is '0.5'"),
        ({"low_count_percentile": 101}, "low_count_percentile is 101"),
        ({"low_count_percentile": False}, "low_count_percentile is False"),
        ({"engine": "pca"}, "engine is 'pca'"),
        ({"engine": ["svd"]}, "engine is"),
        ({"quantile_normalize": 1}, "quantile_normalize"),
    ],
)
def test_what_cannot_be_followed_is_refused(content: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says.replace("[", r"\[")):
        read_rules(content)
