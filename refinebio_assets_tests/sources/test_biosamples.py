"""BioSamples' records, flattened."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    AccessionAbsent,
    SourceAnswerInvalid,
    SourceRefused,
    SourceUnavailable,
)
from refinebio_assets.metadata.harmonise import harmonise
from refinebio_assets.sources.biosamples import (
    BIOSAMPLES,
    fetch_biosample,
    is_biosample,
    parse_biosample,
)
from refinebio_assets_tests.sources.test_ena import PAGE, Answers

RECORD = {
    "name": "Biliatresone 2",
    "accession": "SAMN04397508",
    "status": "PUBLIC",
    "taxId": 7955,
    "characteristics": {
        "tissue": [{"text": "liver", "ontologyTerms": ["http://purl.obolibrary.org/obo/UBERON_0002107"]}],
        "cell line": [{"text": "HeLa"}, {"text": "HEK 293", "unit": ""}],
        "treatment": [{"text": "Biliatresone"}],
        "age": [{"text": "0", "unit": "day"}],
        "empty": [{"text": " "}],
        "odd": "no list",
    },
    "relationships": [{"source": "SAMN04397508", "type": "derived from", "target": "SAMN1"}],
    "_links": {"self": {"href": "https://example.org"}},
}  # fmt: skip


def parse(document: Any) -> dict[str, str]:
    return parse_biosample(json.dumps(document).encode())


def test_a_record_is_flattened() -> None:
    assert parse(RECORD) == {
        "name": "Biliatresone 2",
        "taxId": "7955",
        "characteristics_tissue_0_text": "liver",
        "characteristics_tissue_0_ontologyTerms_0": "http://purl.obolibrary.org/obo/UBERON_0002107",
        "characteristics_cell_line_0_text": "HeLa",
        "characteristics_cell_line_1_text": "HEK 293",
        "characteristics_treatment_0_text": "Biliatresone",
        "characteristics_age_0_text": "0",
        "characteristics_age_0_unit": "day",
        "characteristics_odd": "no list",
        "relationships_0_source": "SAMN04397508",
        "relationships_0_type": "derived from",
        "relationships_0_target": "SAMN1",
    }


def test_flattened_keys_are_harmonised() -> None:
    assert harmonise(parse(RECORD).items()) == {
        "age": 0.0,
        "specimen_part": "liver",
        "cell_line": "hek 293;hela",
        "treatment": "biliatresone",
    }


@pytest.mark.parametrize(
    "wrong", [PAGE, b"", b"[]", b"null", b'"text"', b"{", b"\xff", b"[" * 9999]
)
def test_no_record(wrong: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        parse_biosample(wrong)


@pytest.mark.parametrize("gone", [AccessionAbsent("404"), SourceRefused("403")])
def test_a_private_sample_says_nothing(gone: Exception) -> None:
    assert fetch_biosample("SAMN1", Answers({(f"{BIOSAMPLES}/SAMN1.json", ""): gone})) == {}


def test_an_outage_is_told() -> None:
    web = Answers({(f"{BIOSAMPLES}/SAMN1.json", ""): SourceUnavailable("503")})
    with pytest.raises(SourceUnavailable):
        fetch_biosample("SAMN1", web)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SAMN04397508", True),
        ("SAMEA103885254", True),
        ("SAMEG1", True),
        ("SAMD00044991", True),
        ("SRS1246175", False),
        ("", False),
        ("SAMN1/../x", False),
        ("SAMN", False),
    ],
)
def test_accessions(name: str, expected: bool) -> None:
    assert is_biosample(name) is expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values | st.dictionaries(st.sampled_from(["characteristics", "_links"]), json_values))
def test_no_document_surprises(document: Any) -> None:
    try:
        flat = parse(document)
    except SourceAnswerInvalid:
        return
    assert all(isinstance(key, str) and value.strip() == value != "" for key, value in flat.items())
    assert json.dumps(flat, ensure_ascii=False).encode()


def test_deep_documents_end() -> None:
    deep: Any = "end"
    for _ in range(400):
        deep = {"a": deep}
    assert parse({"b": deep, "c": 1}) == {"c": "1"}
