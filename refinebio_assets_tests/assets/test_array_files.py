"""Whose file is whose: of those that a sample names, and of those in an archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.assets.array_files import (
    LONGEST_NAME,
    Member,
    chosen_file,
    local_name,
    members_by_sample,
    only_member,
)
from refinebio_assets.errors import RawFileMissing
from refinebio_assets.sources.records import RawFile, Sample

ARCHIVE = RawFile("RAW.tar", "https://example.org/GSE1_RAW.tar", is_archive=True)


def sample(name: str, *files: str, has_raw: bool = True) -> Sample:
    named = tuple(RawFile(file, f"https://example.org/{file}") for file in files)
    return Sample(
        name, "HOMO_SAPIENS", "MICROARRAY", "GEO", has_raw=has_raw, files=named or (ARCHIVE,)
    )


def shared_out(samples: list[Sample], *members: str) -> dict[str, str]:
    """Sample -> path of its file in the archive, or 'none' or 'several'."""
    wanted = [(each, each.files[0]) for each in samples]
    found = members_by_sample(wanted, [Member(Path(name)) for name in members])
    result = {}
    for each, file in wanted:
        try:
            result[each.sample] = str(only_member(each, file, found).path)
        except RawFileMissing as error:
            result[each.sample] = "several" if "several" in error.message else "none"
    return result


@pytest.mark.parametrize(
    ("files", "has_raw", "chosen"),
    [
        (("a.txt", "a.CEL.gz"), True, "a.CEL.gz"),
        (("a.EXP.gz", "a.cel", "a.CHP"), True, "a.cel"),
        (("a.txt.gz", "GSE1_non-normalized.txt.gz"), True, "GSE1_non-normalized.txt.gz"),
        (("GSE1_non-normalized.txt.gz", "GSE1_family.xml.tgz"), False, "GSE1_family.xml.tgz"),
        (("a.txt.gz", "GSE1_family.xml.tgz"), False, "GSE1_family.xml.tgz"),
        (("a.zip", "a.tsv"), True, "a.tsv"),
        (("odd", "a.zip"), True, "a.zip"),
        (("odd",), True, "odd"),
    ],
)
def test_the_file_that_is_chosen(files: tuple[str, ...], has_raw: bool, chosen: str) -> None:
    assert chosen_file(sample("a", *files, has_raw=has_raw)).filename == chosen


def test_pictures_alone_are_no_data() -> None:
    with pytest.raises(RawFileMissing) as caught:
        chosen_file(sample("a", "a.idat", "a.tif.gz", "a.chp"))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/b%20c.zip?x=/y.tar", "b%20c.zip"),
        ("https://example.org/a.zip#/../..", "a.zip"),
        ("https://example.org/a/..", "x.CEL"),
        ("https://example.org/", "x.CEL"),
        ("/data/odd?name#1.zip", "odd?name#1.zip"),
        (f"https://example.org/{'n' * 300}.zip", "n" * (LONGEST_NAME - 4) + ".zip"),
    ],
)
def test_the_name_of_a_copy(url: str, name: str) -> None:
    assert local_name(RawFile("x.CEL", url)) == name


def test_by_the_name_of_the_file() -> None:
    samples = [sample("E-1-a", "C1.CEL"), sample("E-1-b", "C2.CEL.gz"), sample("E-1-c", "C3.txt")]
    members = ("raw/c1.cel", "C2.CEL", "other/C3.TXT.gz", "C4.CEL")
    assert shared_out(samples, *members) == {
        "E-1-a": "raw/c1.cel",
        "E-1-b": "C2.CEL",
        "E-1-c": "other/C3.TXT.gz",
    }
    twice = shared_out(samples, "one/C1.CEL", "two/C1.CEL", "C2.CEL")
    assert twice == {"E-1-a": "several", "E-1-b": "C2.CEL", "E-1-c": "none"}


def test_by_the_name_of_the_sample() -> None:
    names = ("GSM1", "GSM12", "GSM123", "lab", "lab-2")
    members = (
        *("GSM123_x.CEL", "GSM12.CEL", "GSM1b.CEL", "GSM1b.CHP", "GSM1b.txt"),
        *("lab-2.CEL", "lab.CEL", "labour.CEL", "GSM1234.CEL"),
    )
    assert shared_out([sample(name) for name in names], *members) == {
        "GSM1": "GSM1b.CEL",
        "GSM12": "GSM12.CEL",
        "GSM123": "GSM123_x.CEL",
        "lab": "lab.CEL",
        "lab-2": "lab-2.CEL",
    }


def test_the_only_file_of_an_archive() -> None:
    one, two = sample("GSM1"), sample("GSM2")
    assert shared_out([one], "array.CEL", "array.EXP") == {"GSM1": "array.CEL"}
    assert shared_out([one], "GSM9_array.CEL") == {"GSM1": "none"}  # another's, also if unknown
    assert shared_out([one, two], "GSM2.CEL") == {"GSM1": "none", "GSM2": "GSM2.CEL"}
    assert shared_out([one, two], "array.CEL") == {"GSM1": "none", "GSM2": "none"}
    both = shared_out([one, two], "non_normalized.txt")
    assert both == dict.fromkeys(("GSM1", "GSM2"), "non_normalized.txt")


@given(
    numbers=st.sets(st.integers(1, 2000), min_size=2, max_size=20),
    absent=st.integers(0, 19),
    suffix=st.sampled_from([".CEL", "_a.CEL", "-1.CEL.gz", "x.cel"]),
)
def test_no_sample_has_the_file_of_another(numbers: set[int], absent: int, suffix: str) -> None:
    names = [f"GSM{number}" for number in sorted(numbers)]
    without = names[absent % len(names)]
    members = [f"{name}{suffix}" for name in reversed(names) if name != without]
    found = shared_out([sample(name) for name in names], *members)
    assert found.pop(without) == "none"
    assert found == {name: f"{name}{suffix}" for name in names if name != without}
