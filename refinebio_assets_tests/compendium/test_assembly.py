"""The joined matrix of a compendium against the same made plainly with pandas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from refinebio_assets.compendium.assembly import (
    IMPUTED,
    MEASURED,
    ORIGINS,
    ZERO_RESTORED,
    JoinedMatrix,
    join_samples,
    origin_of,
)
from refinebio_assets.compendium.rules import Rules
from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.matrix.expression import write_array_values
from refinebio_assets.publish.group_samples import GroupSample

ARRAY, RNA = "MICROARRAY", "RNA-SEQ"
ALL_KEPT = Rules(0, 0, 1, 1)
DEFAULT = Rules()


@dataclass(frozen=True)
class Given:
    """A sample and its values by identifier."""

    sample: str
    technology: str
    values: Mapping[str, float]
    experiment: str = ""

    @property
    def file(self) -> str:
        return f"{self.experiment}{self.technology}.parquet"


def files_of(samples: Sequence[Given], folder: Path) -> list[GroupSample]:
    """Write the samples' expression files, one for each experiment and technology."""
    for file in {each.file for each in samples}:
        of_sample = {each.sample: each.values for each in samples if each.file == file}
        names = sorted(of_sample)
        genes = sorted(set().union(*of_sample.values()))
        values = [[of_sample[name].get(gene, np.nan) for name in names] for gene in genes]
        matrix = np.array(values, np.float32).reshape(len(genes), len(names))
        write_array_values(folder / file, genes, names, matrix, {"a": "b"})
    return [
        GroupSample(each.sample, "DANIO_RERIO", each.technology, folder / each.file)
        for each in samples
    ]


def joined(samples: Sequence[Given], folder: Path, rules: Rules = DEFAULT) -> JoinedMatrix:
    return join_samples(files_of(samples, folder), rules, folder)


def table_of(made: JoinedMatrix) -> pd.DataFrame:
    values = made.matrix.read_samples(0, made.matrix.samples)
    return pd.DataFrame(values, made.samples, made.genes.to_list())


def reasons(made: JoinedMatrix) -> dict[str, str]:
    return {each.sample: each.reason for each in made.left_out}


# --- the same with pandas -------------------------------------------------------------


def plain_sample(each: Given) -> pd.Series:
    known = {gene: value for gene, value in each.values.items() if not math.isnan(value)}
    column = pd.Series(known, dtype="float64").astype("float32")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log2(column) if each.technology == ARRAY and column.max() > 100 else column


def enough(frame: pd.DataFrame, most_missing: float, axis: int) -> pd.Series:
    share = Fraction(str(most_missing))
    missing = frame.isna().sum(axis=axis)
    return missing.map(lambda count: int(count) <= share * frame.shape[axis]).astype(bool)


@dataclass(frozen=True)
class Plain:
    """What pandas makes: values by samples × genes, and which of them are restored zeros."""

    values: pd.DataFrame
    zeros: pd.DataFrame
    low: set[str]


def plain_matrix(samples: Sequence[Given], rules: Rules) -> Plain:
    columns = {each.sample: plain_sample(each) for each in samples}
    technology = {each.sample: each.technology for each in samples}
    usable = sorted(name for name, column in columns.items() if len(column))
    counts = pd.Series([gene for name in usable for gene in columns[name].index]).value_counts()
    share = Fraction(str(rules.gene_presence))
    universe = sorted(gene for gene in counts.index if counts[gene] > share * len(usable))

    def matrix_of(kind: str) -> pd.DataFrame:
        names = [name for name in usable if technology[name] == kind]
        wide = {name: columns[name].reindex(universe) for name in names}
        return pd.DataFrame(wide, universe, names, dtype="float32")

    arrays = matrix_of(ARRAY)
    rnaseq = matrix_of(RNA).dropna(axis=1, how="all")
    low: set[str] = set()
    if rnaseq.shape[1]:
        sums = rnaseq.astype(float).replace([np.inf, -np.inf], np.nan).sum(axis=1)
        threshold = sums.quantile(rules.low_count_percentile / 100, interpolation="linear")
        low = set(sums.index[sums < threshold])
        rnaseq = rnaseq[sums >= threshold]
    with np.errstate(divide="ignore", invalid="ignore"):
        rnaseq = np.log2(rnaseq + np.float32(1))
    zeros = rnaseq == 0
    whole = pd.concat([arrays, rnaseq.mask(zeros)], axis=1).sort_index()
    whole = whole[enough(whole, rules.most_missing_per_gene, 1)]
    whole = whole.loc[:, enough(whole, rules.most_missing_per_sample, 0)]
    zeros = zeros.reindex(whole.index, fill_value=False)
    zeros = zeros.reindex(columns=whole.columns, fill_value=False).astype(bool)
    whole = whole.mask(zeros, 0).replace([np.inf, -np.inf], np.nan)
    whole = whole.dropna(axis=0, how="all").dropna(axis=1, how="all")
    return Plain(whole.T, zeros.loc[whole.index, whole.columns].T, low)


