"""Samples are kept out by rules and by people, always with a reason in words."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.compendium.exclusion import (
    Decision,
    Decisions,
    ExclusionRules,
    SampleFacts,
    excluded_by_rule,
    excluded_samples,
    read_decisions,
)
from refinebio_assets.errors import InvalidSettings

RULES = ExclusionRules()
NOBODY = Decisions({}, {})


@pytest.mark.parametrize(
    ("known", "rule", "words"),
    [
        (SampleFacts(single_cell_probability=0.5), "single_cell", "0.50"),
        (SampleFacts(percent_mapped=9.99, num_mapped=10**6), "failed_check", "10.0 % of its"),
        (SampleFacts(percent_mapped=80, num_mapped=99_999), "failed_check", "99,999 fragments"),
        (SampleFacts(correlation=0.49), "failed_check", "0.49, below 0.5"),
        (SampleFacts(percent_saturated=20.1), "failed_check", "20.1 % of its probes"),
        (SampleFacts(status="Withdrawn by the submitter"), "withdrawn", "Withdrawn by"),
        (SampleFacts(texts=("[Retracted] Liver", "")), "withdrawn", "Retracted"),
        (SampleFacts(texts=("", "This series has been withdrawn.")), "withdrawn", "withdrawn"),
    ],
)
def test_a_rule_keeps_out_and_says_why(known: SampleFacts, rule: str, words: str) -> None:
    found = excluded_by_rule(known, RULES)
    assert found is not None
    assert found.rule == rule
    assert words in found.reason


@pytest.mark.parametrize(
    "known",
    [
        SampleFacts(),
        SampleFacts(single_cell_probability=0.49, percent_mapped=10, num_mapped=100_000),
        SampleFacts(correlation=0.5, percent_saturated=20.0, status="Public on Jan 01 2010"),
        SampleFacts(texts=("Withdrawn from cocaine, day 3",)),
        SampleFacts(texts=("Serum was withdrawn for 24 h", "Blood was withdrawn.")),
        SampleFacts(texts=("Cells removed from the study arm",)),
    ],
)
def test_others_stay(known: SampleFacts) -> None:
    assert excluded_by_rule(known, RULES) is None


def test_every_rule_can_be_switched_off() -> None:
    known = SampleFacts(1.0, 0.0, 0, -1.0, 100.0, "withdrawn", ("Retracted: all",))
    off = ExclusionRules(1.1, False, 0, 0, -1, 100)
    assert excluded_by_rule(known, off) is None


def test_decisions_win_over_rules_and_samples_over_experiments() -> None:
    bad, good = SampleFacts(single_cell_probability=1.0), SampleFacts()
    facts = {("E1", "a"): bad, ("E1", "b"): bad, ("E2", "c"): good, ("E2", "d"): good}
    decisions = Decisions(
        {"a": Decision(False, "sorted bulk"), "d": Decision(False, "fine")},
        {"E2": Decision(True, "mislabelled")},
    )
    found = excluded_samples(facts, RULES, decisions)
    assert {key: why.rule for key, why in found.items()} == {
        ("E1", "b"): "single_cell",
        ("E2", "c"): "reviewed",
    }
    assert found["E2", "c"].reason == "mislabelled"
    assert excluded_samples(facts, RULES, NOBODY).keys() == {("E1", "a"), ("E1", "b")}


def test_decisions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "compendium_exclusions.yaml"
    assert read_decisions(path) == NOBODY
    path.write_text("")
    assert read_decisions(path) == NOBODY
    path.write_text(
        "- sample: SRR1\n  exclude: false\n  reason: bulk\n"
        "- experiment: GSE2\n  exclude: true\n  reason: bad\n"
    )
    found = read_decisions(path)
    assert found.on("GSE9", "SRR1") == Decision(False, "bulk")
    assert found.on("GSE2", "SRR2") == Decision(True, "bad")
    assert found.on("GSE9", "SRR2") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1", "not a list"),
        ("- 1", "not a mapping"),
        ("- {sample: S1, exclude: true}", "no reason"),
        ("- {sample: S1, exclude: 'yes', reason: r}", "true or false"),
        ("- {sample: S1, experiment: E1, exclude: true, reason: r}", "sample, or an experiment"),
        ("- {sample: ../x, exclude: true, reason: r}", "entry 1"),
        ("- {sample: S1, exclude: true, reason: r, x: 1}", "no 'x'"),
        ("- {sample: S1, exclude: true, reason: r}\n- {sample: S1, exclude: true, reason: r}", "2"),
        ("[", "cannot be read"),
    ],
)
def test_what_is_wrong_with_decisions_is_told(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "compendium_exclusions.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=words):
        read_decisions(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_yaml_is_read_or_refused(content: object) -> None:

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(yaml.safe_dump(content))
        try:
            read_decisions(path)
        except InvalidSettings as error:
            assert error.message  # noqa: PT017
