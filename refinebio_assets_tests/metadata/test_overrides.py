"""Overrides: what a file may say, and what it does to an experiment."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidOverrides
from refinebio_assets.metadata.harmonise import FIELDS
from refinebio_assets.metadata.overrides import Override, Overrides, read_overrides
from refinebio_assets.sources.records import Attribute, Experiment, Sample


def _sample(name: str) -> Sample:
    return Sample(
        sample=name,
        organism="DANIO_RERIO",
        technology="RNA-SEQ",
        source_database="SRA",
        title=f"title of {name}",
        harmonised={"subject": "liver", "specimen_part": "liver"},
        attributes=(Attribute("source_name", "liver"),),
    )


EXPERIMENT = Experiment(
    experiment="SRP068364",
    source_database="SRA",
    samples=(_sample("SRR1"), _sample("SRR2")),
    source_sha256="0" * 64,
    title="Biliatresone",
)


def _read(tmp_path: Path, text: str) -> Overrides:
    path = tmp_path / "metadata_overrides.yaml"
    path.write_text(text, encoding="utf-8")
    return read_overrides(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    overrides = _read(
        tmp_path,
        """
- {sample: SRR1, field: subject, value: Larva Pool 2 , why: names the tissue}
- {sample: SRR1, field: age, value: 5, why: from the paper}
- {experiment: SRP068364, field: sex, value: F, why: from the paper}
- {sample: SRR2, field: subject, value: "", why: nothing known}
- {sample: SRR2, field: title, value: " Control 1 ", why: from GEO}
""",
    )
    assert [(each.kind, each.accession, each.field, each.value) for each in overrides.entries] == [
        ("sample", "SRR1", "subject", "larva pool 2"),
        ("sample", "SRR1", "age", 5.0),
        ("experiment", "SRP068364", "sex", "female"),
        ("sample", "SRR2", "subject", None),
        ("sample", "SRR2", "title", "Control 1"),
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[]"])
def test_no_overrides(tmp_path: Path, text: str) -> None:
    overrides = _read(tmp_path, text)
    assert overrides == Overrides()
    assert overrides.apply(EXPERIMENT) == EXPERIMENT


def test_a_sample_goes_before_its_experiment() -> None:
    overrides = Overrides(
        (
            Override("sample", "SRR1", "subject", "pool 1", "why"),
            Override("experiment", "SRP068364", "subject", None, "why"),
            Override("experiment", "SRP068364", "age", 5.0, "why"),
            Override("sample", "SRR2", "age", None, "why"),
        )
    )
    changed = overrides.apply(EXPERIMENT)
    first, second = changed.samples
    assert first.harmonised == {"subject": "pool 1", "specimen_part": "liver", "age": 5.0}
    assert second.harmonised == {"specimen_part": "liver"}
    assert first.attributes == EXPERIMENT.samples[0].attributes
    assert EXPERIMENT.samples[0].harmonised["subject"] == "liver"


def test_titles() -> None:
    overrides = Overrides(
        (
            Override("sample", "SRR1", "title", "Control 1", "why"),
            Override("sample", "SRR2", "title", None, "why"),
            Override("experiment", "SRP068364", "title", "Better", "why"),
        )
    )
    changed = overrides.apply(EXPERIMENT)
    assert changed.title == "Better"
    assert [sample.title for sample in changed.samples] == ["Control 1", None]
    assert "title" not in changed.samples[0].harmonised


def test_other_experiments_and_samples_are_left_alone() -> None:
    overrides = Overrides(
        (
            Override("experiment", "SRR1", "sex", "male", "why"),
            Override("sample", "SRP068364", "sex", "male", "why"),
            Override("experiment", "SRP1", "title", "x", "why"),
        )
    )
    assert overrides.apply(EXPERIMENT) == EXPERIMENT


@given(st.dictionaries(st.sampled_from(FIELDS), st.none() | st.text(min_size=1)))
def test_applying_twice_changes_nothing_more(changes: dict[str, str | None]) -> None:
    overrides = Overrides(
        tuple(Override("sample", "SRR1", field, value, "why") for field, value in changes.items())
    )
    once = overrides.apply(EXPERIMENT)
    assert overrides.apply(once) == once
    for field, value in changes.items():
        assert once.samples[0].harmonised.get(field) == value
    assert once.samples[1] == EXPERIMENT.samples[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample: S1", "not a list"),
        ("[1]", "not a mapping"),
        ("- {", "cannot be read"),
        ("- !!bool x", "cannot be read"),
        ("- !!timestamp x", "cannot be read"),
        ("- 2020-13-13", "cannot be read"),
        ("- !!python/object/apply:os.getcwd []", "cannot be read"),
        ("- {field: sex, value: male, why: w}", "sample or experiment"),
        ("- {sample: S1, experiment: E1, field: sex, value: male, why: w}", "either"),
        ("- {sample: S1, field: sex, value: male}", "why"),
        ("- {sample: S1, field: sex, value: male, why: ' '}", "why"),
        ("- {sample: S1, field: sex, why: w}", "value of sex"),
        ("- {sample: S1, field: sex, value: null, why: w}", "value of sex"),
        ("- {sample: S1, field: time, value: 2020-01-01, why: w}", "in quotes"),
        ("- {sample: S1, field: time, value: 012, why: w}", "in quotes"),
        ("- {sample: S1, field: title, value: yes, why: w}", "in quotes"),
        ("- {sample: S1, value: male, why: w}", "field"),
        ("- {sample: S1, field: organism, value: x, why: w}", "'organism'"),
        ("- {sample: S1, field: age, value: 12 weeks, why: w}", "number"),
        ("- {sample: S1, field: age, value: .nan, why: w}", "number"),
        ("- {sample: S1, field: age, value: true, why: w}", "number"),
        ("- {sample: S1, field: age, value: 1000000, why: w}", "number"),
        ("- {sample: 12, field: sex, value: male, why: w}", "sample must be a text"),
        ("- {sample: ../S1, field: sex, value: male, why: w}", "valid sample"),
        ("- {sample: S1, field: sex, value: male, why: w, who: me}", "who"),
        (
            "- {sample: S1, field: sex, value: male, why: w}\n"
            "- {sample: S1, field: sex, value: female, why: w}",
            "2 times",
        ),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidOverrides, match=said) as caught:
        _read(tmp_path, text)
    assert caught.value.code == "invalid_overrides"


def test_all_wrong_entries_are_named_up_to_ten(tmp_path: Path) -> None:
    with pytest.raises(InvalidOverrides) as caught:
        _read(tmp_path, "- {sample: S1}\n" * 12)
    assert "entry 1:" in caught.value.message
    assert "entry 10:" in caught.value.message
    assert "entry 11:" not in caught.value.message
    assert "2 more" in caught.value.message


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidOverrides, match="cannot be read"):
        read_overrides(tmp_path / "absent.yaml")
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"- \xff\xfe\x00")
    with pytest.raises(InvalidOverrides, match="cannot be read"):
        read_overrides(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "o.yaml"
    path.write_bytes(raw)
    with contextlib.suppress(InvalidOverrides):
        read_overrides(path)
