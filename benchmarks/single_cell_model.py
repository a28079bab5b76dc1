"""The model of `refinebio_assets.rnaseq.single_cell`: fitted to a simulation, tried on another.

No labelled set of real profiles is at hand, so both kinds are simulated; what follows are
figures of a simulation, and of the few real bulk runs that can be given with --quant.

- A reference has 4,000 to 70,000 genes, of which more are expressed the fewer there are (95 %
  of 6,700, 72 % of 14,600, 38 % of 64,000, as in real bulk of yeast, fly and man). Their
  means are log-normal, with a second, much lower kind. Half of the samples have up to 30
  genes that take 5 to 90 % of all reads, as ribosomal or secreted ones do.
- Bulk: negative binomial around the means (dispersion 0.005 to 0.3), 1e6 to 1e8 fragments;
  a third are shallow, 5e3 to 1e6.
- A cell has 40 to 90 % of the genes, in bursts (dispersion 0.3 to 3), 30,000 to 500,000
  molecules, of which 5 to 20 % are captured; they are amplified unequally, and 1e3 to 1e6
  fragments are read (of a fifth, up to 5e6), 0.01 to 2 % of them from elsewhere.

The logistic regression is fitted by Newton's method with a small ridge, on profiles of 10,000
fragments or more. Held out are other references with other samples, as many fragments as the
package asks for, and called as it calls a run without words: at probability 0.5, the prior
included. For comparison: 300 cells of one run together, which look like bulk, and which no
profile tells; and with --quant real bulk, its counts thinned, and cells simulated from it.

    python benchmarks/single_cell_model.py             # compares with what is committed
    python benchmarks/single_cell_model.py --quick     # with a quarter of the samples
    python benchmarks/single_cell_model.py --write     # replaces it
    python benchmarks/single_cell_model.py --quant FOLDER --gene-map TSV
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.rnaseq import single_cell
from refinebio_assets.rnaseq.single_cell import (
    FEWEST_COUNTS,
    PRIOR,
    Model,
    Profile,
    features,
    profile_of,
    single_cell_probability,
)
from refinebio_assets.rnaseq.tximport import find_quant_files, gene_level, read_gene_map

Values = NDArray[np.float64]

MODEL = Path(single_cell.__file__).with_name(single_cell.MODEL_FILE)
TRAINING_SEED, HELD_OUT_SEED = 20, 21
REFERENCES = {"training": 400, "held out": 200}
SAMPLES_OF_EACH = 10
FEWEST_IN_TRAINING = 10_000
RIDGE = 1.0
DEPTHS = (FEWEST_COUNTS, 1e5, 1e6, 1e7, 1e9)


@dataclass(frozen=True)
class Simulated:
    """A profile and what it is."""

    profile: Profile
    is_cell: bool


# --- the simulation -------------------------------------------------------------------


def simulate(seed: int, references: int) -> Iterator[Simulated]:
    """Profiles of both kinds in turn, of so many references."""
    rng = np.random.default_rng(seed)
    for _ in range(references):
        means = reference(rng)
        for number in range(SAMPLES_OF_EACH):
            sample = composition(rng, means)
            is_cell = bool(number % 2)
            counts = cells(rng, sample) if is_cell else bulk(rng, sample)
            yield Simulated(profile_of(counts), is_cell)


def reference(rng: np.random.Generator) -> Values:
    """Log mean of each gene; -inf of those that are not expressed."""
    genes = int(_log_uniform(rng, 4_000, 70_000))
    expressed = float(np.clip(rng.normal(0.93 - 0.23 * np.log(genes / 6_000), 0.08), 0.25, 0.97))
    chosen = rng.permutation(genes)[: int(genes * expressed)]
    logs = rng.normal(0, rng.uniform(1.3, 1.9), len(chosen))
    low = rng.random(len(chosen)) > rng.uniform(0.45, 0.9)
    means = np.full(genes, -np.inf)
    means[chosen] = logs - low * rng.uniform(3, 6)
    return means


def composition(rng: np.random.Generator, means: Values) -> Values:
    """Share of each gene in one sample."""
    logs = means + rng.normal(0, 0.5, len(means))
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    if rng.random() < 0.5:
        taken = rng.dirichlet(np.full(int(rng.integers(1, 31)), 0.5)) * rng.uniform(0.05, 0.9)
        chosen = rng.choice(np.flatnonzero(shares), len(taken), replace=False)
        shares *= 1 - taken.sum()
        shares[chosen] += taken
    return shares


def bulk(rng: np.random.Generator, shares: Values) -> Values:
    shallow = rng.random() < 1 / 3
    fragments = _log_uniform(rng, 5e3, 1e6) if shallow else _log_uniform(rng, 1e6, 1e8)
    spread = _log_uniform(rng, 0.005, 0.3)
    return rng.poisson(fragments * shares * _noise(rng, spread, len(shares))).astype(float)


def cells(rng: np.random.Generator, shares: Values, number: int = 1) -> Values:
    """One cell, or several that were read together."""
    molecules = np.zeros(len(shares))
    for _ in range(number):
        of_cell = shares * (rng.random(len(shares)) < rng.uniform(0.4, 0.9))
        captured = _log_uniform(rng, 3e4, 5e5) * _log_uniform(rng, 0.05, 0.2)
        bursts = _noise(rng, _log_uniform(rng, 0.3, 3), len(shares))
        molecules += rng.poisson(captured * of_cell / of_cell.sum() * bursts)
    amplified = np.where(
        molecules > 0, rng.gamma(np.maximum(molecules, 1) * rng.uniform(0.7, 3)), 0
    )
    elsewhere = _log_uniform(rng, 1e-4, 2e-2)
    deep = number > 1 or rng.random() < 0.2
    fragments = _log_uniform(rng, 1e6, 5e6) if deep else _log_uniform(rng, 1e3, 1e6)
    mixed = (1 - elsewhere) * amplified / amplified.sum() + elsewhere * shares
    return rng.poisson(fragments * mixed).astype(float)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _noise(rng: np.random.Generator, dispersion: float, genes: int) -> Values:
    return rng.gamma(1 / dispersion, dispersion, genes)


# --- the fit --------------------------------------------------------------------------


def fit(samples: list[Simulated]) -> Model:
    """Logistic regression by Newton's method, ridge on standardised features."""
    names = list(features(samples[0].profile))
    values = np.array([list(features(each.profile).values()) for each in samples])
    is_cell = np.array([each.is_cell for each in samples], dtype=float)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    design = np.column_stack([np.ones(len(values)), (values - mean) / deviation])
    ridge = np.diag([0.0, *np.full(len(names), RIDGE)])
    weights = np.zeros(design.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-design @ weights))
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, design.T @ (is_cell - chance) - ridge @ weights)
        weights += step
        if np.abs(step).max() < 1e-10:
            break
    slopes = weights[1:] / deviation
    return Model(
        intercept=round(float(weights[0] - slopes @ mean), 6),
        coefficients={n: round(float(s), 6) for n, s in zip(names, slopes, strict=True)},
        ranges={
            name: (round(float(column.min()), 4), round(float(column.max()), 4))
            for name, column in zip(names, values.T, strict=True)
        },
    )


