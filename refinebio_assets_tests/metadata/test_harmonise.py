"""Harmonised fields: the key variants, the value rules, and real records."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.metadata.harmonise import (
    FIELDS,
    PHRASES,
    TITLE_PHRASES,
    harmonise,
    key_variants,
    split_characteristics,
    title_of,
)
from refinebio_assets_tests.conftest import shared_data

ALL_PHRASES = [(field, phrase) for field, phrases in PHRASES.items() for phrase in phrases]


# --- keys ---------------------------------------------------------------------------------


def test_every_field_has_phrases() -> None:
    assert sorted(PHRASES) == sorted(FIELDS)
    assert len(FIELDS) == 13


def test_a_phrase_of_two_words_has_68_variants() -> None:
    assert len(key_variants("cell line")) == 68
    assert len(key_variants("tissue")) == 17


@pytest.mark.parametrize(
    "key",
    [
        "cell line",
        "cell_line",
        "cell-line",
        "cellline",
        "Cell Line ",
        "characteristic [cell line]",
        "characteristic[cell_line]",
        "characteristics [cell-line]",
        "Characteristics[cellline]",
        "comment [cell line]",
        "comment[cell line]",
        "comments [cell line]",
        "Comments[Cell Line]",
        "factorvalue[cell line]",
        "Factor Value[cell line]",
        "FactorValue [cell line]",
        "factor value [cell_line]",
        "sample_cell line",
        "sample_cell_line",
        "sample_hostcell line",
        "sample_sample_cell_line",
        "characteristics_cell_line",
        "characteristics_cell_line_0_text",
        "characteristics_cell line_12_text",
    ],
)
def test_keys_of_a_phrase(key: str) -> None:
    assert harmonise([(key, "HeLa")]) == {"cell_line": "hela"}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "cell  line",
        "cell lines",
        "the cell line",
        "characteristics_cell_line_text",
        "characteristics_cell_line_x_text",
        "characteristics_cell_line_0_texts",
        "sample_hostess",
        "host_sex",
        "source_name_ch1",
    ],
)
def test_keys_of_no_phrase(key: str) -> None:
    assert harmonise([(key, "HeLa")]) == {}
    assert title_of([(key, "HeLa")]) is None


def test_every_variant_of_every_phrase_is_known() -> None:
    for field, phrase in ALL_PHRASES:
        for key in key_variants(phrase):
            assert field in harmonise([(key, "7")]), (field, key)


def test_every_variant_of_every_title_phrase_is_known() -> None:
    for phrase in TITLE_PHRASES:
        for key in key_variants(phrase):
            assert title_of([(key, "A title")]) == "A title", key


@given(
    chosen=st.sampled_from(ALL_PHRASES),
    place=st.integers(min_value=0),
    casing=st.lists(st.booleans(), min_size=1),
    pad=st.text(" \t\n", max_size=3),
    digits=st.none() | st.integers(0, 10**6),
)
def test_case_space_and_biosamples_numbers_do_not_matter(
    chosen: tuple[str, str], place: int, casing: list[bool], pad: str, digits: int | None
) -> None:
    field, phrase = chosen
    variants = key_variants(phrase)
    key = variants[place % len(variants)]
    if digits is not None and key.startswith("characteristics_"):
        key += f"_{digits}_text"
    mixed = "".join(
        letter.upper() if casing[i % len(casing)] else letter for i, letter in enumerate(key)
    )
    assert field in harmonise([(f"{pad}{mixed}{pad}", "1")])


def test_parentheses_in_biosamples_keys_with_and_without() -> None:
    for key in ("characteristics_age_years_0_text", "characteristics_age_(years)_0_text"):
        assert harmonise([(key, "4")]) == {"age": 4.0}


def test_keys_wrapped_twice() -> None:
    assert harmonise([("characteristics [characteristic [age]]", "4")]) == {"age": 4.0}
    assert harmonise([("comment[characteristics [sex]]", "F")]) == {"sex": "female"}


def test_a_key_may_feed_two_fields() -> None:
    assert harmonise([("disease state", "AML")]) == {"disease": "aml", "disease_stage": "aml"}
    assert harmonise([("sample_strain", "C57BL/6")]) == {
        "genetic_information": "c57bl/6",
        "cell_line": "c57bl/6",
    }


# --- values -------------------------------------------------------------------------------


def test_values_are_trimmed_and_lower_case_and_empty_ones_say_nothing() -> None:
    assert harmonise([("tissue", "  Liver "), ("drug", "  "), ("time", "")]) == {
        "specimen_part": "liver"
    }


def test_several_values_are_sorted_and_joined_once_each() -> None:
    pairs = [("tissue", "Lung"), ("cell type", "AT2"), ("organ", "lung "), ("Tissue", "Airway")]
    assert harmonise(pairs) == {"specimen_part": "airway;at2;lung"}


def test_long_text_is_kept_whole() -> None:
    assert harmonise([("disease", "x" * 1000)]) == {"disease": "x" * 1000}


@pytest.mark.parametrize(
    ("given_sex", "expected"),
    [
        ("F", "female"),
        ("Woman", "female"),
        (" female ", "female"),
        ("m", "male"),
        ("MAN", "male"),
        ("3 Female", "3 female"),
        ("Mixed", "mixed"),
        ("not applicable ", "not applicable "),
    ],
)
def test_sex(given_sex: str, expected: str) -> None:
    assert harmonise([("gender", given_sex)]) == {"sex": expected}


def test_two_sexes_are_joined() -> None:
    assert harmonise([("sex", "M"), ("gender", "f")]) == {"sex": "female;male"}


@pytest.mark.parametrize(
    ("given_age", "expected"),
    [
        ("54", 54.0),
        (" 3.14159 ", 3.142),
        ("12 weeks", 12.0),
        ("0", 0.0),
        ("0 days", 0.0),
        ("1e2", 100.0),
        ("-1", -1.0),
        ("9yrs 2mos", None),
        ("12weeks", None),
        ("P12", None),
        ("", None),
        ("NaN", None),
        ("inf", None),
        ("infinity years", None),
        ("10_12", None),
        ("99999.999", 99999.999),
        ("99999.9996", None),
        ("1e300", None),
    ],
)
def test_age(given_age: str, expected: float | None) -> None:
    assert harmonise([("age", given_age)]) == ({} if expected is None else {"age": expected})


def test_the_first_usable_age_wins() -> None:
    pairs = [("age", "unknown"), ("patient age", "41 y"), ("age (years)", "40"), ("age", "39")]
    assert harmonise(pairs) == {"age": 41.0}


@given(st.lists(st.tuples(st.sampled_from([p for _, p in ALL_PHRASES]) | st.text(), st.text())))
def test_any_record_can_be_harmonised(pairs: list[tuple[str, str]]) -> None:
    found = harmonise(pairs)
    assert [name for name in FIELDS if name in found] == list(found)
    for field, value in found.items():
        if field == "age":
            assert isinstance(value, float)
            assert math.isfinite(value)
            assert round(value, 3) == value
        else:
            assert isinstance(value, str)
            assert value.strip()
    backwards = harmonise(pairs[::-1])
    assert {**found, "age": 0} == {**backwards, "age": 0}


# --- titles -------------------------------------------------------------------------------


def test_the_earlier_phrase_gives_the_title_in_any_order() -> None:
    pairs = [("extract name", "RNA"), ("title", " The Title "), ("labeled extract name", "LE")]
    assert title_of(pairs) == "The Title"
    assert title_of(pairs[::-1]) == "The Title"
    assert title_of([*pairs, ("Sample Name", "S1")]) == "S1"


def test_the_preferred_phrase_goes_first() -> None:
    pairs = [("title", "T"), ("Extract Name", "RNA"), ("Assay Name", "A1")]
    assert title_of(pairs, preferred="extract name") == "RNA"
    assert title_of(pairs, preferred="Assay name") == "A1"
    assert title_of(pairs, preferred="sample name") == "T"


def test_empty_titles_do_not_count() -> None:
    assert title_of([("sample name", " "), ("title", "T")]) == "T"
    assert title_of([("tissue", "liver")]) is None
    assert title_of([]) is None


def test_a_comment_on_the_source_names_the_sample() -> None:
    comments = [("Sample_source_name", "blood"), ("Sample_title", "DC 1"), ("title", "DC 2")]
    assert title_of([("title", "T")], source_comments=comments) == "DC 1"
    assert title_of([("title", "T")], source_comments=comments[:1]) == "T"


# --- GEO's characteristics ----------------------------------------------------------------


def test_characteristics_are_split_at_the_first_colon() -> None:
    entries = ["Tissue: liver", "ratio : 1:2", "no colon", "Time:", "tissue:  lung "]
    assert split_characteristics(entries) == [("tissue", "lung"), ("ratio", "1:2"), ("time", "")]


# --- real records -------------------------------------------------------------------------


def _soft_samples(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Each sample's title and split characteristics, from a SOFT file."""
    samples: dict[str, tuple[list[tuple[str, str]], list[str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            key, _, value = line.rstrip("\n").partition(" = ")
            if key == "^SAMPLE":
                samples[value] = ([], [])
            elif key == "!Sample_title":
                samples[list(samples)[-1]][0].append(("title", value))
            elif key == "!Sample_characteristics_ch1":
                samples[list(samples)[-1]][1].append(value)
    return {
        name: title + split_characteristics(entries) for name, (title, entries) in samples.items()
    }


def _sdrf_rows(path: Path) -> Iterable[list[tuple[str, str]]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    return [list(dict(zip(header, row, strict=True)).items()) for row in rows]


def _ena_sample(path: Path) -> list[tuple[str, str]]:
    """A sample of ENA's browser as the keys that its BioSamples record would have."""
    sample = ElementTree.parse(path).getroot().find("SAMPLE")  # noqa: S314
    assert sample is not None
    pairs = [("sample_title", sample.findtext("TITLE", ""))]
    for attribute in sample.iter("SAMPLE_ATTRIBUTE"):
        tag = attribute.findtext("TAG", "").replace(" ", "_")
        pairs.append((f"characteristics_{tag}_0_text", attribute.findtext("VALUE", "")))
    return pairs


def test_geo_alzheimer_brains() -> None:
    samples = _soft_samples(shared_data("geo/soft/GSE26927.soft.gz"))
    harmonised = harmonise(samples["GSM663008"])
    assert harmonised == {"sex": "male", "disease": "alzheimer's disease"}
    assert {harmonise(pairs)["sex"] for pairs in samples.values()} == {"female", "male"}
    assert title_of(samples["GSM663008"]) == "BNE_AD_Control_A03-065"


def test_geo_pooled_airways() -> None:
    samples = _soft_samples(shared_data("geo/soft/GSE29006_family.soft.gz"))
    harmonised = harmonise(samples["GSM718707"])
    assert harmonised["specimen_part"] == "large airway epithelial cells"
    assert harmonised["sex"] == "3 female"
    assert "age" not in harmonised  # 'average age' is no age


def test_arrayexpress_islets() -> None:
    [row, *_] = _sdrf_rows(
        shared_data("http/www.ebi.ac.uk/arrayexpress_files_E-MTAB-3050_E-MTAB-3050.sdrf.txt")
    )
    assert title_of(row) == "donor A islets RNA"
    harmonised = harmonise(row)
    assert harmonised["sex"] == "female"
    assert harmonised["age"] == 54.0
    assert harmonised["specimen_part"] == "freshly isolated;islet"
    assert harmonised["developmental_stage"] == "adult"


def test_arrayexpress_of_a_geo_series() -> None:
    rows = _sdrf_rows(
        shared_data("http/www.ebi.ac.uk/arrayexpress_files_E-GEOD-44719_E-GEOD-44719.sdrf.txt")
    )
    by_title = {title_of(row): harmonise(row) for row in rows}
    assert by_title["IL4 DC_ND197_TNFa"]["subject"] == "gsm1089365 1;nd197"
    assert by_title["IL4 DC_ND197_TNFa"]["specimen_part"] == "whole blood"


def test_sra_mesenchymal_tumour() -> None:
    pairs = _ena_sample(shared_data("http/www.ebi.ac.uk/ena_browser_api_xml_SRS671406"))
    assert title_of(pairs) == "Phosphaturic mesenchymal tumour (PMT) case 2 of NTUH"
    assert harmonise(pairs) == {
        "sex": "female",
        "age": 57.0,
        "specimen_part": "soft tissue;tumor cell",
        "disease": "fresh frosen;phosphaturic mesenchymal tumours",
    }


def test_sra_zebrafish_liver() -> None:
    pairs = _ena_sample(shared_data("http/www.ebi.ac.uk/ena_browser_api_xml_SRS1246175"))
    assert harmonise(pairs) == {
        "treatment": "biliatresone",
        "subject": "liver",
        "specimen_part": "liver",
    }
