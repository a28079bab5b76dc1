"""Joins and the forecast of lost genes, against plain dictionaries and sets, and real arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.matrix.join import (
    GeneLists,
    GeneLoss,
    Join,
    LeftOut,
    fill,
    forecast_gene_loss,
    gene_lists,
    inner_join,
    outer_join,
)
from refinebio_assets_tests.conftest import shared_data

Reals = NDArray[np.floating[Any]]
Sample = tuple[str, Sequence[str]]


def listed(samples: Sequence[Sample]) -> GeneLists:
    return gene_lists((name, pl.Series(genes, dtype=pl.String)) for name, genes in samples)


def with_values(samples: Sequence[Sample]) -> list[tuple[str, pl.Series, Reals]]:
    """A value of its own in every cell."""
    return [
        (name, pl.Series(genes, dtype=pl.String), number * 1000.0 + np.arange(len(genes)))
        for number, (name, genes) in enumerate(samples)
    ]


def cells(join: Join, samples: Sequence[Sample]) -> dict[tuple[str, str], float]:
    matrix = fill(join, with_values(samples))
    return {
        (gene, sample): float(matrix[row, column])
        for row, gene in enumerate(join.genes)
        for column, sample in enumerate(join.samples)
        if not np.isnan(matrix[row, column])
    }


def plain_cells(samples: Sequence[Sample], names: Sequence[str]) -> dict[tuple[str, str], float]:
    plain: dict[tuple[str, str], float] = {}
    for name, genes, values in reversed(with_values(samples)):  # the first of a name stays
        plain = {key: value for key, value in plain.items() if key[1] != name}
        if name in names:
            plain |= {(gene, name): value for gene, value in zip(genes, values, strict=True)}
    return plain


# Lists come from few, so that they are shared, in their order or another.
gene_names = st.lists(st.sampled_from("ABCDEFGH"), unique=True, max_size=8)
cohorts = st.lists(gene_names, min_size=1, max_size=4).flatmap(
    lambda lists: st.lists(
        st.tuples(st.sampled_from(["s1", "s2", "s3", "s4", "s5", "s6"]), st.sampled_from(lists)),
        max_size=10,
    )
)


def spaces(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples that share genes, directly or through others."""
    found: list[list[Sample]] = []
    for sample in samples:
        met = [space for space in found if any(set(genes) & set(sample[1]) for _, genes in space)]
        found = [space for space in found if space not in met] + [
            [*(each for space in met for each in space), sample]
        ]
    return found


# --- joins ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(cohorts)
def test_inner_join_is_that_of_dictionaries(samples: list[Sample]) -> None:
    join = inner_join(listed(samples))
    first = list(dict(reversed(samples)).items())[::-1] if samples else []
    first = sorted(first, key=lambda sample: samples.index(sample))
    largest = max((len(space) for space in spaces(first) if space[0][1]), default=0)
    candidates = [
        sorted(space, key=first.index)
        for space in spaces(first)
        if len(space) == largest and space[0][1]
    ]
    expected: list[Sample] = []
    common: list[str] = []
    if candidates:
        for sample in min(candidates, key=lambda space: first.index(space[0])):
            still = [gene for gene in common if gene in sample[1]] if expected else sample[1]
            if still:
                expected.append(sample)
                common = list(still)
    assert join.samples == [name for name, _ in expected]
    assert join.genes.to_list() == common
    assert set(common) == (
        set.intersection(*(set(genes) for _, genes in expected)) if expected else set()
    )
    plain = plain_cells(samples, join.samples)
    assert cells(join, samples) == {key: plain[key] for key in plain if key[0] in common}
    assert len(join.left_out) + len(join.samples) == len(samples)
    assert (join.coverage == len(expected)).all()


@settings(deadline=None, max_examples=300)
@given(cohorts)
def test_outer_join_is_that_of_dictionaries(samples: list[Sample]) -> None:
    join = outer_join(listed(samples))
    plain = plain_cells(samples, [name for name, _ in samples])
    assert join.samples == list(dict.fromkeys(name for name, _ in samples))
    assert join.genes.to_list() == sorted({gene for gene, _ in plain})
    assert cells(join, samples) == plain
    coverage = [sum(gene == key[0] for key in plain) for gene in join.genes]
    assert join.coverage.tolist() == coverage


def test_a_stray_sample_in_front_does_not_decide() -> None:
    samples = [
        ("stray", ["1007_s", "1053"]),
        ("s1", ["B", "A", "C"]),
        ("s2", ["C", "B", "D"]),
        ("none", []),
        ("s1", ["A"]),
        ("s3", ["D", "C", "B"]),
    ]
    join = inner_join(listed(samples))
    assert join.samples == ["s1", "s2", "s3"]
    assert join.genes.to_list() == ["B", "C"]
    assert join.left_out == [
        LeftOut("stray", "It shares no gene with most of the samples."),
        LeftOut("none", "It has no gene."),
        LeftOut("s1", "A sample of this name is there already."),
    ]


