"""SRA's XML and run table: the recorded documents, the known oddities, and hostile ones."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from contextlib import suppress
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    AccessionAbsent,
    RefinebioError,
    SourceAnswerInvalid,
    SourceUnavailable,
)
from refinebio_assets.sources import sra_xml
from refinebio_assets.sources.sra_xml import (
    EUTILS,
    SRA_BYTES,
    SRA_MD5,
    SRA_URL,
    fetch_from_ncbi,
    read_runinfo,
    read_sra_xml,
)
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.sources.test_ena import PAGE, Answers

RECORDED = {
    "GSE184506": (24, 24, 1),
    "GSE217511": (36, 36, 1),
    "GSE261494": (48, 12, 1),
    "GSE287769": (40, 10, 1),
    "pysradb_sra_test": (92, 87, 10),
}


def recorded(name: str) -> bytes:
    return gzip.decompress(shared_data(f"metadata/sra_xml/{name}.xml.gz").read_bytes())


def browser(*names: str) -> list[bytes]:
    """Recorded documents of ENA's browser."""
    folder = shared_data("http/www.ebi.ac.uk")
    return [(folder / f"ena_browser_api_xml_{name}").read_bytes() for name in names]


def recorded_at_ena() -> sra_xml.SraRecords:
    """All recorded studies, runs, experiments and samples, joined."""
    folder = shared_data("http/www.ebi.ac.uk")
    paths = folder.glob("ena_browser_api_xml_[SD]R[PRXS]*")
    return read_sra_xml(*(path.read_bytes() for path in sorted(paths)))


PACKAGE = """<EXPERIMENT_PACKAGE_SET><EXPERIMENT_PACKAGE>
<EXPERIMENT accession="SRX000001"><STUDY_REF accession="SRP000001"/>
<DESIGN><SAMPLE_DESCRIPTOR accession="SRS000001"/></DESIGN>
<PLATFORM><ILLUMINA><INSTRUMENT_MODEL>NextSeq 500</INSTRUMENT_MODEL></ILLUMINA></PLATFORM>
</EXPERIMENT>
<STUDY accession="SRP000001"/>
<SAMPLE accession="SRS000001">{sample}</SAMPLE>
<RUN_SET>{runs}</RUN_SET>
</EXPERIMENT_PACKAGE></EXPERIMENT_PACKAGE_SET>"""
RUN = '<RUN accession="SRR000001">{inside}</RUN>'


def package(sample: str = "", runs: str | None = None, inside: str = "") -> bytes:
    return PACKAGE.format(
        sample=sample, runs=RUN.format(inside=inside) if runs is None else runs
    ).encode()


def only_run(document: bytes) -> Any:
    [run] = read_sra_xml(document).runs
    return run


# --- the recorded documents -----------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_run_is_read(name: str) -> None:
    document = recorded(name)
    records = read_sra_xml(document)
    expected = re.findall(rb"<RUN [^>]*?\baccession=\"([SED]RR\d+)\"", document)
    assert [run["run_accession"] for run in records.runs] == sorted(map(bytes.decode, expected))
    experiments = {run["experiment_accession"] for run in records.runs}
    assert (len(records.runs), len(experiments), len(records.studies)) == RECORDED[name]
    assert records.without_run == ()
    for run in records.runs:
        assert {
            "secondary_study_accession",
            "study_accession",
            "sample_accession",
            "scientific_name",
            "instrument_platform",
            "instrument_model",
            "library_strategy",
            "library_source",
            "library_layout",
            "first_public",
            "base_count",
            SRA_URL,
            SRA_MD5,
            SRA_BYTES,
        } <= set(run)
        assert run["study_accession"].startswith("PRJ")
        assert run["sample_accession"].startswith("SAM")
        assert f'"{run[SRA_MD5]}"'.encode() in document


