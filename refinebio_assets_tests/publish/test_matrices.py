"""A group's matrix against the same made plainly with pandas, and against preprocessCore."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import MissingTarget, NothingToDeliver
from refinebio_assets.matrix.expression import write_array_values
from refinebio_assets.matrix.ks import check_upper_halves
from refinebio_assets.publish.matrices import Assembled, GroupSample, assemble
from refinebio_assets.publish.recipe import Recipe

HUMAN, MOUSE = "HOMO_SAPIENS", "MUS_MUSCULUS"
ARRAY, RNA = "MICROARRAY", "RNA-SEQ"
PLAIN = Recipe({}, quantile_normalize=False)
NORMALISED = Recipe({})
TARGETS = {HUMAN: np.linspace(2, 14, 9) ** 1.3, MOUSE: np.arange(5.0)}


@dataclass(frozen=True)
class Given:
    """A sample and its values by identifier."""

    sample: str
    values: Mapping[str, float]
    experiment: str = "E1"
    organism: str = HUMAN
    technology: str = ARRAY


def files_of(samples: Sequence[Given], folder: Path) -> list[GroupSample]:
    """Write the samples' expression files, one for each experiment."""
    for experiment in {each.experiment for each in samples}:
        of_sample = {each.sample: each.values for each in samples if each.experiment == experiment}
        names = sorted(of_sample)
        genes = sorted(set().union(*of_sample.values()))
        values = [[of_sample[name].get(gene, np.nan) for name in names] for gene in genes]
        matrix = np.array(values, np.float32).reshape(len(genes), len(names))
        write_array_values(folder / f"{experiment}.parquet", genes, names, matrix, {"a": "b"})
    return [
        GroupSample(
            each.sample, each.organism, each.technology, folder / f"{each.experiment}.parquet"
        )
        for each in samples
    ]


def make(
    samples: Sequence[Given], folder: Path, recipe: Recipe = NORMALISED, **more: Any
) -> Assembled:
    asked = {"targets": TARGETS, "folder": folder, "scratch": folder, **more}
    return assemble("G", files_of(samples, folder), recipe=recipe, **asked)


def table_of(made: Assembled) -> pd.DataFrame:
    return pd.read_csv(made.files["tsv"], sep="\t", index_col="Gene", float_precision="round_trip")


def reasons(made: Assembled) -> dict[str, str]:
    return {each.sample: each.reason for each in made.left_out}


# --- the same with pandas -------------------------------------------------------------


def plain_sample(each: Given, recipe: Recipe) -> pd.Series:
    ids, values = [], []
    for name in sorted(each.values):
        short = name.replace("_at", "")
        bare = short.rpartition(".")[0] if "." in short else short
        if "AFFX-" not in short and bare and not np.isnan(each.values[name]):
            ids.append(bare)
            values.append(each.values[name])
    column = pd.Series(np.array(values, np.float32).astype(float), ids)
    column = column.groupby(level=0, sort=False).mean().astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        if each.technology == RNA:
            return np.log2(column + 1) if recipe.aggregate_by == "SPECIES" else column
        return np.log2(column) if column.max() > 100 else column


def plain_normalised(column: pd.Series, target: NDArray[np.float64]) -> pd.Series:
    ranked, ranks, known = np.sort(target), column.rank(), column.count()
    if known == len(column) == len(target):
        return ranks.map(lambda r: (ranked[int(np.floor(r)) - 1] + ranked[int(np.ceil(r)) - 1]) / 2)
    if known == 1:
        return column.where(column.isna(), ranked[-1])
    place = (ranks - 1) / (known - 1) * (len(ranked) - 1)
    return pd.Series(np.interp(place, np.arange(len(ranked)), ranked), column.index)


