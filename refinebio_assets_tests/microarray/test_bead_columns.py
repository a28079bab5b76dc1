"""Columns of bead tables told by their header: real ones, and each rule by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import (
    BeadLevelTable,
    InvalidExpressionTable,
    NoDetectionPValues,
    NoExpressionColumn,
    NoProbeIdColumn,
    SampleNotInTable,
    UnpairedPValues,
)
from refinebio_assets.microarray.bead_columns import BeadSample, Columns, find_columns
from refinebio_assets.microarray.bead_table import BeadTable, read_bead_table
from refinebio_assets_tests.conftest import shared_data

P = "Detection Pval"


def table(*header: str, first: str = "ILMN_1") -> BeadTable:
    row = "\t".join([first, *["1"] * (len(header) - 1)])
    return BeadTable(header=header, rows=1, body=row.encode() + b"\n")


def find(header: Sequence[str], *titles: str) -> Columns:
    return find_columns(table(*header), [BeadSample(each, each) for each in titles])


# --- real tables ----------------------------------------------------------------------


def test_eight_arrays_of_one_table() -> None:
    titles = [f"MAQC_{site}{replicate}" for site in "ABCD" for replicate in "12"]
    samples = [BeadSample(f"GSM{number}", title) for number, title in enumerate(titles)]
    real = read_bead_table(shared_data("illumina/MAQC_illumina_non-normalized.txt.gz"))
    found = find_columns(real, samples[::-1])
    assert (found.probe_id, found.problems) == (0, {})
    assert found.expression == (1, 3, 5, 7, 9, 11, 13, 15)
    assert found.p_values == (2, 4, 6, 8, 10, 12, 14, 16)
    assert found.samples == tuple(each.sample for each in samples)
    assert found.array_of("GSM3") == 3


@pytest.mark.parametrize(
    "sample",
    [
        BeadSample("GSM744991", "5368138047_L"),
        BeadSample("GSM744991", "day 3", geo_columns=("5368138047_L.Detection Pval",)),
        BeadSample("GSM744991", "day 3", descriptions=("x", "5368138047_L.AVG_Signal")),
        BeadSample("GSM744991", "day 3"),  # there is no other, and no other array
    ],
    ids=["title", "geo_columns", "description", "only_one"],
)
def test_ids_without_a_name(sample: BeadSample) -> None:
    real = read_bead_table(shared_data("illumina/GSM744991.txt"))
    assert find_columns(real, [sample]) == Columns(0, (1,), (2,), ("GSM744991",), {})


@pytest.mark.parametrize("file", ["4343238080_A_ProbeSummary.txt.gz", "GSM343927.soft.gz"])
def test_exports_without_detection_p_values(file: str) -> None:
    real = read_bead_table(shared_data(f"illumina/{file}"))
    with pytest.raises(NoDetectionPValues):
        find_columns(real, [BeadSample("s", "4343238080_A")])


# --- ids ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (["ID_REF"], 0),
        (["Probe_Id"], 0),
        (["", "", "PROBEID"], 2),
        (["TargetID", "ProbeID"], 1),
        (["", "TARGET_ID", "IDREF"], 2),
    ],
)
def test_the_column_of_ids(header: list[str], place: int) -> None:
    assert find([*header, "A", P], "A").probe_id == place


@pytest.mark.parametrize(
    "header", [["Probe"], ["TargetID"], ["TargetID", "Symbol", "ProbeID"], ["", ""]]
)
def test_no_column_of_ids(header: list[str]) -> None:
    with pytest.raises(NoProbeIdColumn):
        find([*header, "A", P], "A")


def test_row_numbers_without_a_name_are_no_ids() -> None:
    with pytest.raises(NoProbeIdColumn):
        find_columns(table("", "A", P, first="1"), [BeadSample("A", "A")])


def test_single_beads() -> None:
    for header in (["Illumicode", "A", P], ["TargetID", "ILLUMICODE", "A"]):
        with pytest.raises(BeadLevelTable):
            find(header, "A")


# --- p-values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [P, "DETECTION_PVAL", "x.Detection.Pval", "DetectionPval", "Detection P-value"]
)
def test_names_of_p_values(name: str) -> None:
    assert find(["ID_REF", "A", name], "A").p_values == (2,)


@pytest.mark.parametrize("name", ["Detection", "Pval", "Detection score", "Detection  -Pval"])
def test_names_of_no_p_values(name: str) -> None:
    with pytest.raises(NoDetectionPValues):
        find(["ID_REF", "A", name], "A")


def test_p_values_are_paired_by_position() -> None:
    in_blocks = find(["ID_REF", "A", "B", P, P], "A", "B")
    assert (in_blocks.expression, in_blocks.p_values) == ((1, 2), (3, 4))
    ahead = find(["ID_REF", P, "A", P, "B"], "A", "B")
    assert (ahead.expression, ahead.p_values) == ((2, 4), (1, 3))


@pytest.mark.parametrize(
    "header",
    [
        ["A", P, "B"],
        ["A", P, P],
        ["A.AVG_Signal", "A.Detection Pval", "other.AVG_Signal"],
        ["A.AVG_Signal", "B.Detection Pval", "B.AVG_Signal", "A.Detection Pval"],
    ],
)
def test_p_values_that_cannot_be_paired(header: list[str]) -> None:
    with pytest.raises(UnpairedPValues):
        find(["ID_REF", *header], "A", "B")


# --- arrays and samples ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("liver", "liver"),
        ("4", "liver_4"),
        ("liver_Signal", "liver"),
        ("liver.AVG_Signal", "liver"),
        ("Liver.avg_signal", "LIVER"),
        ("AVG_Signal-liver", "liver"),
        ("bead.1", "bead.1"),
    ],
)
def test_a_column_is_known_by_the_title(column: str, title: str) -> None:
    found = find(["ID_REF", "unlike.AVG_Signal", P, column, P], "unlike", title)
    assert found.samples == ("unlike", title)


def test_a_description_that_is_a_column_takes_the_place_of_the_title() -> None:
    sample = BeadSample("s", "liver, rep 1", descriptions=("no column", "4", "5"))
    other = BeadSample("t", "5", descriptions=("4",))  # but its title is a column
    found = find_columns(table("ID_REF", "4", P, "5", P), [sample, other])
    assert found.samples == ("s", "t")


def test_raw_value_is_an_array() -> None:
    assert find(["ID_REF", "Raw Value", P], "whatever").samples == ("whatever",)


def test_a_title_within_another_title() -> None:
    found = find(["ID_REF", "A 10 raw", P, "A 1 raw", P], "A 1", "A 10")
    assert found.samples == ("A 10", "A 1")


def test_statistics_of_an_array_are_not_its_expression() -> None:
    statistics = ["MIN_Signal", "MAX_Signal", "NARRAYS", "ARRAY_STDEV", "BEAD_STDERR"]
    header = [f"A.{each}" for each in [*statistics, "Avg_NBEADS", "p_val", "AVG_Signal"]]
    assert find(["ID_REF", *header, "A.Detection Pval", "SYMBOL"], "A").expression == (8,)


def test_a_title_does_not_claim_annotation_that_contains_it() -> None:
    header = ["ID_REF", "A.AVG_Signal", "A.Detection Pval", "ACCESSION", "SYMBOL"]
    assert find(header, "A").expression == (1,)


def test_arrays_of_other_samples_are_kept_apart() -> None:
    found = find(["ID_REF", "A.AVG_Signal", P, "B.AVG_Signal", P], "B", "C")
    assert found.samples == (None, "B")
    with pytest.raises(SampleNotInTable, match="No column belongs to C"):
        found.array_of("C")
    with pytest.raises(SampleNotInTable, match="A was not looked for"):
        found.array_of("A")


def test_samples_that_cannot_be_told_apart_do_not_stop_the_others() -> None:
    samples = [BeadSample(name, title) for name, title in [("1", "A"), ("2", "A"), ("3", "B")]]
    found = find_columns(table("ID_REF", "A", P, "B", P), samples)
    assert found.samples == (None, "3")
    for name in "12":
        with pytest.raises(SampleNotInTable, match="fits several samples: '1', '2'"):
            found.array_of(name)


def test_a_sample_with_two_columns() -> None:
    with pytest.raises(SampleNotInTable, match="Several columns fit A"):
        find(["ID_REF", "A.AVG_Signal", P, "A_Signal", P], "A")


def test_no_sample_in_the_table() -> None:
    with pytest.raises(SampleNotInTable, match=r"'B\.AVG_Signal'"):
        find(["ID_REF", "A.AVG_Signal", P, "B.AVG_Signal", P], "C")


@pytest.mark.parametrize("title", ["C", ""])
def test_no_expression(title: str) -> None:
    with pytest.raises(NoExpressionColumn):
        find(["ID_REF", "A", P, "B", P], title)


TITLE = st.text("aB1_ .-µ", max_size=4)
PLACE = st.one_of(
    st.sampled_from(["ID_REF", "TargetID", "ILLUMICODE", "", P, "RAW_VALUE", "X_Detection_Pval"]),
    TITLE,
    TITLE.map(lambda title: f"{title}.AVG_Signal"),
    TITLE.map(lambda title: f"{title}.Detection Pval"),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(PLACE, min_size=1, max_size=9), st.lists(TITLE, max_size=4), st.booleans())
def test_every_header_is_understood_or_refused(
    header: list[str], titles: list[str], with_ids: bool
) -> None:
    samples = [BeadSample(f"s{number}", title) for number, title in enumerate(titles)]
    with contextlib.suppress(InvalidExpressionTable):
        found = find_columns(table(*(["ID_REF"] if with_ids else []), *header), samples)
        used = (found.probe_id, *found.expression, *found.p_values)
        assert len(set(used)) == len(used)
        assert len(found.expression) == len(found.p_values) == len(found.samples)
        owned = [sample for sample in found.samples if sample is not None]
        assert len(set(owned)) == len(owned)
        assert {*owned, *found.problems} == {each.sample for each in samples}


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.text("abAB1_", min_size=1, max_size=5), min_size=1, max_size=6, unique=True),
    st.randoms(use_true_random=False),
    st.sampled_from(["", "_Signal", ".AVG_Signal"]),
)
def test_every_array_is_found_in_any_order(titles: list[str], random: object, suffix: str) -> None:
    titles = [f"{title}x{number}" for number, title in enumerate(titles)]
    header = ["ID_REF", *(part for title in titles for part in (title + suffix, P))]
    samples = [BeadSample(title, title) for title in titles]
    random.shuffle(samples)  # type: ignore[attr-defined]
    assert find_columns(table(*header), samples).samples == tuple(titles)