def test_a_run_in_full() -> None:
    runs = {run["run_accession"]: run for run in read_sra_xml(recorded("GSE184506")).runs}
    run = runs["SRR15990948"]
    characteristics = {key: value for key, value in run.items() if key.startswith("char")}
    assert len(characteristics) == 44
    assert characteristics["characteristics_Sex_0_text"] == "male"
    assert characteristics["characteristics_strain_0_text"] == "C57BL/6"
    protocol = run["library_construction_protocol"]
    assert protocol.startswith("Nuclei were isolated")
    assert {
        k: v for k, v in run.items() if k not in {*characteristics, "library_construction_protocol"}
    } == {
        "run_accession": "SRR15990948",
        "run_alias": "GSM5590446_r1",
        "submission_accession": "SRA1297814",
        "read_count": "426124765",
        "base_count": "127837429500",
        "first_public": "2022-05-11 09:03:29",
        "experiment_accession": "SRX12279500",
        "experiment_alias": "GSM5590446",
        "experiment_title": "GSM5590446: Sample 21_L48; Mus musculus; RNA-Seq",
        "secondary_study_accession": "SRP338030",
        "study_accession": "PRJNA764849",
        "study_title": "Dose-response hepatic single nuclei RNA sequencing of "
        "2,3,7,8-tetrachlorodibenzo-p-dioxin (TCDD) treated mice",
        "study_alias": "GSE184506",
        "library_strategy": "RNA-Seq",
        "library_source": "TRANSCRIPTOMIC",
        "library_selection": "cDNA",
        "library_layout": "PAIRED",
        "instrument_platform": "ILLUMINA",
        "instrument_model": "Illumina NovaSeq 6000",
        "secondary_sample_accession": "SRS10253600",
        "sample_accession": "SAMN21530296",
        "sample_alias": "GSM5590446",
        "sample_title": "Sample 21_L48",
        "tax_id": "10090",
        "scientific_name": "Mus musculus",
        "GEO Accession": "GSM5590446",
        SRA_URL: "https://sra-pub-run-odp.s3.amazonaws.com/sra/SRR15990948/SRR15990948",
        SRA_MD5: "bfd934c8e287586201bb62939791fccb",
        SRA_BYTES: "50318019540",
    }


def test_the_study_in_full() -> None:
    study = read_sra_xml(recorded("GSE184506")).studies["SRP338030"]
    assert study["geo_accession"] == "GSE184506"
    assert study["study_accession"] == "PRJNA764849"
    assert study["pubmed_id"] == "35061903;37602218;39484576;40676134"
    assert study["study_description"].startswith("Dose-response is the cornerstone")


@pytest.mark.parametrize(
    ("study", "organism", "runs", "samples"),
    [
        ("SRP111553", "Danio rerio", 16, 8),
        ("SRP068364", "Danio rerio", 4, 4),
        ("DRP003977", "Danio rerio", 9, 9),
        ("SRP045126", "Homo sapiens", 1, 1),
    ],
)
def test_enas_documents_are_joined(study: str, organism: str, runs: int, samples: int) -> None:
    records = recorded_at_ena()
    of_study = [run for run in records.runs if run["secondary_study_accession"] == study]
    assert len(of_study) == runs
    assert len({run["sample_accession"] for run in of_study}) == samples
    for run in of_study:
        assert run["scientific_name"] == organism
        assert run["library_strategy"] == "RNA-Seq"
        assert not [key for key in run if key.startswith("ENA-")]
    assert re.fullmatch("20..-..-..", records.studies[study]["first_public"])


def test_pages_are_joined() -> None:
    names = ("GSE184506", "GSE261494")
    together = read_sra_xml(*map(recorded, names))
    apart = [read_sra_xml(recorded(name)) for name in names]
    assert Counter(run["run_accession"] for run in together.runs) == Counter(
        run["run_accession"] for records in apart for run in records.runs
    )


def test_a_run_and_an_experiment_alone() -> None:
    run = shared_data("metadata/ena/ffq_SRR8426358.txt").read_bytes()
    experiment = shared_data("metadata/ena/ffq_SRX3517583.txt").read_bytes()
    assert only_run(run)["read_count"] == "109256158"
    assert read_sra_xml(experiment).without_run == ("SRX3517583",)


def test_a_page_in_place_of_a_record() -> None:
    for body in (shared_data("metadata/ena/ffq_CRX118013.txt").read_bytes(), *browser("ERP006216")):
        with pytest.raises(SourceAnswerInvalid, match="no SRA record"):
            read_sra_xml(body)


# --- oddities -------------------------------------------------------------------------