def plain_scaled(gene: pd.Series, how: str) -> pd.Series:
    known = gene[np.isfinite(gene)]
    if how == "NONE" or not len(known):
        return gene
    centre, spread = {
        "STANDARD": (known.mean(), known.std(ddof=0)),
        "MINMAX": (known.min(), known.max() - known.min()),
        "ROBUST": (known.median(), known.quantile(0.75) - known.quantile(0.25)),
    }[how]
    return (gene - centre) / (spread if spread > 1e-5 else 1)


def plain_matrix(samples: Sequence[Given], recipe: Recipe) -> pd.DataFrame:
    joined: pd.DataFrame | None = None
    for each in samples:
        column = plain_sample(each, recipe).rename(each.sample)
        joined = column.to_frame() if joined is None else joined.join(column, how="inner")
    assert joined is not None
    joined = joined.astype(float)
    if recipe.quantile_normalize:
        for each in samples:
            new = plain_normalised(joined[each.sample], TARGETS[each.organism])
            joined[each.sample] = new.astype(np.float32).astype(float)
    return joined.apply(plain_scaled, axis=1, how=recipe.scale_by)


IDS = ["both_at", "ENSG1.1", "ENSG1.2", "ENSG2.7", "a", "b", "c.1", "d_at", "AFFX-q_at", "Y7.3"]


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Given], Recipe]:
    recipe = Recipe(
        {},
        aggregate_by=draw(st.sampled_from(["EXPERIMENT", "SPECIES", "ALL"])),
        scale_by=draw(st.sampled_from(["NONE", "STANDARD", "MINMAX", "ROBUST"])),
        quantile_normalize=draw(st.booleans()),
    )
    samples = []
    for number in range(draw(st.integers(1, 6))):
        technology = draw(st.sampled_from([ARRAY, RNA]))
        low = 0 if technology == RNA else draw(st.sampled_from([-3, 0, 1]))
        value = st.integers(8 * low, 8 * draw(st.sampled_from([14, 300]))).map(lambda n: n / 8)
        lacking = draw(st.sets(st.sampled_from(IDS[1:]), max_size=3))
        values = {name: draw(value) for name in IDS if name not in lacking}
        experiment, organism = draw(st.sampled_from([("E1", HUMAN), ("E2", HUMAN), ("E3", MOUSE)]))
        samples.append(
            Given(f"s{number}", values, f"{experiment}{technology}", organism, technology)
        )
    return draw(st.permutations(samples)), recipe


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(group=groups(), memory=st.sampled_from([1, 300, 1 << 29]))
def test_is_what_pandas_makes_of_it(
    group: tuple[list[Given], Recipe], memory: int, tmp_path: Path
) -> None:
    samples, recipe = group
    made = make(samples, tmp_path, recipe, memory_bytes=memory)
    expected = plain_matrix(samples, recipe)
    found = table_of(made)
    assert made.left_out == []
    assert made.samples == list(found.columns) == [each.sample for each in samples]
    assert made.genes.to_list() == list(found.index) == list(expected.index)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    assert (made.ks is None) == (len(samples) == 1 or not recipe.quantile_normalize)
    if made.ks is not None:
        unscaled = plain_matrix(samples, replace(recipe, scale_by="NONE"))
        values = unscaled.to_numpy(np.float32)
        ks = check_upper_halves(values, made.samples)
        assert (made.ks.pairs, made.ks.failed) == (ks.pairs, ks.failed)
        assert made.ks.statistic == pytest.approx(ks.statistic)


R_SCRIPT = """
suppressMessages(library(preprocessCore))
a <- commandArgs(TRUE)
x <- as.matrix(read.delim(a[1], row.names = 1, check.names = FALSE))
y <- normalize.quantiles.use.target(x, scan(a[2], quiet = TRUE))
writeBin(as.vector(y), a[3])
"""