def confusion(samples: list[Simulated], model: Model) -> dict[str, Any]:
    """How profiles are called without words: together, and by depth."""
    table: dict[str, Any] = {}
    for kind, is_cell in (("bulk", False), ("single cell", True)):
        mine = [each.profile for each in samples if each.is_cell == is_cell]
        called = np.array([_is_called(each, model) for each in mine])
        depth = np.array([each.library_size for each in mine])
        table[kind] = {"called bulk": int((~called).sum()), "called single cell": int(called.sum())}
        table[f"{kind}, share called single cell by fragments"] = {
            f"{low:.0e} to {high:.0e}": round(float(called[within].mean()), 3)
            for low, high in pairwise(DEPTHS)
            if (within := (depth >= low) & (depth < high)).any()
        }
    right = table["bulk"]["called bulk"] + table["single cell"]["called single cell"]
    return {"accuracy": round(right / len(samples), 4), **table}


def _is_called(profile: Profile, model: Model) -> bool:
    return model.log_odds(profile) + PRIOR >= 0


# --- what is printed ------------------------------------------------------------------


def pooled(seed: int, model: Model, number: int = 300, runs: int = 20) -> float:
    """Share of runs of many cells that are called single cells."""
    rng = np.random.default_rng(seed)
    found = [
        _is_called(profile_of(cells(rng, composition(rng, reference(rng)), number)), model)
        for _ in range(runs)
    ]
    return float(np.mean(found))


def real_bulk(quant: Path, gene_map: Path) -> dict[str, Any]:
    """The largest probability among real bulk runs, whole and thinned, without any words."""
    found = gene_level(find_quant_files(quant), read_gene_map(gene_map))
    rng = np.random.default_rng(0)
    result: dict[str, Any] = {"runs": len(found.samples)}
    for depth in (None, 1e6, 1e5, 1.1 * FEWEST_COUNTS):
        chances = []
        for counts in found.counts.T:
            thinned = counts if depth is None else rng.poisson(counts / counts.sum() * depth)
            chances.append(single_cell_probability(0.0, profile_of(thinned.astype(float))))
        result["whole" if depth is None else f"{depth:,.0f} fragments"] = round(max(chances), 3)
    called = []
    for _ in range(10):
        for counts in found.counts.T:
            profile = profile_of(cells(rng, counts / counts.sum()))
            if profile.library_size >= FEWEST_COUNTS:
                called.append(single_cell_probability(0.0, profile) >= 0.5)
    result["cells simulated from them, share called"] = round(float(np.mean(called)), 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--quant", type=Path, help="folder of real quant.sf of bulk runs")
    parser.add_argument("--gene-map", type=Path)
    chosen = parser.parse_args()
    part = 4 if chosen.quick else 1
    training = [
        each
        for each in simulate(TRAINING_SEED, REFERENCES["training"] // part)
        if each.profile.library_size >= FEWEST_IN_TRAINING
    ]
    held_out = [
        each
        for each in simulate(HELD_OUT_SEED, REFERENCES["held out"] // part)
        if each.profile.library_size >= FEWEST_COUNTS
    ]
    fitted = fit(training)
    result = {
        "samples": {"training": len(training), "held out": len(held_out)},
        "held out": confusion(held_out, fitted),
        "runs of 300 cells together called single cells": pooled(HELD_OUT_SEED, fitted),
    }
    if chosen.write:
        content = {
            "made_by": "benchmarks/single_cell_model.py",
            "fitted_on": "simulated profiles, as its documentation says",
            "intercept": fitted.intercept,
            "coefficients": fitted.coefficients,
            "ranges": fitted.ranges,
            **result,
        }
        MODEL.write_text(json.dumps(content, indent=1) + "\n")
        single_cell.model.cache_clear()
    committed = single_cell.model()
    shown = dict(result)
    shown["held out, by the committed model"] = confusion(held_out, committed)
    shown["largest change of a coefficient"] = max(
        abs(fitted.coefficients[name] - committed.coefficients[name])
        for name in fitted.coefficients
    )
    if chosen.quant:
        shown["real bulk, largest probability"] = real_bulk(chosen.quant, chosen.gene_map)
    print(json.dumps(shown, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(shown, indent=1) + "\n")


if __name__ == "__main__":
    main()
