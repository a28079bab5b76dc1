"""The card: verdicts at their thresholds, true words, pictures that are well-formed and small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from refinebio_assets.compendium.card import (
    LEAST_NEARER,
    LEAST_PAIRS,
    MOST_BY_PLATFORM,
    MOST_BY_TECHNOLOGY,
    MOST_ERROR,
    MOST_IMPUTED,
    MOST_IMPUTED_OF_PLATFORM,
    MOST_OF_FIRST_COMPONENT,
    MOST_ZEROS,
    Card,
    make_card,
    verdicts_of,
)
from refinebio_assets.compendium.card_plots import MOST_BARS, origin_bars
from refinebio_assets.compendium.comparability import Cells, Comparability, Zeros
from refinebio_assets.compendium.held_out import HeldOut, NotMeasured
from refinebio_assets.publish.plots import COLOURS, Plot
from refinebio_assets_tests.compendium.example_comparison import compared

LARGEST = 80_000


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparability:
    return compared(tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Comparability:
    return compared(tmp_path_factory.mktemp("matrix"), shift=6.0)


def held_out(ratio: float, genes: int = 150, worse: int = 0) -> HeldOut:
    sd = np.linspace(0.5, 2, genes)
    rmse = sd * ratio
    rmse[:worse] = sd[:worse] * 1.5
    rmse[-1] = np.nan
    return HeldOut(
        samples=24,
        cells=180,
        rmse=0.25,
        rmse_of_mean=0.5,
        rmse_of_arrays=0.2,
        rmse_of_rnaseq=float("nan"),
        hidden_per_gene=np.ones(genes, np.int64),
        rmse_per_gene=rmse,
        bias_per_gene=np.zeros(genes),
        sd_per_gene=sd,
        correlation_per_gene=np.ones(genes),
    )


def state(found: Comparability, about: str, errors: Any = None) -> str:
    return verdicts_of(found, errors)[about].state


def technology(found: Comparability, name: str = "technology", **values: Any) -> Comparability:
    return replace(
        found, variance={**found.variance, name: replace(found.variance[name], **values)}
    )


def test_what_is_alike_is_good(found: Comparability) -> None:
    card = make_card("DANIO_RERIO, release 3", found, held_out(0.4))
    states = {name: each.state for name, each in card.verdicts.items()}
    assert states == {
        "technology": "good",
        "first component": "good",
        "platform": "good",
        "replicates": "good",
        "imputed values": "good",
        "coverage": "good",
        "zeros": "good",
        "imputation": "good",
    }
    assert card.careful() == []


def test_what_is_apart_is_warned_of(apart: Comparability) -> None:
    card = make_card("X", apart)
    assert [each.about for each in card.careful()] == ["technology", "first component", "platform"]
    assert card.verdicts["imputation"].state == "not known"
    share = apart.variance["technology"].mean
    assert share is not None
    assert f"Technology explains {100 * share:.1f} % of the variance" in card.text
    assert "| technology | **careful** |" in card.text


NEXT = 1e-9


@pytest.mark.parametrize(
    ("about", "most", "changed"),
    [
        ("technology", MOST_BY_TECHNOLOGY, {"mean": 0.0}),
        ("platform", MOST_BY_PLATFORM, {"beyond_chance": 0.0}),
    ],
)
def test_thresholds_of_variance(
    found: Comparability, about: str, most: float, changed: Mapping[str, float]
) -> None:
    (field,) = changed
    assert state(technology(found, about, **{field: most}), about) == "good"
    assert state(technology(found, about, **{field: most + NEXT}), about) == "careful"
    assert state(technology(found, about, **{field: None}), about) == "not known"


def test_threshold_of_the_first_component(found: Comparability) -> None:
    for first, expected in ((MOST_OF_FIRST_COMPONENT, "good"), (0.51, "careful")):
        changed = technology(found, components=(first, 1.0))
        assert state(changed, "first component") == expected
    assert state(replace(found, components=None), "first component") == "not known"


def test_threshold_of_replicates(found: Comparability) -> None:
    (name, agreement), *_ = found.replicates.concordance.items()

    def with_(**values: Any) -> Comparability:
        changed = {name: replace(agreement, **values)}
        return replace(found, replicates=replace(found.replicates, concordance=changed))

    assert state(with_(nearer=LEAST_NEARER), "replicates") == "good"
    assert state(with_(nearer=LEAST_NEARER - NEXT), "replicates") == "careful"
    assert state(with_(pairs=LEAST_PAIRS), "replicates") == "good"
    assert state(with_(pairs=LEAST_PAIRS - 1, nearer=0.0), "replicates") == "not known"


def cells(imputed: float, missing: float = 0.0) -> Cells:
    return Cells(10, 1 - imputed - missing, 0.0, imputed, missing, 100)


def test_thresholds_of_imputed_values(found: Comparability) -> None:
    def with_(technology: Cells, platform: Cells) -> Comparability:
        return replace(found, technologies={"T": technology}, platforms={"P|<b>": platform})

    most, of_platform = cells(MOST_IMPUTED), cells(MOST_IMPUTED_OF_PLATFORM)
    assert state(with_(most, of_platform), "imputed values") == "good"
    assert state(with_(cells(MOST_IMPUTED + NEXT), of_platform), "imputed values") == "careful"
    above = verdicts_of(with_(most, cells(MOST_IMPUTED_OF_PLATFORM + NEXT)))["imputed values"]
    assert above.state == "careful"
    assert "Above that: P\\|\\<b\\>." in above.words
    gaps = verdicts_of(with_(cells(0, 0.3), most))["imputed values"]
    assert gaps.state == "careful"
    assert "30 % are missing" in gaps.words


def test_thresholds_of_coverage_and_zeros(found: Comparability) -> None:
    half = [found.genes] * 90 + [found.genes // 2] * 11
    assert (
        state(replace(found, coverage=replace(found.coverage, genes=tuple(half))), "coverage")
        == "good"
    )
    half[90] -= 1
    assert (
        state(replace(found, coverage=replace(found.coverage, genes=tuple(half))), "coverage")
        == "careful"
    )
    for middle, expected in ((MOST_ZEROS, "good"), (MOST_ZEROS + NEXT, "careful")):
        zeros = Zeros(0.1, (0, 0, 0, middle, 1, 1, 1))
        assert state(replace(found, zeros=zeros), "zeros") == expected
    assert state(replace(found, zeros=None), "zeros") == "not known"


def test_thresholds_of_the_error(found: Comparability) -> None:
    assert state(found, "imputation", held_out(MOST_ERROR - NEXT)) == "good"
    assert state(found, "imputation", held_out(MOST_ERROR + 0.001)) == "careful"
    assert state(found, "imputation", held_out(0.4, genes=101, worse=10)) == "good"
    assert state(found, "imputation", held_out(0.4, genes=101, worse=11)) == "careful"
    card = make_card("X", found, NotMeasured("It was not asked for."))
    assert card.verdicts["imputation"].state == "not known"
    assert "not measured: It was not asked for." in card.text
    assert "held_out_error" not in card.plots


# --- text and pictures ---------------------------------------------------------------------


def test_files_of_the_card(found: Comparability) -> None:
    card = make_card("DANIO_RERIO, release 3", found, held_out(0.4))
    files = card.files()
    assert list(files) == [
        "README.md",
        "pca_by_technology.svg",
        "pca_by_platform.svg",
        "pca_by_experiment.svg",
        "variance_explained.svg",
        "values_by_platform.svg",
        "coverage.svg",
        "held_out_error.svg",
    ]
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", files["README.md"])
    assert shown == list(files)[1:]
    for name, svg in list(files.items())[1:]:
        root = ElementTree.fromstring(svg)  # noqa: S314  # our own
        assert root.tag == "{http://www.w3.org/2000/svg}svg", name
        assert len(svg.encode()) < LARGEST
    assert "![" not in card.text
    assert card.text.startswith("# Comparability of DANIO_RERIO, release 3\n")
    assert "24 samples (12 MICROARRAY, 12 RNA-SEQ) of 4 experiments, 2 platforms" in card.text


def tables(card: Card) -> list[list[list[str]]]:
    found: list[list[list[str]]] = [[]]
    for line in card.text.split("\n"):
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return found[:-1] if not found[-1] else found


def test_tables_are_whole_and_say_the_numbers(found: Comparability) -> None:
    card = make_card("X", found, held_out(0.4))
    for each in tables(card):
        assert {len(row) for row in each} == {len(each[0])}
    rows = {row[0]: row for each in tables(card) for row in each}
    share = found.variance["experiment"]
    assert share.by_chance is not None
    assert rows["experiment"][1] == "4"
    assert share.by_chance == pytest.approx(3 / 23)
    assert rows["experiment"][4] == "13 %"
    assert rows["**MICROARRAY**"][1:6] == ["12", "80 %", "0 %", "20 %", "0 %"]
    assert rows["**RNA-SEQ**"][3] == "20 %"
    assert rows["the same subject, tissue, treatment and time in related experiments"][1:] == [
        "12",
        "0",
    ]
    agreement = found.replicates.concordance["MICROARRAY and RNA-SEQ"]
    assert f"**{agreement.replicates.spearman[2]:.2f}**" in rows["MICROARRAY and RNA-SEQ"][2]
    assert f"**{agreement.others.spearman[2]:.2f}**" in rows["MICROARRAY and RNA-SEQ"][3]
    assert rows["in standard deviations"][1:] == ["0.40"] * 5
    assert (
        "0.250 (0.200 of arrays), on the log2 scale; that of the genes' means is 0.500" in card.text
    )


def test_one_sample_of_one_platform_has_a_card(tmp_path: Path) -> None:
    alone = compared(tmp_path, subjects=1)
    only = replace(alone, samples=alone.samples[:1], zeros=None, components=None)
    card = make_card("X", only)
    assert "pca_by_platform" not in card.plots
    assert card.files()


def _texts(plot: Plot) -> list[str]:
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  # our own
    return ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]


def test_of_many_platforms_some_are_drawn() -> None:
    plot = origin_bars({f"P{number:03}": cells(0.1) for number in range(300)})
    assert sum(text.startswith("P0") for text in _texts(plot)) == MOST_BARS
    assert f"{MOST_BARS} platforms of 300" in plot.caption
    assert {"measured", "imputed"} <= set(_texts(plot))
    assert "zeros" not in _texts(plot)


def _widest(plot: Plot, colour: str) -> float:
    """Of the shapes of a colour; those of the legend are small."""
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  # our own
    widths = []
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        if f"fill: {colour}" in path.get("style", ""):
            xs = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", path.get("d", ""))]
            widths.append(max(xs) - min(xs))
    return max(widths)


def test_bars_are_as_long_as_the_shares() -> None:
    plot = origin_bars({"P": cells(0.3, 0.1)})  # 60 % are measured
    measured, imputed, missing = (_widest(plot, COLOURS[n]) for n in (0, 1, 7))
    assert imputed / measured == pytest.approx(0.3 / 0.6, abs=0.01)
    assert missing / measured == pytest.approx(0.1 / 0.6, abs=0.01)


def test_the_same_numbers_give_the_same_files(found: Comparability) -> None:
    first, again = (make_card("X", found, held_out(0.4)).files() for _ in range(2))
    assert first == again
