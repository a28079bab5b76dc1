"""ENA's portal: fields that vanish, answers that look right and are not."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    AccessionAbsent,
    InvalidAccession,
    RefinebioError,
    SourceAnswerInvalid,
    SourceRefused,
    SourceUnavailable,
)
from refinebio_assets.sources import ena
from refinebio_assets_tests.conftest import shared_data

ALL_FIELDS = (*ena.INDISPENSABLE, *ena.ONE_OF, *ena.OPTIONAL)
FIELDS = ena.negotiate(ALL_FIELDS)
PAGE = b"<!DOCTYPE html><html><body>We are down for maintenance.</body></html>"
KEYS = ("accession", "includeAccessions", "term", "retstart", "id", "result")


class Answers:
    """A web of prepared answers, by URL and the first of `KEYS` that a question has."""

    def __init__(self, answers: Mapping[tuple[str, str], Any]) -> None:
        self.answers = dict(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        asked = dict(params or {})
        self.asked.append((url, asked))
        key = next((asked[name] for name in KEYS if name in asked), "")
        answer = self.answers.get((url, key), AccessionAbsent(f"{url} {key}: status 404."))
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        raise AssertionError(f"{url} is opened")


def asks(path: str, accession: str) -> tuple[str, str]:
    return (f"{ena.PORTAL}/{path}", accession)


def runs_web(rows: Any, count: Any = b"count\n2\n") -> Answers:
    return Answers(
        {asks("filereportcount", "SRP000001"): count, asks("filereport", "SRP000001"): rows}
    )


def fetch(rows: Any, count: Any = b"count\n2\n") -> list[ena.Row]:
    return ena.fetch_runs("SRP000001", runs_web(rows, count), FIELDS)


# --- fields ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([{"columnId": name, "description": "…", "type": "text"} for name in ALL_FIELDS]),
        "columnId\tdescription\n" + "".join(f"{name}\t…\n" for name in ALL_FIELDS),
    ],
)
def test_the_fields_of_today(body: str) -> None:
    web = Answers({asks("returnFields", "read_run"): body.encode()})
    assert ena.available_fields(web) == frozenset(ALL_FIELDS)


@pytest.mark.parametrize("answer", [b"[]", b"", PAGE, b"[1]", AccessionAbsent("status 404.")])
def test_no_list_of_fields(answer: Any) -> None:
    with pytest.raises(SourceAnswerInvalid):
        ena.available_fields(Answers({asks("returnFields", "read_run"): answer}))


def test_only_what_exists_is_asked_and_the_rest_reported() -> None:
    fields = ena.negotiate([*ena.INDISPENSABLE, "study_accession", "fastq_ftp", "news"])
    assert set(fields.asked) == {*ena.INDISPENSABLE, "study_accession", "fastq_ftp"}
    assert "secondary_study_accession" in fields.missing
    assert "fastq_md5" in fields.missing
    assert not {*fields.asked} & {*fields.missing}


@pytest.mark.parametrize("lost", ena.INDISPENSABLE)
def test_an_indispensable_field_vanished(lost: str) -> None:
    with pytest.raises(SourceAnswerInvalid, match=lost):
        ena.negotiate(name for name in ALL_FIELDS if name != lost)


def test_one_accession_of_the_study_is_indispensable() -> None:
    with pytest.raises(SourceAnswerInvalid, match="secondary_study_accession or study_accession"):
        ena.negotiate(name for name in ALL_FIELDS if name not in ena.ONE_OF)


def test_every_field_is_wanted_once() -> None:
    assert len(set(ALL_FIELDS)) == len(ALL_FIELDS)


# --- runs -----------------------------------------------------------------------------

TWO = [{"run_accession": "SRR000002"}, {"run_accession": "SRR000001", "news": {"a": [1]}}]


def test_runs_are_sorted_and_unknown_fields_tolerated() -> None:
    assert fetch(TWO) == [{"run_accession": "SRR000001"}, {"run_accession": "SRR000002"}]


def test_tsv_serves_as_well() -> None:
    body = b"run_accession\tfastq_ftp\tsex\nSRR000001\ta.b/c\tfemale\r\nSRR000002\t\t\n"
    assert fetch(body) == [
        {"run_accession": "SRR000001", "fastq_ftp": "a.b/c", "sex": "female"},
        {"run_accession": "SRR000002"},
    ]


def test_only_negotiated_fields_are_asked() -> None:
    web = runs_web(TWO)
    ena.fetch_runs("SRP000001", web, FIELDS)
    _, asked = web.asked[-1]
    assert asked["fields"].split(",") == list(FIELDS.asked)
    assert "offset" not in asked


@pytest.mark.parametrize("count", [b"2", b"count\n2", b'{"count":"2"}', b'[{"count": 2}]', PAGE])
def test_counts_of_any_form(count: bytes) -> None:
    assert len(fetch(TWO, count)) == 2


@pytest.mark.parametrize("count", [SourceRefused("status 400."), AccessionAbsent("status 204.")])
def test_without_a_count_the_rows_are_believed(count: Exception) -> None:
    assert len(fetch(TWO, count)) == 2


@pytest.mark.parametrize("nothing", [b"[]", b"", b"run_accession\tfastq_ftp\n", b" \n"])
def test_three_ways_to_say_absent(nothing: bytes) -> None:
    with pytest.raises(AccessionAbsent):
        fetch(nothing, b"count\n0\n")


@pytest.mark.parametrize(
    "wrong",
    [
        PAGE,
        b"Error: the server encountered an error",
        b'{"message": "Invalid fieldName(s) supplied: parent_study"}',
        b'[{"run_accession": "SRR000001"}, ["SRR000002"]]',
        b'[{"run_accession": "SRR000001"}, {"study_accession": "PRJNA1"}]',
        b'[{"run_accession": "SRR000001"}, {"run_accession": "../../etc"}]',
        b'[{"run_accession": "SRR000001"}, {"run_acc',
        b"run_accession\tfastq_ftp\nSRR000001\nSRR000002\ta\n",
        b"run_accession\nSRR000001\tmore\n",
        b"study_accession\nPRJNA1\n",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        pytest.param(b'[{"run_accession": "SRR000001"}]', id="fewer than counted"),
    ],
)
def test_answers_that_look_right_and_are_not(wrong: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        fetch(wrong)


def test_an_outage_is_no_news() -> None:
    with pytest.raises(SourceUnavailable):
        fetch(SourceUnavailable("status 503."))


def test_umbrella_projects_are_not_read() -> None:
    web = runs_web(TWO, b"58000")
    with pytest.raises(InvalidAccession, match="58000 runs"):
        ena.fetch_runs("SRP000001", web, FIELDS)
    assert len(web.asked) == 1


def test_halves_of_characters_are_replaced() -> None:
    [run, _] = fetch(
        rb'[{"run_accession": "SRR000001", "sex": "\ud800"}, {"run_accession": "SRR000002"}]'
    )
    assert run["sex"] == "?"


def test_a_real_report_of_2224_runs() -> None:
    """PRJEB18997, with columns that nobody asked for."""
    body = gzip.decompress(shared_data("metadata/ena/PRJEB18997_filereport.tsv.gz").read_bytes())
    rows = ena.parse_rows(body, "run_accession")
    expected = list(csv.DictReader(io.StringIO(body.decode()), delimiter="\t"))
    assert rows == [{key: value for key, value in row.items() if value} for row in expected]
    assert len(rows) == 2224
    assert {len(ena.listed_files(row, "fastq")) for row in rows} == {2}


# --- files ----------------------------------------------------------------------------

MD5 = ("0" * 31 + "a", "0" * 31 + "b")


def files(**record: str) -> Sequence[ena.ListedFile]:
    return ena.listed_files({"run_accession": "SRR000001", **record}, "fastq")


def test_files_with_digest_and_size() -> None:
    found = files(
        fastq_ftp="ftp.sra.ebi.ac.uk/vol1/a_1.fastq.gz;ftp.sra.ebi.ac.uk/vol1/a_2.fastq.gz",
        fastq_md5=f"{MD5[0].upper()};{MD5[1]}",
        fastq_bytes="1;20",
    )
    assert found == [
        ena.ListedFile("https://ftp.sra.ebi.ac.uk/vol1/a_1.fastq.gz", MD5[0], 1),
        ena.ListedFile("https://ftp.sra.ebi.ac.uk/vol1/a_2.fastq.gz", MD5[1], 20),
    ]
    assert [file.name for file in found] == ["a_1.fastq.gz", "a_2.fastq.gz"]


@pytest.mark.parametrize("scheme", ["ftp://", "http://", "https://", ""])
def test_every_file_comes_over_https(scheme: str) -> None:
    assert files(fastq_ftp=f"{scheme}a.b/c.fastq.gz")[0].url == "https://a.b/c.fastq.gz"


def test_digest_and_size_may_be_wanting() -> None:
    assert files(fastq_ftp="a.b/c;a.b/d;") == [
        ena.ListedFile("https://a.b/c", None, None),
        ena.ListedFile("https://a.b/d", None, None),
    ]
    assert files() == []


@pytest.mark.parametrize(
    "record",
    [
        {"fastq_ftp": "a.b/c;a.b/d", "fastq_md5": MD5[0]},
        {"fastq_ftp": "a.b/c", "fastq_md5": ";".join(MD5)},
        {"fastq_ftp": "a.b/c;a.b/d", "fastq_bytes": "1;2;3"},
        {"fastq_md5": MD5[0]},
        {"fastq_ftp": "a.b/c", "fastq_md5": "not given"},
        {"fastq_ftp": "a.b/c", "fastq_bytes": "-1"},
        {"fastq_ftp": "a.b/c", "fastq_bytes": "²"},
        {"fastq_ftp": "/etc/passwd"},
        {"fastq_ftp": "file:///etc/passwd"},
        {"fastq_ftp": "a.b/c d"},
    ],
)
def test_lists_out_of_step(record: dict[str, str]) -> None:
    with pytest.raises(SourceAnswerInvalid, match="SRR000001"):
        files(**record)


def test_the_recorded_file_reports() -> None:
    folder = shared_data("http/www.ebi.ac.uk")
    reports = sorted(folder.glob("ena_portal_api_filereport_accession_*"))
    assert len(reports) == 29
    for report in reports:
        [row] = ena.parse_rows(report.read_bytes(), "run_accession")
        for kind in ("fastq", "submitted", "sra"):
            listed = ena.listed_files(row, kind)
            assert len(listed) == len(
                [each for each in row.get(f"{kind}_ftp", "").split(";") if each]
            )
            assert all(each.md5 and each.bytes for each in listed)


# --- study and publication ------------------------------------------------------------


def test_the_record_of_a_study() -> None:
    rows = [
        {"study_accession": "PRJNA2"},
        {"study_accession": "PRJNA1", "secondary_study_accession": "SRP000001"},
    ]
    web = Answers({(ena.SEARCH, "SRP000001"): rows})
    assert ena.fetch_study("SRP000001", web) == rows[1]


@pytest.mark.parametrize(
    "answer",
    [b"[]", [{"study_accession": "PRJNA2"}], AccessionAbsent("204"), SourceRefused("400")],
)
def test_a_study_that_the_portal_does_not_have(answer: Any) -> None:
    assert ena.fetch_study("SRP000001", Answers({(ena.SEARCH, "SRP000001"): answer})) == {}


def link(source: str, primary: str | None, secondary: str = "") -> dict[str, str | None]:
    return {
        "Source": source,
        "Source Primary Accession": primary,
        "Source Secondary Accession": secondary,
    }


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([link("PubMed", "30"), link("PubMed", "7")], "7"),
        ([link("EuropePMC", "PMC1", "29610343")], "29610343"),
        ([link("UniProt", "123")], None),
        ([link("PubMed", None), "no link"], None),
        ({"status": "down"}, None),
        (b"[]", None),
        (b"", None),
        (PAGE, None),
        (AccessionAbsent("404"), None),
        (SourceRefused("400"), None),
    ],
)
def test_the_publication_of_a_study(links: Any, expected: str | None) -> None:
    assert ena.fetch_pubmed_id("SRP000001", Answers({(ena.XREF, "SRP000001"): links})) == expected


# --- anything at all ------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*KEYS, *ALL_FIELDS]), inner),
    max_leaves=20,
)
bodies = st.binary() | json_values.map(lambda value: json.dumps(value).encode())
tables = st.text(st.sampled_from("run_accession\t\nSRR0123456789;<")).map(str.encode)


@given(bodies | tables, bodies)
def test_no_answer_surprises(rows: bytes, other: bytes) -> None:
    web = Answers(
        {
            asks("returnFields", "read_run"): rows,
            asks("filereportcount", "SRP000001"): other,
            asks("filereport", "SRP000001"): rows,
            (ena.SEARCH, "SRP000001"): rows,
            (ena.XREF, "SRP000001"): rows,
        }
    )
    for ask in (
        lambda: ena.available_fields(web),
        lambda: ena.fetch_runs("SRP000001", web, FIELDS),
        lambda: ena.fetch_study("SRP000001", web),
        lambda: ena.fetch_pubmed_id("SRP000001", web),
    ):
        with suppress(RefinebioError):
            ask()


@given(st.fixed_dictionaries({name: st.text(st.sampled_from("ab.;/0 :²")) for name in ena.FILES}))
def test_no_list_of_files_surprises(record: dict[str, str]) -> None:
    for kind in ("fastq", "submitted", "sra"):
        try:
            listed = ena.listed_files(record, kind)
        except SourceAnswerInvalid:
            continue
        assert all(file.url.startswith("https://") for file in listed)