def test_a_run_set_without_runs() -> None:
    records = read_sra_xml(package(runs=""))
    assert records.runs == ()
    assert records.without_run == ("SRX000001",)


def test_attributes_without_value_or_tag() -> None:
    sample = (
        "<SAMPLE_ATTRIBUTES>"
        "<SAMPLE_ATTRIBUTE><TAG>sex</TAG></SAMPLE_ATTRIBUTE>"
        "<SAMPLE_ATTRIBUTE><VALUE>lost</VALUE></SAMPLE_ATTRIBUTE>"
        "<SAMPLE_ATTRIBUTE/>"
        "<SAMPLE_ATTRIBUTE><TAG>cell line</TAG><VALUE>HeLa</VALUE></SAMPLE_ATTRIBUTE>"
        "<SAMPLE_ATTRIBUTE><TAG>cell line</TAG><VALUE>HEK</VALUE></SAMPLE_ATTRIBUTE>"
        "</SAMPLE_ATTRIBUTES>"
    )
    run = only_run(package(sample))
    assert {key: value for key, value in run.items() if key.startswith("char")} == {
        "characteristics_cell_line_0_text": "HeLa",
        "characteristics_cell_line_1_text": "HEK",
    }


def test_a_tag_does_not_replace_what_the_record_says() -> None:
    attributes = "".join(
        f"<RUN_ATTRIBUTE><TAG>{tag}</TAG><VALUE>evil</VALUE></RUN_ATTRIBUTE>"
        for tag in ("run_accession", "instrument_model", "assay")
    )
    run = only_run(package(inside=f"<RUN_ATTRIBUTES>{attributes}</RUN_ATTRIBUTES>"))
    assert (run["run_accession"], run["instrument_model"]) == ("SRR000001", "NextSeq 500")
    assert run["assay"] == "evil"


def test_files_without_url() -> None:
    assert SRA_URL not in only_run(
        package(inside="<SRAFiles><SRAFile/><SRAFile url=''/></SRAFiles>")
    )


ODP = "https://sra-pub-run-odp.s3.amazonaws.com/sra/SRR000001/SRR000001"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"https://a.b/SRR000001": "n", ODP: "n"}, ODP),
        ({"https://a.b/SRR000001.lite.1": "n", "https://a.b/SRR000001": "n"}, "https://a.b/SRR000001"),
        ({"https://a.b/SRR000001.lite.1": "n"}, "https://a.b/SRR000001.lite.1"),
        ({"s3://bucket/SRR000001": "n"}, None),
        ({"https://[::1": "n"}, None),
    ],
)  # fmt: skip
def test_the_best_place_of_the_sra_object(files: dict[str, str], expected: str | None) -> None:
    listed = "".join(
        f'<SRAFile supertype="Primary ETL" md5="{n}" size="{n}" url="{url}">'
        f'<Alternatives url="{url}" access_type="anonymous"/>'
        f'<Alternatives url="https://not.free/x" access_type="aws identity"/></SRAFile>'
        for n, url in enumerate(files)
    )
    run = only_run(package(inside=f"<SRAFiles>{listed}</SRAFiles>"))
    assert run.get(SRA_URL) == expected
    if expected:
        assert run[SRA_MD5] == str([*files].index(expected))


@pytest.mark.parametrize(
    ("organisms", "expected"),
    [
        (["Danio rerio"], "Danio rerio"),
        (["Danio rerio"] * 2, "Danio rerio"),
        (["A b", "C d"], None),
    ],
)
def test_a_pool_has_the_organism_of_all_its_members(
    organisms: list[str], expected: str | None
) -> None:
    members = "".join(f'<Member organism="{each}"/>' for each in organisms)
    document = package(inside=f"<Pool>{members}</Pool>").decode()
    document = document.replace('<SAMPLE accession="SRS000001"></SAMPLE>', "")
    assert only_run(document.encode()).get("scientific_name") == expected


def test_a_run_that_is_not_public() -> None:
    runs = '<RUN accession="SRR000001" is_public="false"/>'
    assert only_run(package(runs=runs))["status"] == "private"


# --- hostile documents ----------------------------------------------------------------

