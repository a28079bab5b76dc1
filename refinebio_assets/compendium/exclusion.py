"""Which samples should not be in a compendium, and why: by rule, or because a person said so.

The thresholds are chosen here, and can be set. Decisions on single samples or experiments
stand in a file, `compendium_exclusions.yaml`, and win over every rule:

    - sample: SRR3098582        # or `experiment: SRP068364`, for all of its samples
      exclude: false            # or true
      reason: sorted bulk, the protocol only mentions single cells

A sample's own entry goes before its experiment's. Not here: where the facts come from, and
samples that have too few values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from refinebio_assets.errors import InvalidAccession, InvalidSettings
from refinebio_assets.metadata.accessions import valid_accession

Rule = Literal["single_cell", "withdrawn", "failed_check", "reviewed"]
Key = tuple[str, str]

_KEYS: Final = {"sample", "experiment", "exclude", "reason"}
_SHOWN: Final = 10
_LONGEST_REASON: Final = 500
# PyYAML lets the built-in ones through for a mistaken tag or value.
_UNREADABLE: Final = (
    OSError,
    yaml.YAMLError,
    ValueError,
    LookupError,
    AttributeError,
    RecursionError,
)

# Of what sources say of a record: its state, its title, and sentences about it. Drugs, serum
# and blood are withdrawn too.
_GONE: Final = re.compile(r"withdrawn|suppressed|killed|retracted|deleted|removed", re.IGNORECASE)
_GONE_TITLE: Final = re.compile(
    r"\W*(?:withdrawn|retracted)\b(?!\s+(?:from|cells?|serum))", re.IGNORECASE
)
_GONE_SENTENCE: Final = re.compile(
    r"\bth(?:is|e) (?:record|series|sample|study|dataset|data ?set|submission|experiment|entry) "
    r"(?:has been|have been|was|were|is) (?:withdrawn|retracted|suppressed)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SampleFacts:
    """What is known of a sample that rules look at; None is not known.

    Attributes
    ----------
    single_cell_probability
        0 to 1; of RNA-seq.
    percent_mapped, num_mapped
        Fragments that Salmon assigned, of RNA-seq.
    correlation
        Median Pearson correlation of an array with the others of its experiment.
    percent_saturated
        Probes of an array at the largest intensity.
    status
        The record's state, as its source has it.
    texts
        Title, and description, of the sample and of its experiment.
    """

    single_cell_probability: float | None = None
    percent_mapped: float | None = None
    num_mapped: int | None = None
    correlation: float | None = None
    percent_saturated: float | None = None
    status: str | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExclusionRules:
    """What keeps a sample out.

    Attributes
    ----------
    single_cell_from
        Its probability to be of single cells; above 1, none is kept out.
    withdrawn
        Whether its source says that it is withdrawn.
    least_percent_mapped
        Below, most reads are of something else, and what is left may be as well.
    least_mapped
        Fragments; with fewer, most genes are 0 by chance.
    least_correlation
        With the other arrays of its experiment; below, it is another tissue or a bad array.
    most_percent_saturated
        Probes whose intensities cannot be told apart.
    """

    single_cell_from: float = 0.5
    withdrawn: bool = True
    least_percent_mapped: float = 10.0
    least_mapped: int = 100_000
    least_correlation: float = 0.5
    most_percent_saturated: float = 20.0


@dataclass(frozen=True)
class Excluded:
    """That a sample is kept out: the rule, and the reason in words."""

    rule: Rule
    reason: str


@dataclass(frozen=True)
class Decision:
    """What a person decided."""

    exclude: bool
    reason: str


@dataclass(frozen=True)
class Decisions:
    """The decisions of a file: on samples, and on experiments."""

    samples: Mapping[str, Decision]
    experiments: Mapping[str, Decision]

    def on(self, experiment: str, sample: str) -> Decision | None:
        """What was decided on a sample, if anything."""
        return self.samples.get(sample) or self.experiments.get(experiment)


def excluded_samples(
    facts: Mapping[Key, SampleFacts], rules: ExclusionRules, decisions: Decisions
) -> dict[Key, Excluded]:
    """(experiment, sample) -> why it is kept out; those that are not are not there."""
    found = {}
    for (experiment, sample), known in facts.items():
        decision = decisions.on(experiment, sample)
        if decision is not None:
            why = Excluded("reviewed", decision.reason) if decision.exclude else None
        else:
            why = excluded_by_rule(known, rules)
        if why is not None:
            found[experiment, sample] = why
    return found


def excluded_by_rule(known: SampleFacts, rules: ExclusionRules) -> Excluded | None:
    """The first rule that keeps a sample out, if any."""
    if rules.withdrawn and (words := _withdrawn(known)):
        return Excluded("withdrawn", f"Its source says: {words}.")
    probability = known.single_cell_probability
    if probability is not None and probability >= rules.single_cell_from:
        return Excluded(
            "single_cell",
            f"It is of single cells with a probability of {probability:.2f}; from "
            f"{rules.single_cell_from:g} on samples are left out.",
        )
    failed = _failed(known, rules)
    return Excluded("failed_check", " ".join(failed)) if failed else None


def _withdrawn(known: SampleFacts) -> str | None:
    if known.status and _GONE.search(known.status):
        return known.status.strip()[:_LONGEST_REASON]
    for text in known.texts:
        words = _GONE_TITLE.match(text) or _GONE_SENTENCE.search(text)
        if words:
            return words[0].strip()
    return None


def _failed(known: SampleFacts, rules: ExclusionRules) -> list[str]:
    least = (
        ("{:.1f} % of its fragments map", known.percent_mapped, rules.least_percent_mapped),
        ("{:,} fragments map", known.num_mapped, rules.least_mapped),
        (
            "its correlation with its experiment's other arrays is {:.2f}",
            known.correlation,
            rules.least_correlation,
        ),
    )
    words = [
        f"{text.format(value)}, fewer than {limit:g}."
        if "map" in text
        else f"{text.format(value)}, below {limit:g}."
        for text, value, limit in least
        if value is not None and value < limit
    ]
    saturated = known.percent_saturated
    if saturated is not None and saturated > rules.most_percent_saturated:
        words.append(
            f"{saturated:.1f} % of its probes are at the largest intensity, more than "
            f"{rules.most_percent_saturated:g} %."
        )
    return [each[0].upper() + each[1:] for each in words]


# --- what people decided --------------------------------------------------------------


def read_decisions(path: Path) -> Decisions:
    """The decisions of a YAML file; one that is not there has none.

    Raises
    ------
    InvalidSettings
        It cannot be read, or naming the entries that are wrong (at most ten).
    """
    try:
        content = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return Decisions({}, {})
    except _UNREADABLE as error:
        raise InvalidSettings(f"{path.name} cannot be read: {error}.") from error
    if content is None:
        return Decisions({}, {})
    if not isinstance(content, list):
        raise InvalidSettings(f"{path.name} is not a list of decisions.")
    found: dict[str, dict[str, Decision]] = {"sample": {}, "experiment": {}}
    problems = []
    for number, entry in enumerate(content, start=1):
        try:
            kind, accession, decision = _decision(entry)
        except (InvalidSettings, InvalidAccession) as error:
            problems.append(f"entry {number}: {error.message}")
            continue
        if accession in found[kind]:
            problems.append(f"entry {number}: {accession} is there already.")
        found[kind][accession] = decision
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InvalidSettings(f"{path.name}: {' '.join(problems[:_SHOWN])}{more}")
    return Decisions(found["sample"], found["experiment"])


def _decision(entry: Any) -> tuple[str, str, Decision]:
    if not isinstance(entry, Mapping):
        raise InvalidSettings("it is not a mapping.")
    unknown = sorted(set(map(str, entry)) - _KEYS)
    if unknown:
        raise InvalidSettings(f"a decision has no {unknown[0]!r}.")
    kinds = [kind for kind in ("sample", "experiment") if kind in entry]
    if len(kinds) != 1:
        raise InvalidSettings("it names a sample, or an experiment.")
    exclude, reason = entry.get("exclude"), entry.get("reason")
    if not isinstance(exclude, bool):
        raise InvalidSettings("exclude is true or false.")
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidSettings("it has no reason.")
    [kind] = kinds
    accession = valid_accession(str(entry[kind]), what=kind)
    return kind, accession, Decision(exclude, reason.strip()[:_LONGEST_REASON])
