"""Who is one biological sample on two platforms, and how alike pairs are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.compendium import replicates
from refinebio_assets.compendium.replicates import (
    FoundPairs,
    LabelledSample,
    Pair,
    concordance,
    correlations,
    draw,
    find_pairs,
    labelled,
)
from refinebio_assets_tests.publish.example import geo_sample, sra_sample


def sample(name: str, platform: str = "P", **values: object) -> LabelledSample:
    plain = LabelledSample(name, "E1", "HOMO_SAPIENS", "MICROARRAY", platform)
    return replace(plain, **values)  # type: ignore[arg-type]


def pairs(*samples: LabelledSample, relations: list[tuple[str, str]] | None = None) -> FoundPairs:
    return find_pairs(samples, relations or [])


def material(**fields: str) -> dict[str, str]:
    return {"subject": "7", "specimen_part": "liver", **fields}


# --- records -----------------------------------------------------------------------------


def test_a_record_is_labelled() -> None:
    record = geo_sample(
        "GSM1",
        ("relation", "Reanalyzed by: GSM9"),
        ("relation", "BioSample: https://www.ncbi.nlm.nih.gov/biosample/SAMN01234567"),
        ("description", "like SAMN99999999"),
        title="  Liver\tof  Ann ",
        subject="Ann",
        treatment="",
        age=54.0,
    )
    found = labelled(record, "GSE1")
    assert (found.title, found.experiment) == ("liver of ann", "GSE1")
    assert found.material == {"subject": "ann"}
    assert found.biosamples == {"SAMN01234567"}
    assert found.platform == "Affymetrix Human Genome U133A Array (hgu133a)"


def test_runs_and_array_express_name_their_biosample_too() -> None:
    run = sra_sample("SRR1", ("sample_accession", "SAMEA104"), platform=None, platform_name=None)
    assert labelled(run, "SRP1").biosamples == {"SAMEA104"}
    assert labelled(run, "SRP1").platform == "RNA-SEQ"
    express = sra_sample("A1", ("Comment[BioSD_SAMPLE]", "SAMEA55"))
    assert labelled(express, "E-1").biosamples == {"SAMEA55"}
    assert not labelled(sra_sample("A1", ("sample_accession", "SAMEG55")), "E-1").biosamples


# --- who is whose ------------------------------------------------------------------------


def test_the_same_biosample_anywhere() -> None:
    one = frozenset({"SAMN1"})
    found = pairs(
        sample("a", biosamples=one),
        sample("b", "Q", biosamples=one, experiment="elsewhere"),
        sample("c", "Q", biosamples=frozenset({"SAMN1", "SAMN2"})),
    )
    assert found == FoundPairs([Pair(0, 1, "biosample")], {})


def test_the_same_subject_of_a_family() -> None:
    here, there = sample("a", material=material()), sample("b", "Q", material=material())
    assert pairs(here, there).pairs == [Pair(0, 1, "subject")]
    away = replace(there, experiment="E2")
    assert not pairs(here, away).pairs
    for relations in (
        [("E1", "E2")],
        [("E2", "E1")],
        [("E1", "PRJ"), ("E2", "PRJ")],
        [("SUPER", "E1"), ("SUPER", "E2")],
        [("E1", "a"), ("E2", "b"), ("E3", "a"), ("E3", "b")],
    ):
        assert pairs(here, away, relations=relations).pairs == [Pair(0, 1, "subject")]
    assert not pairs(here, away, relations=[("E1", "PRJ"), ("E2", "OTHER")]).pairs


@pytest.mark.parametrize(
    "other",
    [
        {"specimen_part": "brain"},
        {"treatment": "drug"},
        {"compound": "aspirin"},
        {"time": "2 h"},
        {"cell_line": "HeLa"},
        {"developmental_stage": "adult"},
        {"subject": "8"},
    ],
)
def test_another_tissue_treatment_or_time_is_another_sample(other: dict[str, str]) -> None:
    here, there = sample("a", material=material()), sample("b", "Q", material=material(**other))
    assert not pairs(here, there).pairs
    titled = [replace(each, title="same title") for each in (here, there)]
    known_of_both = set(other) & set(material())
    assert bool(pairs(*titled).pairs) != bool(known_of_both)


def test_without_a_subject_tissue_says_nothing() -> None:
    stated = {"specimen_part": "liver"}
    assert not pairs(sample("a", material=stated), sample("b", "Q", material=stated)).pairs


def test_the_same_title() -> None:
    here, there = sample("a", title="patient 3"), sample("b", "Q", title="patient 3")
    assert pairs(here, there).pairs == [Pair(0, 1, "title")]
    assert not pairs(here, replace(there, organism="MUS_MUSCULUS")).pairs
    assert not pairs(here, replace(there, experiment="E2")).pairs
    assert not pairs(*(replace(each, title="a") for each in (here, there))).pairs


def test_what_is_ambiguous_is_skipped_and_counted() -> None:
    control = [sample(name, "PPQ"[place], title="control") for place, name in enumerate("abc")]
    assert pairs(*control) == FoundPairs([], {"title": 1})
    assert pairs(*control[:2]) == FoundPairs([], {})  # one platform: nothing to tell


def test_three_platforms_give_three_pairs_and_the_strongest_evidence_counts() -> None:
    three = [
        sample(platform, platform, title="patient 3", material=material()) for platform in "PQR"
    ]
    three[:2] = [replace(each, biosamples=frozenset({"SAMN1"})) for each in three[:2]]
    assert pairs(*three).pairs == [
        Pair(0, 1, "biosample"),
        Pair(0, 2, "subject"),
        Pair(1, 2, "subject"),
    ]


# --- how alike they are ------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_correlations_are_those_of_pandas(seed: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, values, (2, 130)).astype(float)  # with ties
    x[rng.choice(130, 20)] = np.nan
    table = pd.DataFrame({"x": x, "y": y + x * 0.5}).astype(float)
    found = correlations(table["x"].to_numpy(), table["y"].to_numpy())
    expected = (table.corr().iloc[0, 1], table.corr("spearman").iloc[0, 1])
    if np.isfinite(expected).all():
        assert found == pytest.approx(expected, abs=1e-9)
    else:
        assert found is None


def test_few_genes_and_constants_have_no_correlation() -> None:
    x = np.arange(99.0)
    assert correlations(x, x) is None
    longer = np.arange(100.0)
    assert correlations(longer, longer) == pytest.approx((1, 1))
    assert correlations(longer, np.ones(100)) is None


def test_those_drawn_are_of_the_same_platform_and_no_partners() -> None:
    samples = [
        sample(f"{platform}{number}", platform, title=f"patient {number}")
        for platform in "PQ"
        for number in range(30)
    ]
    found = find_pairs(samples)
    trios = draw(found, samples)
    assert [each.pair for each in trios] == found.pairs
    assert all(samples[each.other].platform == "Q" for each in trios)
    assert all(each.other != each.pair.second for each in trios)
    assert len({each.other for each in trios}) > 10
    assert draw(found, samples) == trios
    assert not draw(find_pairs(samples[::30]), samples[::30])  # nobody else to draw


def test_of_many_pairs_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicates, "MOST_PAIRS", 5)
    samples = [
        sample(f"{platform}{number}", platform, title=f"patient {number}")
        for platform in "PQ"
        for number in range(41)
    ]
    assert [each.pair.first for each in draw(find_pairs(samples), samples)] == [0, 10, 20, 30, 40]


def test_pairs_are_told_apart_by_technologies() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(size=(8, 200))
    values[2:4] = values[:2] + rng.normal(0, 0.1, (2, 200))
    technologies = ["MICROARRAY", "MICROARRAY", "RNA-SEQ", "MICROARRAY", *["RNA-SEQ"] * 4]
    samples = [sample(str(n), technology=each) for n, each in enumerate(technologies)]
    trios = [
        replicates.Trio(Pair(0, 2, "title"), 5),
        replicates.Trio(Pair(1, 3, "title"), 0),
        replicates.Trio(Pair(6, 7, "title"), 6),  # unlike, and nearest to itself
    ]
    found = concordance(trios, samples, lambda number: values[number])
    assert list(found) == [
        "MICROARRAY and MICROARRAY",
        "MICROARRAY and RNA-SEQ",
        "RNA-SEQ and RNA-SEQ",
    ]
    assert [each.nearer for each in found.values()] == [1, 1, 0]
    assert found["RNA-SEQ and RNA-SEQ"].others.pearson == pytest.approx([1] * 5)