BOMB = """<?xml version="1.0"?><!DOCTYPE RUN_SET [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><RUN_SET><RUN accession="&b;"/></RUN_SET>"""
OUTSIDE = """<!DOCTYPE RUN_SET [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<RUN_SET><RUN accession="SRR000001">&a;</RUN></RUN_SET>"""


@pytest.mark.parametrize(
    "document",
    [
        BOMB.encode(),
        BOMB.encode("utf-16"),
        OUTSIDE.encode(),
        b"<RUN_SET>" * 100,
        b"<RUN_SET>" * 10**6,
        b"<RUN_SET><RUN></RUN_SET>",
        b'<?xml version="1.0" encoding="no-such"?><RUN_SET/>',
        b'<?xml version="1.0" encoding="shift_jis"?><RUN_SET/>',
        b"<RUN_SET/><RUN_SET/>",
        b"",
        b"{}",
        PAGE,
    ],
)
def test_hostile_documents_are_refused(document: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        read_sra_xml(document)


def test_a_document_type_alone_is_harmless() -> None:
    assert read_sra_xml(b"<!DOCTYPE RUN_SET><RUN_SET/>").runs == ()


def test_too_large_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sra_xml, "LARGEST_DOCUMENT", 5)
    with pytest.raises(SourceAnswerInvalid, match="too large"):
        read_sra_xml(b"<RUN_SET/>")


ODD = package(
    "<SAMPLE_ATTRIBUTES><SAMPLE_ATTRIBUTE><TAG>a</TAG></SAMPLE_ATTRIBUTE></SAMPLE_ATTRIBUTES>",
    inside='<SRAFiles><SRAFile supertype="Primary ETL" url="https://a.b/c"/></SRAFiles>',
)
PIECES = [piece for piece in re.split(rb"(<[^>]*>)", ODD) if piece.strip()]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join) | st.binary())
def test_no_document_surprises(document: bytes) -> None:
    with suppress(SourceAnswerInvalid):
        read_sra_xml(document)


@given(st.sets(st.integers(0, len(PIECES) - 1)))
def test_elements_that_are_missing(left_out: set[int]) -> None:
    """Emptied in place, so that the document stays well formed: a tag becomes another one."""
    pieces = [
        re.sub(rb"(?<=</)\w+|(?<=<)\w+", lambda name: b"x" + name[0], piece)
        if any(
            PIECES[n].strip(b"</>").split()[0:1] == piece.strip(b"</>").split()[0:1]
            for n in left_out
        )
        else piece
        for piece in PIECES
    ]
    with suppress(SourceAnswerInvalid):
        for run in read_sra_xml(b"".join(pieces)).runs:
            assert run["run_accession"] == "SRR000001"


@given(st.data())
def test_a_recorded_document_cut_or_damaged(data: st.DataObject) -> None:
    document = bytearray(browser("SRX1528549")[0])
    where = data.draw(st.integers(0, len(document) - 1))
    with suppress(SourceAnswerInvalid):
        read_sra_xml(bytes(document[:where]))
    document[where] = data.draw(st.integers(0, 255))
    with suppress(SourceAnswerInvalid):
        read_sra_xml(bytes(document))


# --- asking NCBI ----------------------------------------------------------------------

SEARCH = f"{EUTILS}/esearch.fcgi"
FETCH = f"{EUTILS}/efetch.fcgi"


def found(count: int) -> Any:
    return {"esearchresult": {"count": str(count), "webenv": "MCID_1", "querykey": "1"}}


def ncbi(search: Any, *pages: Any, term: str = "SRP338030[Accession]") -> Answers:
    answers = {(FETCH, str(n * sra_xml.PAGE)): page for n, page in enumerate(pages)}
    return Answers({(SEARCH, term): search, **answers})


def test_a_study_from_ncbi() -> None:
    web = ncbi(found(24), recorded("GSE184506"))
    assert len(fetch_from_ncbi("SRP338030", web).runs) == 24
    assert web.asked[-1][1]["WebEnv"] == "MCID_1"


def test_a_study_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sra_xml, "PAGE", 1)
    second = package().replace(b"SRR000001", b"SRR000002").replace(b"SRX000001", b"SRX000002")
    web = ncbi(found(2), package(), second, term="SRP000001[Accession]")
    runs = fetch_from_ncbi("SRP000001", web).runs
    assert [run["experiment_accession"] for run in runs] == ["SRX000001", "SRX000002"]