def test_a_join_that_would_leave_no_gene_is_undone() -> None:
    samples = [("s1", ["A", "B"]), ("s2", ["B", "C"]), ("s3", ["C", "D"]), ("s4", ["B", "D"])]
    join = inner_join(listed(samples))
    assert join.samples == ["s1", "s2", "s4"]
    assert join.genes.to_list() == ["B"]
    assert join.left_out == [
        LeftOut("s3", "It has none of the genes that all samples before it have.")
    ]


def test_values_are_filled_from_any_order_into_any_array(tmp_path: Path) -> None:
    samples = [("s1", ["A", "B"]), ("s2", ["B", "C"])]
    join = outer_join(listed(samples))
    out = np.memmap(tmp_path / "matrix", np.float64, "w+", shape=(3, 2))
    values = [*with_values(samples)[::-1], ("other", pl.Series(["Z"]), np.ones(1))]
    assert fill(join, iter(values), out) is out
    np.testing.assert_array_equal(out, [[0, np.nan], [1, 1000], [np.nan, 1001]])
    assert fill(join, values).dtype == np.float32


def test_values_that_were_not_planned_are_refused() -> None:
    samples = [("s1", ["A", "B"]), ("s2", ["B"])]
    join = inner_join(listed(samples))
    with pytest.raises(ValueError, match="Sample s2 comes with other genes"):
        fill(join, with_values([("s1", ["A", "B"]), ("s2", ["A"])]))
    with pytest.raises(ValueError, match="Sample s1 comes with other genes"):
        fill(join, [("s1", pl.Series(["A", "B"]), np.ones(3))])
    with pytest.raises(ValueError, match="did not come: s2"):
        fill(join, with_values(samples[:1]))
    with pytest.raises(ValueError, match="shape"):
        fill(join, with_values(samples), np.ones((2, 1)))


@pytest.mark.parametrize("genes", [["A", "A"], ["A", None]])
def test_genes_must_be_unique(genes: list[str | None]) -> None:
    with pytest.raises(ValueError, match="Sample s1 has a gene twice"):
        gene_lists([("s1", pl.Series(genes, dtype=pl.String))])


def test_real_platforms_join_on_their_common_symbols() -> None:
    """The samples of two series, one with genes taken away and in another order."""
    table = pl.read_parquet(shared_data("matrix/GSE12418.parquet"))
    table = table.unique("feature_id", maintain_order=True)
    other = table.sort("feature_id", descending=True).gather_every(3)

    def samples() -> Iterator[tuple[str, pl.Series, Reals]]:
        for each, prefix in ((table, "a"), (other, "b")):
            for name in each.columns[:-1]:
                yield prefix + name, each["feature_id"], each[name].to_numpy()

    found = gene_lists((name, genes) for name, genes, _ in samples())
    assert len(found.lists) == 2
    join = inner_join(found)
    matrix = fill(join, samples())
    expected = table.join(other, on="feature_id", how="inner", maintain_order="left", suffix="_b")
    assert join.genes.equals(expected["feature_id"])
    np.testing.assert_array_equal(matrix, expected.drop("feature_id").to_numpy())


# --- forecast -------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(cohorts, st.lists(st.sampled_from(["p1", "p2", "p3"]), min_size=6, max_size=6))
def test_forecast_is_what_leaving_a_group_out_gives(
    samples: list[Sample], platforms: list[str]
) -> None:
    group_of = dict(zip(["s1", "s2", "s3", "s4", "s5", "s6"], platforms, strict=True))

    def in_common(groups: set[str]) -> set[str]:
        sets = [set(genes) for name, genes in samples if group_of[name] in groups]
        return set.intersection(*sets) if sets else set()

    groups = {group_of[name] for name, _ in samples}
    kept = in_common(groups)
    losses = forecast_gene_loss(listed(samples), group_of)
    assert {loss.group for loss in losses} == groups
    for loss in losses:
        without = in_common(groups - {loss.group}) if len(groups) > 1 else kept
        assert loss.lost == len(without) - len(kept)
        assert loss.kept == len(kept)
        assert loss.genes == len(in_common({loss.group}))
        assert loss.samples == sum(group_of[name] == loss.group for name, _ in samples)
    assert [loss.lost for loss in losses] == sorted((loss.lost for loss in losses), reverse=True)


def test_the_dearest_platform_comes_first() -> None:
    samples = [("s1", "ABCDE"), ("s2", "ABCDE"), ("s3", "ABCD"), ("s4", "ABE"), ("s5", "BACDE")]
    platforms = {"s1": "large", "s2": "large", "s3": "middle", "s4": "small", "s5": "large"}
    found = listed([(name, list(genes)) for name, genes in samples])
    assert forecast_gene_loss(found, platforms) == [
        GeneLoss("small", samples=1, genes=3, lost=2, kept=2),
        GeneLoss("middle", samples=1, genes=4, lost=1, kept=2),
        GeneLoss("large", samples=3, genes=5, lost=0, kept=2),
    ]
    each_alone = {name: name for name, _ in samples}
    assert [loss.group for loss in forecast_gene_loss(found, each_alone)][:2] == ["s4", "s3"]