def test_is_normalised_as_by_preprocesscore(tmp_path: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("no Rscript")
    check = ["Rscript", "-e", "library(preprocessCore)"]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        pytest.skip("R has no package preprocessCore")
    rng = np.random.default_rng(8)
    genes = [f"g{number}" for number in range(400)]
    samples = [
        Given(f"s{number}", dict(zip(genes[number:], rng.gamma(3, 2, 400).round(1), strict=False)))
        for number in range(7)
    ]
    target = np.sort(rng.normal(8, 2, 394))
    (tmp_path / "target").write_text("\n".join(map(repr, target.tolist())))
    (tmp_path / "script.R").write_text(R_SCRIPT)
    joined = make(samples, tmp_path, PLAIN)
    paths = [joined.files["tsv"], tmp_path / "target", tmp_path / "theirs"]
    command = ["Rscript", "--vanilla", tmp_path / "script.R", *paths]
    subprocess.run(command, check=True, capture_output=True)
    theirs = np.fromfile(tmp_path / "theirs").reshape(-1, 394).T
    made = make(samples, tmp_path, NORMALISED, targets={HUMAN: target})
    np.testing.assert_array_equal(table_of(made).to_numpy(np.float32), theirs.astype(np.float32))


# --- what is left out, and what is told -----------------------------------------------


def numbers(start: float, *genes: str) -> dict[str, float]:
    return {gene: start + place for place, gene in enumerate(genes)}


def test_samples_that_cannot_be_used_are_left_out_with_the_reason(tmp_path: Path) -> None:
    samples = [
        Given("foreign", numbers(1, "x", "y"), "E2"),
        Given("gone", numbers(1, "a"), "E3"),
        Given("first", numbers(3, "b", "a", "c"), "E1"),
        Given("empty", {"a": np.nan, "b": np.nan}, "E1"),
        Given("damaged", numbers(1, "a", "b"), "E4"),
        Given("Gene", numbers(1, "a", "b"), "E1"),
        Given("second", numbers(2, "a", "b", "d"), "E5"),
        Given("controls", numbers(1, "AFFX-a"), "E1"),
    ]
    asked = files_of(samples, tmp_path)
    (tmp_path / "E3.parquet").unlink()
    content = (tmp_path / "E4.parquet").read_bytes()
    (tmp_path / "E4.parquet").write_bytes(content[: len(content) // 2])
    asked.append(asked[2])
    asked.append(GroupSample("absent", HUMAN, ARRAY, tmp_path / "E1.parquet"))
    made = assemble("G", asked, recipe=PLAIN, targets={}, folder=tmp_path, scratch=tmp_path)
    assert made.samples == ["first", "second"]
    assert made.genes.to_list() == ["a", "b"]
    assert table_of(made).to_dict() == {"first": {"a": 4, "b": 3}, "second": {"a": 2, "b": 3}}
    told = reasons(made)
    order = ["foreign", "gone", "first", "empty", "damaged", "Gene", "controls", "absent"]
    assert [each.sample for each in made.left_out] == order
    assert "no gene with most" in told["foreign"]
    assert "E3.parquet cannot be read: No such file" in told["gone"]
    assert "already" in told["first"]
    assert told["empty"] == told["absent"] == told["controls"] == "E1.parquet has no value of it."
    assert "E4.parquet cannot be read" in told["damaged"]
    assert "name of the column" in told["Gene"]


def test_the_second_of_a_name_counts_where_the_first_has_no_values(tmp_path: Path) -> None:
    samples = [Given("s", numbers(1, "a")), Given("s", numbers(5, "a"), "E2")]
    asked = files_of(samples, tmp_path)
    (tmp_path / "E1.parquet").unlink()
    made = assemble("G", asked, recipe=PLAIN, targets={}, folder=tmp_path, scratch=tmp_path)
    assert table_of(made)["s"].to_list() == [5]
    assert list(reasons(made)) == ["s"]


def test_without_a_usable_sample_there_is_nothing(tmp_path: Path) -> None:
    samples = [Given("s1", {"AFFX-a": 1.0}), Given("s2", numbers(1, "a"), "E2")]
    asked = files_of(samples, tmp_path)
    (tmp_path / "E2.parquet").write_bytes(b"")
    with pytest.raises(
        NothingToDeliver, match=r"s1: E1\.parquet has no value.*s2: E2\.parquet can"
    ):
        assemble("G", asked, recipe=PLAIN, targets={}, folder=tmp_path, scratch=tmp_path)
    assert not list(tmp_path.glob("G.*"))


def test_an_organism_without_target_is_named(tmp_path: Path) -> None:
    samples = [Given("s1", numbers(1, "a"), organism="DANIO_RERIO")]
    with pytest.raises(MissingTarget, match="DANIO_RERIO"):
        make(samples, tmp_path)
    assert make(samples, tmp_path, PLAIN).samples == ["s1"]


@pytest.mark.parametrize("scale", ["STANDARD", "MINMAX", "ROBUST"])
def test_a_single_sample_is_scaled_to_zeros_and_not_checked(tmp_path: Path, scale: Any) -> None:
    made = make([Given("s", numbers(1, "a", "b"))], tmp_path, Recipe({}, scale_by=scale))
    assert table_of(made)["s"].to_list() == [0, 0]
    assert made.ks is None
    assert made.components is None


def test_what_log2_makes_of_zeros_and_negative_values_stays(tmp_path: Path) -> None:
    raw = Given("raw", {"a": 128.0, "b": 0.0, "c": -2.0, "d": 2.0})
    logged = Given("logged", {"a": 7.0, "b": 0.0, "c": -2.0, "d": 1.0})
    made = make([raw, logged], tmp_path, PLAIN)
    np.testing.assert_array_equal(table_of(made), [[7, 7], [-np.inf, 0], [np.nan, -2], [1, 1]])
    assert made.files["tsv"].read_text() == (
        "Gene\traw\tlogged\na\t7.0\t7.0\nb\t-inf\t0.0\nc\t\t-2.0\nd\t1.0\t1.0\n"
    )
    assert "1 of 2 samples have missing or infinite" in made.warnings[0]
    target = {HUMAN: np.array([1.0, 2, 3, 4])}
    brought = table_of(make([raw, logged], tmp_path, NORMALISED, targets=target))
    assert brought["raw"].to_list()[:2] == [4, 1]
    assert np.isnan(brought["raw"]["c"])
    assert brought["logged"].to_list() == [4, 2, 1, 3]


def test_the_log_is_judged_before_the_join(tmp_path: Path) -> None:
    """By all values of a sample: also those of genes that the others lack."""
    samples = [Given("s1", {"a": 8.0, "x": 101.0}), Given("s2", {"a": 8.0})]
    made = make(samples, tmp_path, PLAIN)
    assert table_of(made).to_dict() == {"s1": {"a": 3}, "s2": {"a": 8}}


@pytest.mark.parametrize(("how", "expected"), [("EXPERIMENT", 255), ("SPECIES", 8), ("ALL", 255)])
def test_counts_are_logged_beside_arrays_of_a_species(
    tmp_path: Path, how: Any, expected: float
) -> None:
    samples = [
        Given("array", {"a": 5.0}),
        Given("counts", {"a": 255.0}, "E2", technology=RNA),
    ]
    made = make(samples, tmp_path, Recipe({}, aggregate_by=how, quantile_normalize=False))
    assert table_of(made).loc["a"].to_list() == [5, expected]


def test_each_organism_has_its_target(tmp_path: Path) -> None:
    samples = [
        Given("h1", numbers(1, "a", "b", "c")),
        Given("m", numbers(7, "c", "a", "b"), "E2", MOUSE),
        Given("h2", numbers(3, "b", "c", "a")),
    ]
    targets = {HUMAN: np.array([1.0, 2, 4]), MOUSE: np.array([10.0, 20, 40])}
    made = make(samples, tmp_path, Recipe({}, aggregate_by="ALL"), targets=targets)
    assert table_of(made).T.to_numpy().tolist() == [[1, 2, 4], [20, 40, 10], [4, 1, 2]]
    assert "own organisms: HOMO_SAPIENS, MUS_MUSCULUS" in made.warnings[0]
    assert made.ks is not None
    assert made.ks.warning == made.warnings[1]


# --- files and pictures ---------------------------------------------------------------


def many(number: int) -> list[Given]:
    rng = np.random.default_rng(5)
    genes = [f"g{each:03}" for each in range(120)]
    level = rng.gamma(4, 2, 120)
    return [
        Given(
            f"s{each}",
            dict(zip(genes, level * (1 + each % 2) + rng.normal(0, 0.1, 120), strict=True)),
            f"E{each % 3}",
        )
        for each in range(number)
    ]


def test_all_formats_hold_the_same_and_are_the_same_again(tmp_path: Path) -> None:
    recipe = Recipe({}, scale_by="STANDARD", formats=("tsv", "parquet", "h5ad"))
    described = pl.DataFrame(
        {"accession": ["s2", "s0", "other"], "sex": ["female", None, "male"], "age": [3.5, 4, 5]}
    )
    steps: list[tuple[str, int, int]] = []
    made = make(
        many(9), tmp_path, recipe, described=described, on_progress=lambda *a: steps.append(a)
    )
    table = table_of(made)
    wide = pl.read_parquet(made.files["parquet"])
    assert wide.columns == ["Gene", *made.samples]
    assert wide["Gene"].equals(made.genes.alias("Gene"))
    np.testing.assert_array_equal(wide.drop("Gene").to_numpy(), table.to_numpy(np.float32))
    annotated = ad.read_h5ad(made.files["h5ad"])
    assert annotated.X.dtype == np.float32
    np.testing.assert_array_equal(annotated.X.T, table.to_numpy(np.float32))
    assert annotated.obs_names.to_list() == made.samples
    assert annotated.var_names.to_list() == made.genes.to_list()
    assert annotated.obs["sex"].isna().to_list() == [True] * 2 + [False] + [True] * 6
    assert annotated.obs["age"].to_list()[:1] + annotated.obs["age"].to_list()[2:3] == [4, 3.5]
    stages = list(dict.fromkeys(stage for stage, _, _ in steps))
    assert stages == [
        "read",
        "normalised",
        "scaled",
        "written as tsv",
        "written as parquet",
        "written as h5ad",
    ]
    for stage in stages:
        done = [(done, total) for name, done, total in steps if name == stage]
        assert done[-1][0] == done[-1][1]
        assert done == sorted(done)
    before = {each: path.read_bytes() for each, path in made.files.items()}
    again = make(many(9), tmp_path, recipe, described=described, memory_bytes=1000)
    assert {each: path.read_bytes() for each, path in again.files.items()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "E0.parquet",
        "E1.parquet",
        "E2.parquet",
        "G.h5ad",
        "G.parquet",
        "G.tsv",
    ]


def test_tells_how_samples_are_distributed_and_which_are_alike(tmp_path: Path) -> None:
    made = make(
        many(12), tmp_path, Recipe({}, scale_by="MINMAX"), targets={HUMAN: np.arange(120.0)}
    )
    unscaled = make(many(12), tmp_path, NORMALISED, targets={HUMAN: np.arange(120.0)})
    assert made.after is not None
    assert made.components is not None
    assert made.before.heights.shape == made.after.heights.shape == (12, 60)
    assert not np.allclose(made.before.heights[0], made.before.heights[1])
    np.testing.assert_array_equal(made.after.heights, made.after.heights[:1].repeat(12, axis=0))
    values = table_of(unscaled).to_numpy().T
    centred = values - values.mean(axis=0)
    u, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    expected = u[:, :2] * lengths[:2]
    np.testing.assert_allclose(np.abs(made.components.coordinates), np.abs(expected), atol=1e-3)
    shares = (lengths**2 / (lengths**2).sum())[:2]
    np.testing.assert_allclose(made.components.shares, shares, rtol=1e-5)
    assert make(many(12), tmp_path, PLAIN).after is None