GENES = [f"G{number:02}" for number in range(14)]


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[Given], Rules]:
    """Samples with many ties, zeros, gaps and a few values that are infinite or negative."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = draw(st.sampled_from([(9, 3), (4, 5), (0, 6), (6, 0), (1, 7)]))
    gaps = draw(st.sampled_from([0.2, 0.1, 0.0, 0.45]))
    odd = draw(st.sampled_from([0.05, 0.0, 0.3]))
    genes = GENES[: draw(st.sampled_from([14, 9, 5, 2]))]
    never = {
        kind: set(random.choice(genes, int(random.integers(0, 1 + len(genes) // 4)), False))
        for kind in (ARRAY, RNA)
    }
    usual = {ARRAY: [0, 0.5, 2, 2, 7.25, 9], RNA: [0, 0, 1e-9, 1, 1, 2, 3, 250]}
    unusual = {ARRAY: [-1, 101, np.inf, -np.inf], RNA: [-1, -3, np.inf, 1e9]}
    zero_genes = set(random.choice(genes, int(random.integers(0, 3))))
    samples = []
    for kind, count in zip((ARRAY, RNA), most, strict=True):
        for number in range(count):
            values = {}
            for gene in genes:
                if gene in never[kind] or random.random() < gaps:
                    continue
                known = unusual if random.random() < odd else usual
                values[gene] = float(random.choice(known[kind]))
                if kind == RNA and gene in zero_genes:
                    values[gene] = 0.0
            name = f"{random.choice(['S', 'T'])}{number}{kind[0]}"
            samples.append(Given(name, kind, values, f"E{random.integers(2)}"))
    rules = draw(
        st.sampled_from([DEFAULT, ALL_KEPT, Rules(0.25, 50, 0.6, 0.7), Rules(0.5, 33, 0.5, 0.2)])
    )
    return [samples[each] for each in random.permutation(len(samples))], rules


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(cohort=cohorts())
def test_the_matrix_is_that_of_pandas(cohort: tuple[list[Given], Rules], tmp_path: Path) -> None:
    samples, rules = cohort
    assume(any(len(each.values) for each in samples))
    plain = plain_matrix(samples, rules)
    if plain.values.empty:
        with pytest.raises(NothingToDeliver):
            joined(samples, tmp_path, rules)
        return
    with joined(samples, tmp_path, rules) as made:
        found = table_of(made)
        kinds = {each.sample: each.technology for each in samples}
        assert made.samples == sorted(plain.values.index, key=lambda each: (kinds[each], each))
        assert made.is_rnaseq.tolist() == [kinds[each] == RNA for each in made.samples]
        expected = plain.values.loc[made.samples]
        pd.testing.assert_frame_equal(found, expected, rtol=1e-6, check_index_type=False)
        missing = expected.isna()
        np.testing.assert_allclose(made.missing_per_gene, missing.mean(axis=0))
        np.testing.assert_allclose(made.missing_per_sample, missing.mean(axis=1))
        assert made.share_missing == pytest.approx(missing.mean(axis=0).mean())
        zeros = plain.zeros.loc[made.samples].to_numpy()
        assert made.zeros_restored == zeros.sum()
        origins = origin_of(found.to_numpy(), made.is_rnaseq)
        np.testing.assert_array_equal(origins == ZERO_RESTORED, zeros)
        np.testing.assert_array_equal(origins == IMPUTED, missing)
        assert sorted({each.sample for each in samples} - set(made.samples)) == sorted(
            each.sample for each in made.left_out
        )
        assert made.genes_with_low_counts == len(plain.low)
        assert sum(made.dropped_genes.values()) == made.genes_seen - len(made.genes)
        gone = plain.low - set(made.genes)
        assert made.dropped_genes.get("low counts", 0) == len(gone)


# --- single rules ---------------------------------------------------------------------


def rnaseq(values: Mapping[str, Mapping[str, float]]) -> list[Given]:
    return [Given(name, RNA, of_gene) for name, of_gene in values.items()]


def test_a_tenth_of_the_genes_is_dropped_by_their_counts(tmp_path: Path) -> None:
    samples = rnaseq({f"S{s}": {f"G{g:03}": g * s for g in range(1, 101)} for s in range(1, 5)})
    with joined(samples, tmp_path) as made:
        assert made.genes.to_list() == [f"G{g:03}" for g in range(11, 101)]
        assert made.dropped_genes == {"low counts": 10}
        assert table_of(made).loc["S3", "G050"] == np.float32(np.log2(151))


def test_genes_tied_at_the_threshold_stay(tmp_path: Path) -> None:
    values = {f"Z{g}": 0.0 for g in range(2)} | {f"G{g}": 5.0 for g in range(18)}
    with joined(rnaseq({"S1": values, "S2": values}), tmp_path, ALL_KEPT) as made:
        assert made.genes_with_low_counts == 0
    tie = replace(ALL_KEPT, low_count_percentile=50)
    with joined(rnaseq({"S1": values, "S2": values}), tmp_path, tie) as made:
        assert made.genes.to_list() == sorted(f"G{g}" for g in range(18))


def test_zeros_count_as_missing_but_are_not_imputed(tmp_path: Path) -> None:
    genes = [f"G{g}" for g in range(10)]
    counts = {f"S{s}": dict.fromkeys(genes, 7.0) | {"G9": 0.0} for s in range(10)}
    for name in list(counts)[:3]:
        counts[name]["G0"] = 0.0  # of three samples: kept
    for name in list(counts)[:4]:
        counts[name]["G1"] = 0.0  # of four: dropped
    with joined(rnaseq(counts), tmp_path) as made:
        assert made.genes.to_list() == ["G0", *genes[2:9]]
        assert table_of(made)["G0"].tolist() == [0, 0, 0] + [3] * 7
        assert made.zeros_restored == 3
        assert made.share_missing == 0
        assert made.dropped_genes == {"low counts": 1, "missing in too many samples": 1}


def test_zeros_of_arrays_are_values(tmp_path: Path) -> None:
    samples = [Given(f"S{s}", ARRAY, {"A": 0.0, "B": 1.0}) for s in range(3)]
    with joined(samples, tmp_path) as made:
        values = table_of(made).to_numpy()
        assert values.tolist() == [[0, 1]] * 3
        assert (origin_of(values, made.is_rnaseq) == MEASURED).all()
        assert made.zeros_restored == 0


def test_a_gene_of_low_counts_returns_with_enough_arrays(tmp_path: Path) -> None:
    genes = [f"G{g}" for g in range(10)]
    arrays = [Given(f"A{s}", ARRAY, dict.fromkeys(genes, 5.0)) for s in range(7)]
    counts = {f"R{s}": dict.fromkeys(genes, 31.0) | {"G4": 1.0} for s in range(3)}
    with joined([*rnaseq(counts), *arrays], tmp_path) as made:
        table = table_of(made)
        assert made.samples == [f"A{s}" for s in range(7)] + [f"R{s}" for s in range(3)]
        assert table["G4"].notna().tolist() == [True] * 7 + [False] * 3
        assert made.genes_with_low_counts == 1
        assert made.dropped_genes == {}
    with joined([*rnaseq(counts), *arrays[1:]], tmp_path) as made:
        assert "G4" not in made.genes
        assert made.dropped_genes == {"low counts": 1}


def test_a_sample_that_lacks_too_much_is_left_out_in_words(tmp_path: Path) -> None:
    genes = [f"G{g}" for g in range(10)]
    full = {f"S{s}": dict.fromkeys(genes, 7.0) for s in range(20)}
    half = dict.fromkeys(genes[:5], 7.0)
    poor = dict.fromkeys(genes[:4], 7.0) | dict.fromkeys(genes[4:], 0.0)
    samples = [
        Given("poor", RNA, poor),
        *rnaseq(full),
        Given("half", ARRAY, half),
        Given("stray", RNA, {"X": 3.0}),
        Given("empty", ARRAY, {"G0": np.nan}),
    ]
    files = files_of(samples, tmp_path)
    files.append(GroupSample("lost", "DANIO_RERIO", RNA, tmp_path / "nothing.parquet"))
    files.append(replace(files[1], path=tmp_path / "other.parquet"))
    with join_samples(files, Rules(), tmp_path) as made:
        assert made.samples == ["half", *sorted(full)]
        assert reasons(made) == {
            "poor": "It has fewer than 50 % present values: 4 of 10 genes, zeros not counted.",
            "stray": "It has none of the genes considered.",
            "empty": "MICROARRAY.parquet has no value of it.",
            "lost": made.left_out[-1].reason,
            "S0": "A sample of this name is there already.",
        }
        assert "nothing.parquet cannot be read" in made.left_out[-1].reason
        assert [each.sample for each in made.left_out] == ["poor", "S0", "stray", "empty", "lost"]


@pytest.mark.parametrize(("technology", "genes"), [(RNA, ["A", "B"]), (ARRAY, ["B"])])
def test_only_rnaseq_samples_without_genes_do_not_count(
    technology: str, genes: list[str], tmp_path: Path
) -> None:
    samples = rnaseq({f"S{s}": {"A": 3.0, "B": 3.0} if s < 7 else {"B": 3.0} for s in range(10)})
    samples.append(Given("stray", technology, {"X": 3.0}))
    with joined(
        samples, tmp_path, replace(ALL_KEPT, gene_presence=0.2, most_missing_per_gene=0.3)
    ) as made:
        assert made.genes.to_list() == genes
        assert list(reasons(made)) == ["stray"]


def test_what_has_no_finite_value_is_dropped(tmp_path: Path) -> None:
    plain = dict.fromkeys("ABC", 2.0)
    samples = [Given(f"S{s}", ARRAY, plain | {"C": np.inf}) for s in range(4)]
    # One file's values come to the log scale together, and zeros are infinite there.
    samples.append(Given("zeros", ARRAY, dict.fromkeys("ABC", -np.inf)))
    with joined(samples, tmp_path) as made:
        assert made.genes.to_list() == ["A", "B"]
        assert made.samples == [f"S{s}" for s in range(4)]
        assert reasons(made) == {"zeros": "It has no finite value."}
        assert made.dropped_genes == {"missing in too many samples": 1}


def test_the_order_of_samples_does_not_matter(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    samples = [
        Given(f"S{s}", RNA if s % 2 else ARRAY, {g: random.poisson(3) for g in GENES})
        for s in range(12)
    ]
    files = files_of(samples, tmp_path)
    with (
        join_samples(files, Rules(), tmp_path) as one,
        join_samples(files[::-1], Rules(), tmp_path) as other,
    ):
        pd.testing.assert_frame_equal(table_of(one), table_of(other))
    assert not [each for each in tmp_path.iterdir() if each.suffix != ".parquet"]


def test_little_memory_gives_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    samples = rnaseq({f"S{s}": {g: random.poisson(3) for g in GENES} for s in range(9)})
    files = files_of(samples, tmp_path)
    with join_samples(files, Rules(), tmp_path, 1) as one, joined(samples, tmp_path) as other:
        assert len(one.matrix.panels) == len(one.genes) > 1 == len(other.matrix.panels)
        pd.testing.assert_frame_equal(table_of(one), table_of(other))


def test_tells_how_far_it_has_come(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    samples = rnaseq({f"S{s}": dict.fromkeys("ABC", 2.0) for s in range(4)})
    files = files_of(samples, tmp_path)
    join_samples(files, Rules(), tmp_path, 1 << 20, lambda *each: told.append(each)).close()
    stages = ["read", "genes counted", "samples counted", "joined"]
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == stages
    assert {each for each in told if each[1] == each[2]} == {(stage, 4, 4) for stage in stages}


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "no sample can be used"),
        ([Given("S", ARRAY, {"A": np.nan})], "no sample can be used.*S: ARRAY"),
        (
            [Given("S", ARRAY, {"A": 1.0}), Given("T", ARRAY, {"B": 1.0})],
            "no gene is left",
        ),
        ([Given("S", RNA, {"A": 0.0, "B": 0.0})], "no gene is left"),
        ([Given("S", ARRAY, {"A": -np.inf})], "no sample is left.*no finite value"),
    ],
)
def test_nothing_is_said_to_be_nothing(samples: list[Given], says: str, tmp_path: Path) -> None:
    with pytest.raises(NothingToDeliver, match=says.replace("ARRAY", "MICROARRAY")):
        joined(samples, tmp_path)


def test_every_origin_has_a_name() -> None:
    values = np.array([[1, 0, np.nan], [1, 0, np.nan]], np.float32)
    origins = origin_of(values, np.array([False, True]))
    assert [[ORIGINS[each] for each in row] for row in origins] == [
        ["measured", "measured", "imputed"],
        ["measured", "zero restored", "imputed"],
    ]
