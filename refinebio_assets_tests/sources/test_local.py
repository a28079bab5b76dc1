"""Sample sheets: as labs write them, and as nobody should."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import fsspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidSampleSheet
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.sources.local import (
    MEANT,
    REQUIRED,
    parse_sample_sheet,
    read_sample_sheet,
)
from refinebio_assets.sources.records import Attribute, Experiment, RawFile, Sample

HEADER = "experiment\tsample\torganism\ttechnology\tfiles"
ROW = "LAB-1\ts1\tHomo sapiens\tRNA-SEQ\ts1.fastq.gz"


def parse(*lines: str, location: str = "/lab/sheet.tsv") -> list[Experiment]:
    return parse_sample_sheet("\n".join(lines) + "\n", location, "0" * 64)


def only_sample(*lines: str, location: str = "/lab/sheet.tsv") -> Sample:
    [experiment] = parse(*lines, location=location)
    [sample] = experiment.samples
    return sample


def with_column(name: str, value: str) -> Sample:
    return only_sample(f"{HEADER}\t{name}", f"{ROW}\t{value}")


# --- what a sheet may look like -------------------------------------------------------


def test_the_smallest_sheet(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text(f"{HEADER}\n{ROW}\n")
    expected = Experiment(
        experiment="LAB-1",
        source_database="LOCAL",
        source_url=str(sheet),
        source_sha256=hashlib.sha256(sheet.read_bytes()).hexdigest(),
        samples=(
            Sample(
                sample="s1",
                organism="HOMO_SAPIENS",
                technology="RNA-SEQ",
                source_database="LOCAL",
                files=(RawFile("s1.fastq.gz", f"{tmp_path}/s1.fastq.gz"),),
            ),
        ),
    )
    assert read_sample_sheet(str(sheet)) == [expected]


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{ROW}\n".encode(),
        f"{HEADER}\n{ROW}".encode(),
        f"\ufeff{HEADER}\n{ROW}\n".encode(),
        f"{HEADER}\r\n{ROW}\r\n".encode(),
        f"{HEADER}\n{ROW}\n".replace("\t", ",").encode(),
        f"# made by hand\n\n{HEADER}\n# LAB-1, but not s0\n\n{ROW}\n\n".encode(),
        f"{HEADER}\n{ROW}\n".replace("sample", " Sample ").replace("s1\t", '" s1 "\t').encode(),
        b"files,sample,experiment,organism,technology\ns1.fastq.gz,s1,LAB-1,HOMO_SAPIENS,rna_seq\n",
    ],
    ids=["TSV", "no line end", "BOM", "CRLF", "CSV", "comments", "blanks", "order"],
)
def test_the_same_sheet_in_other_forms(tmp_path: Path, content: bytes) -> None:
    sheet = tmp_path / "sheet"
    sheet.write_bytes(content)
    [experiment] = read_sample_sheet(str(sheet))
    [sample] = experiment.samples
    assert (experiment.experiment, sample.sample) == ("LAB-1", "s1")
    assert (sample.organism, sample.technology) == ("HOMO_SAPIENS", "RNA-SEQ")
    assert [file.filename for file in sample.files] == ["s1.fastq.gz"]


def test_quoted_cells_hold_delimiters_quotes_and_line_breaks() -> None:
    sample = only_sample(
        HEADER.replace("\t", ",") + ",note", ROW.replace("\t", ",") + ',"a, ""b""\nc"'
    )
    assert sample.attributes == (Attribute("note", 'a, "b"\nc'),)


def test_several_experiments_keep_the_order_of_the_sheet() -> None:
    other = ROW.replace("LAB-1", "LAB-0")
    found = parse(HEADER, ROW, other, ROW.replace("s1", "s2"))
    names = [(each.experiment, [sample.sample for sample in each.samples]) for each in found]
    assert names == [("LAB-1", ["s1", "s2"]), ("LAB-0", ["s1"])]


# --- what the columns mean ------------------------------------------------------------


def test_columns_of_the_experiment_may_stand_in_any_of_its_rows() -> None:
    columns = ["experiment_title", "experiment_description", "experiment_url", "pubmed_id"]
    [experiment] = parse(
        "\t".join([HEADER, *columns]),
        "\t".join([ROW, "", "", "", ""]),
        "\t".join([ROW.replace("s1", "s2"), "Title", "What was done", "https://lab", "123"]),
    )
    assert experiment.title == "Title"
    assert experiment.description == "What was done"
    assert experiment.source_url == "https://lab"
    assert experiment.pubmed_id == "123"
    assert experiment.has_publication
    assert all(not sample.attributes for sample in experiment.samples)


def test_further_columns_are_kept_as_submitted() -> None:
    sample = only_sample(
        f"{HEADER}\tTissue Type\tempty\tdose (µM)", f"{ROW}\tLeft Ventricle\t\t 1,5 "
    )
    assert sample.attributes == (
        Attribute("Tissue Type", "Left Ventricle"),
        Attribute("dose (µM)", "1,5"),
    )
    assert sample.harmonised == {}


@pytest.mark.parametrize(
    ("column", "value", "harmonised"),
    [
        ("sex", "Female", {"sex": "female"}),
        ("Cell_Line", "HeLa", {"cell_line": "hela"}),
        ("age", "12.5", {"age": 12.5}),
        ("age", "12 weeks", {}),
        ("age", "nan", {}),
        ("age", "inf", {}),
        ("gender", "female", {}),
    ],
)
def test_columns_named_like_a_harmonised_field_fill_it(
    column: str, value: str, harmonised: dict[str, str | float]
) -> None:
    sample = with_column(column, value)
    assert sample.harmonised == harmonised
    assert sample.attributes == (Attribute(column, value),)


@pytest.mark.parametrize(
    ("value", "layout"), [("", None), ("paired", "PAIRED"), ("SINGLE", "SINGLE")]
)
def test_layout(value: str, layout: str | None) -> None:
    assert with_column("library_layout", value).library_layout == layout


# --- files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "named", "found"),
    [
        ("/lab/sheet.tsv", "a.fq", "/lab/a.fq"),
        ("/lab/sheet.tsv", "raw/a.fq", "/lab/raw/a.fq"),
        ("/lab/sheet.tsv", "/data/a.fq", "/data/a.fq"),
        ("/lab/sheet.tsv", "https://host/x/a.fq?token=1", "https://host/x/a.fq?token=1"),
        ("/sheet.tsv", "a.fq", "/a.fq"),
        ("sheet.tsv", "a.fq", "a.fq"),
        ("s3://bucket/lab/sheet.tsv", "a.fq", "s3://bucket/lab/a.fq"),
        ("s3://bucket/lab/sheet.tsv", "gs://other/a.fq", "gs://other/a.fq"),
    ],
)
def test_files_are_relative_to_their_sheet(location: str, named: str, found: str) -> None:
    sample = only_sample(HEADER, ROW.replace("s1.fastq.gz", named), location=location)
    assert sample.files == (RawFile("a.fq", found),)


def test_a_sheet_in_an_object_store() -> None:
    with fsspec.open("memory://lab/sheet.tsv", "w") as file:
        file.write(f"{HEADER}\n{ROW}\n")
    [experiment] = read_sample_sheet("memory://lab/sheet.tsv")
    assert experiment.samples[0].files[0].source_url == "memory://lab/s1.fastq.gz"


@pytest.mark.parametrize(
    ("md5", "expected"),
    [("", [None, None]), ("aa;bb", ["aa", "bb"]), ("aa; ", ["aa", None]), (";bb", [None, "bb"])],
)
def test_md5_go_with_the_files(md5: str, expected: list[str | None]) -> None:
    row = ROW.replace("s1.fastq.gz", "a_1.fq; a_2.fq ;")
    sample = only_sample(f"{HEADER}\tmd5", f"{row}\t{md5}")
    assert [file.filename for file in sample.files] == ["a_1.fq", "a_2.fq"]
    assert [file.expected_md5 for file in sample.files] == expected


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "empty"),
        (["# only a comment"], "empty"),
        ([HEADER], "names no sample"),
        (["experiment\tsample", "a\tb"], "no column organism, technology, files"),
        ([f"{HEADER}\tSample", f"{ROW}\tx"], "'sample' twice"),
        ([f"{HEADER}\tnote\tNote", f"{ROW}\tx\ty"], "'note' twice"),
        ([HEADER, f"{ROW}\textra"], "line 2: 6 cells where the header has 5"),
        ([HEADER, ROW, "LAB-1\ts2"], "line 3: 2 cells"),
        ([HEADER, ROW, ROW], "s1 occurs twice in LAB-1"),
        ([HEADER, ROW.replace("LAB-1", "../LAB")], "line 2: .*not a valid experiment name"),
        ([HEADER, ROW.replace("s1\t", "s 1\t")], "line 2: .*not a valid sample name"),
        ([HEADER, ROW.replace("Homo sapiens", "human")], "'human' is not a scientific name"),
        ([HEADER, ROW.replace("RNA-SEQ", "ChIP")], "'ChIP' is none of RNA-SEQ, MICROARRAY"),
        ([HEADER, ROW.replace("s1.fastq.gz", " ; ")], "no file is named"),
        ([HEADER, ROW.replace("s1.fastq.gz", "raw/..")], "does not name a file"),
        ([HEADER, ROW.replace("s1.fastq.gz", "https://host/")], "does not name a file"),
        ([HEADER, ROW.replace("s1.fastq.gz", "http://[x/a.fq")], "is not a URL"),
        ([f"{HEADER}\tlibrary_layout", f"{ROW}\tMIXED"], "'MIXED' is not SINGLE or PAIRED"),
        ([f"{HEADER}\tmd5", f"{ROW}\taa;bb"], "1 files but 2 md5"),
        ([f"{HEADER}\tnote", f'{ROW}\t"open'], "not a table"),
    ],
)
def test_a_faulty_sheet_says_what_is_wrong(lines: list[str], message: str) -> None:
    with pytest.raises(InvalidSampleSheet, match=message):
        parse(*lines)


def test_every_faulty_row_is_named_and_nothing_is_taken() -> None:
    rows = [ROW.replace("s1", f"s{n}").replace("RNA-SEQ", "?") for n in range(12)]
    with pytest.raises(InvalidSampleSheet, match=r"line 3: .*line 12: .*\(and 2 more\)") as raised:
        parse(HEADER, ROW.replace("LAB-1", "LAB-2"), *rows)
    assert "line 2:" not in str(raised.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", "é".encode("latin-1")])
def test_other_encodings_are_refused(tmp_path: Path, content: bytes) -> None:
    sheet = tmp_path / "sheet.tsv"
    sheet.write_bytes(content)
    with pytest.raises(InvalidSampleSheet, match="not UTF-8"):
        read_sample_sheet(str(sheet))


@pytest.mark.parametrize(
    "location", ["{folder}/missing.tsv", "{folder}", "nosuch://x/y", "http://[x/y", "memory://no"]
)
def test_a_sheet_that_cannot_be_read(tmp_path: Path, location: str) -> None:
    with pytest.raises(InvalidSampleSheet, match="cannot be read"):
        read_sample_sheet(location.format(folder=tmp_path))


# --- any sheet ------------------------------------------------------------------------

NAMES = st.one_of(st.sampled_from(["LAB-1", "s1", "..", "a/../b", ".x", "a\0"]), st.text())
CELLS = {
    "experiment": NAMES,
    "sample": NAMES,
    "organism": st.one_of(st.sampled_from(["Homo sapiens", "../x y", "a b/c"]), st.text()),
    "technology": st.one_of(st.sampled_from(["RNA-SEQ", "microarray"]), st.text()),
    "files": st.one_of(
        st.sampled_from(["a.fq", "a_1.fq;a_2.fq", "http://[::1", "..", "//x", "\0"]), st.text()
    ),
}


@st.composite
def sheets(draw: st.DrawFn) -> str:
    """A table with the columns that a sheet needs, whose cells may hold anything."""
    further = draw(st.lists(st.one_of(st.sampled_from([*sorted(MEANT), "age"]), st.text())))
    names = [*REQUIRED, *further]
    row = st.tuples(*(CELLS.get(name, st.text()) for name in names))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=draw(st.sampled_from("\t,")))
    writer.writerows([names, *draw(st.lists(row, max_size=4))])
    return text.getvalue()


@given(st.one_of(st.text(), sheets(), sheets().map(lambda text: text.replace('"', ""))))
@example(HEADER + "\n" + ROW.replace("s1.fastq.gz", "http://[::1"))
def test_any_text_gives_safe_experiments_or_one_kind_of_error(text: str) -> None:
    try:
        found = parse_sample_sheet(text, "/lab/sheet.tsv", "0" * 64)
    except InvalidSampleSheet:
        return
    assert found
    for experiment in found:
        names = [sample.sample for sample in experiment.samples]
        assert names
        assert len(set(names)) == len(names)
        assert all(valid_accession(name) == name for name in [experiment.experiment, *names])
        for sample in experiment.samples:
            assert "/" not in sample.organism
            assert sample.files
            for file in sample.files:
                assert Path(file.filename).name == file.filename not in ("", "..")
