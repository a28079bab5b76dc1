"""Pictures: well-formed, the same every time, small, and true to what they were given."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from refinebio_assets.publish.plots import (
    MOST_LABELS,
    MOST_LINES,
    MOST_POINTS,
    Histograms,
    Plot,
    distributions,
    scatter,
)

LARGEST = 60_000
EDGES = np.linspace(-2, 12, 61)


def _histograms(samples: int, seed: int = 0) -> Histograms:
    generator = np.random.default_rng(seed)
    return Histograms(
        {
            f"GSM{number}": np.histogram(generator.normal(5, 2, 3000), EDGES)[0] / 3000
            for number in range(samples)
        },
        EDGES,
    )


def _before_and_after(samples: int) -> Plot:
    return distributions({"before": _histograms(samples), "after": _histograms(samples, 1)})


def _points(samples: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(samples, 2)) * 100


def _texts(plot: Plot) -> list[str]:
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  # our own
    return ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]


def _marks(plot: Plot) -> int:
    """Markers within the axes and in the legend."""
    root = ElementTree.fromstring(plot.svg)  # noqa: S314  # our own
    used = root.iter("{http://www.w3.org/2000/svg}use")
    return sum("#767676" not in each.get("style", "") for each in used)  # those are ticks


def test_few_samples_are_all_drawn() -> None:
    plot = _before_and_after(5)
    assert plot.svg.count("stroke-opacity: 0.55") == 10
    assert "at equal distances" not in plot.caption
    assert {"before", "after"} <= set(_texts(plot))


def test_of_many_samples_some_are_drawn_and_the_caption_says_so() -> None:
    plot = _before_and_after(500)
    assert plot.svg.count("stroke-opacity: 0.55") == 2 * MOST_LINES
    assert f"{MOST_LINES} of 500" in plot.caption
    assert len(plot.svg.encode()) < LARGEST


def test_points_of_500_samples_fit() -> None:
    labels = [f"GSE{100000 + number % 30}" for number in range(500)]
    plot = scatter(_points(500), labels, title="Experiment")
    assert len(plot.svg.encode()) < LARGEST
    assert _marks(plot) == 500 + MOST_LABELS + 1
    assert "of 500 samples" not in plot.caption


def test_of_more_points_some_are_drawn() -> None:
    plot = scatter(_points(3000), ["RNA-SEQ"] * 3000, title="Technology")
    assert _marks(plot) == MOST_POINTS + 1
    assert f"{MOST_POINTS} of 3000 samples" in plot.caption
    assert len(plot.svg.encode()) < LARGEST


def test_the_legend_has_the_commonest_first_and_counts_the_others() -> None:
    labels = [name for number in range(13) for name in [f"E{number:02}"] * (20 - number)]
    texts = _texts(scatter(_points(len(labels)), labels, title="Experiment"))
    legend = [text for text in texts if re.search(r"\(\d+\)$", text)]
    assert legend == [*(f"E{n:02} ({20 - n})" for n in range(10)), f"3 others ({10 + 9 + 8})"]


def test_labels_that_are_cut_alike_stay_two() -> None:
    labels = [f"{'x' * 40}{number}" for number in (1, 2)]
    plot = scatter(_points(2), labels, title="Experiment")
    assert len([text for text in _texts(plot) if text.endswith("… (1)")]) == 2


def test_labels_are_text() -> None:
    plot = scatter(_points(2), ["<b>&$x^2$", "ok"], title="Experiment")
    assert "<b>&$x^2$ (1)" in _texts(plot)


def test_points_that_are_not_finite_are_left_out() -> None:
    points = np.array([[0.0, 1.0], [np.nan, 1.0], [2.0, np.inf]])
    plot = scatter(points, ["a", "a", "a"], title="Technology")
    assert _marks(plot) == 1 + 1
    assert "2 samples without coordinates" in plot.caption


def test_refused() -> None:
    with pytest.raises(ValueError, match="3 samples"):
        scatter(_points(2), ["a", "b", "c"], title="x")
    with pytest.raises(ValueError, match="no sample"):
        scatter(np.full((2, 2), np.nan), ["a", "b"], title="x")
    with pytest.raises(ValueError, match="nothing to show"):
        distributions({})
    with pytest.raises(ValueError, match="bins"):
        distributions({"a": Histograms({"GSM1": [1.0, 2.0]}, [0, 1])})
    with pytest.raises(ValueError, match="bins"):
        distributions({"a": Histograms({}, [0, 1])})


def test_values_that_are_all_alike_can_be_drawn() -> None:
    assert distributions({"a": Histograms({"GSM1": [0.0, 0.0]}, [0, 1, 2])}).svg
    assert scatter(np.zeros((3, 2)), ["a", "a", "b"], title="x").svg


def test_the_same_picture_every_time_and_in_any_style() -> None:
    first = (_before_and_after(30), scatter(_points(30), ["a", "b"] * 15, title="T"))
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 9}):
        again = (_before_and_after(30), scatter(_points(30), ["a", "b"] * 15, title="T"))
        assert mpl.rcParams["font.size"] == 20
    assert first == again


def test_the_same_picture_in_another_process() -> None:
    script = (
        "import hashlib, numpy as np\n"
        "from refinebio_assets.publish.plots import scatter\n"
        "points = np.arange(20.).reshape(10, 2)\n"
        "plot = scatter(points, ['a', 'b'] * 5, title='T')\n"
        "print(hashlib.sha256(plot.svg.encode()).hexdigest(), end='')\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PATH": "", "HOME": "/nonexistent"},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_nothing_tells_when_or_by_what_it_was_made() -> None:
    for plot in (_before_and_after(2), scatter(_points(3), ["a"] * 3, title="T")):
        assert "<dc:date>" not in plot.svg
        assert "atplotlib v" not in plot.svg