def test_a_project_is_asked_for_as_such() -> None:
    web = ncbi(found(24), recorded("GSE184506"), term="PRJNA764849[BioProject]")
    assert len(fetch_from_ncbi("PRJNA764849", web).runs) == 24


def test_one_run_of_many() -> None:
    web = ncbi(found(1), recorded("GSE184506"), term="SRR15990948[Accession]")
    [run] = fetch_from_ncbi("SRR15990948", web).runs
    assert run["run_accession"] == "SRR15990948"


@pytest.mark.parametrize(
    ("search", "page", "error"),
    [
        (found(0), b"", AccessionAbsent),
        (found(1), package(), AccessionAbsent),  # of another study: the search field was dropped
        (found(25), None, SourceAnswerInvalid),  # 24 came
        (found(58_000), b"", SourceAnswerInvalid),
        ({"esearchresult": {"ERROR": "Search Backend failed"}}, b"", SourceUnavailable),
        ({"eutilsresult": {"ERROR": "…"}}, b"", SourceUnavailable),
        ({"esearchresult": {"idlist": []}}, b"", SourceAnswerInvalid),
        ({"esearchresult": {"count": "3"}}, b"", SourceAnswerInvalid),
        ([], b"", SourceUnavailable),
        (PAGE, b"", SourceAnswerInvalid),
        (found(24), PAGE, SourceAnswerInvalid),
        (found(24), b"Error: the server encountered an error", SourceAnswerInvalid),
    ],
)
def test_ncbi_answers_that_are_none(search: Any, page: Any, error: type[RefinebioError]) -> None:
    with pytest.raises(error):
        fetch_from_ncbi("SRP338030", ncbi(search, recorded("GSE184506") if page is None else page))


# --- the run table --------------------------------------------------------------------


def run_table() -> str:
    return shared_data("metadata/SraRunInfo_SRP033351.csv").read_text()


def test_the_recorded_run_table() -> None:
    runs = read_runinfo(run_table().encode())
    expected = list(csv.DictReader(io.StringIO(run_table())))
    assert [run["run_accession"] for run in runs] == [row["Run"] for row in expected]
    assert len(runs) == 16
    assert runs[0] == {
        "run_accession": "SRR1039508",
        "first_public": "2014-01-02 09:16:11",
        "read_count": "22935521",
        "base_count": "2889875646",
        "experiment_accession": "SRX384345",
        "library_strategy": "RNA-Seq",
        "library_selection": "cDNA",
        "library_source": "TRANSCRIPTOMIC",
        "library_layout": "PAIRED",
        "instrument_platform": "ILLUMINA",
        "instrument_model": "Illumina HiSeq 2000",
        "secondary_study_accession": "SRP033351",
        "secondary_sample_accession": "SRS508568",
        "sample_accession": "SAMN02422669",
        "tax_id": "9606",
        "scientific_name": "Homo sapiens",
        "sample_alias": "GSM1275862",
        "center_name": "GEO",
        "submission_accession": "SRA114259",
    }


def test_blank_lines_and_repeated_headers() -> None:
    header, *rows = run_table().splitlines()
    odd = "\n\n".join([header, *rows[:8], "", header, *rows[8:], ""])
    assert read_runinfo(odd.encode()) == read_runinfo(run_table().encode())


@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        b"Error: the server encountered an error\n",
        b"Run,Model\nSRR000001\n",
        b"Run,Model\n<html>,x\n",
        b'Run,Model\nSRR000001,"open\n',
        b"Run\n\xff\n",
    ],
)
def test_a_run_table_that_is_none(body: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        read_runinfo(body)


def test_an_empty_run_table() -> None:
    assert read_runinfo(b"\n\n") == []


@given(st.binary() | st.text(st.sampled_from('Run,SR0123\n"\r ')).map(str.encode))
def test_no_run_table_surprises(body: bytes) -> None:
    with suppress(SourceAnswerInvalid):
        read_runinfo(body)


def test_escaped_text_is_read_as_meant() -> None:
    title = escape("a < b & c")
    assert only_run(package(f"<TITLE>{title}</TITLE>"))["sample_title"] == "a < b & c"
