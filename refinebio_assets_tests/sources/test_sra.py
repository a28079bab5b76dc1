"""Studies of SRA and ENA: every run a sample, with its files or with the reason why not."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    AccessionAbsent,
    InvalidAccession,
    RefinebioError,
    SourceAnswerInvalid,
    SourceUnavailable,
)
from refinebio_assets.metadata.platforms import UNKNOWN, sequencers
from refinebio_assets.sources import ena, sra
from refinebio_assets.sources.biosamples import BIOSAMPLES
from refinebio_assets.sources.geo import PUBMED
from refinebio_assets.sources.records import (
    Experiment,
    RawFile,
    Relation,
    Sample,
    read_experiment,
    write_experiment,
)
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.sources.test_ena import ALL_FIELDS, PAGE, Answers, asks
from refinebio_assets_tests.sources.test_sra_xml import (
    FETCH,
    SEARCH,
    found,
    recorded,
    recorded_at_ena,
)

FIELDS = ena.negotiate(ALL_FIELDS)
MD5 = "0123456789abcdef0123456789abcdef"


def recorded_portal() -> Answers:
    """ENA's portal and BioSamples, answering with what was recorded at ENA in other forms.

    Runs come from the recorded XML, their files from the recorded file reports, the
    characteristics of samples as BioSamples gives them, publications from PubMed's
    recorded answers.
    """
    index = json.loads(shared_data("http/index.json").read_text())
    texts = {
        entry["url"]: shared_data(entry["file"]).read_bytes() for entry in index if "file" in entry
    }
    records = recorded_at_ena()
    rows: dict[str, list[dict[str, str]]] = {}
    answers: dict[tuple[str, str], Any] = {
        asks("returnFields", "read_run"): [{"columnId": name} for name in ALL_FIELDS]
    }
    for run in records.runs:
        row = {key: run[key] for key in ALL_FIELDS if key in run}
        asked = urlencode({"accession": run["run_accession"], "result": "read_run"})
        report = texts.get(f"{ena.PORTAL}/filereport?{asked}", b"")
        for files in ena.parse_rows(report, "run_accession"):
            row |= files
        for key in ("run_accession", "secondary_study_accession", "study_accession"):
            rows.setdefault(run[key], []).append(row)
        submitted: dict[str, Any] = {}
        for key, value in run.items():
            if key.startswith("characteristics_"):
                name = key.removeprefix("characteristics_").removesuffix("_0_text")
                submitted[name.replace("_", " ")] = [{"text": value}]
        answers[(f"{BIOSAMPLES}/{run['sample_accession']}.json", "")] = {
            "accession": run["sample_accession"],
            "characteristics": submitted,
        }
    for accession, listed in rows.items():
        # Twice over, from last to first: ENA promises neither order nor uniqueness.
        answers[asks("filereport", accession)] = listed[::-1] + listed
        answers[asks("filereportcount", accession)] = f"count\n{len(listed)}".encode()
    for accession, study in records.studies.items():
        answers[(ena.SEARCH, accession)] = [{k: v for k, v in study.items() if k != "pubmed_id"}]
        answers[(ena.XREF, accession)] = [
            {"Source": "PubMed", "Source Primary Accession": each}
            for each in study.get("pubmed_id", "").split(";")
        ]
    for url, text in texts.items():
        if url.startswith(f"{PUBMED}?db=pubmed&id="):
            answers[(PUBMED, url.split("id=")[1].split("&")[0])] = text
    return Answers(answers)


def surveyed(accession: str) -> Experiment:
    return sra.survey(accession, recorded_portal())


def sample_of(experiment: Experiment, name: str) -> Sample:
    return next(sample for sample in experiment.samples if sample.sample == name)


# --- recorded studies -----------------------------------------------------------------


def test_eight_samples_in_sixteen_runs() -> None:
    experiment = surveyed("SRP111553")
    assert experiment.experiment == "SRP111553"
    assert [sample.sample for sample in experiment.samples] == [
        f"SRR58180{number:02}" for number in range(4, 20)
    ]
    assert {sample.skip_reason for sample in experiment.samples} == {None}
    assert experiment.organisms == ["DANIO_RERIO"]
    assert experiment.technology == "RNA-SEQ"
    assert experiment.source_database == "SRA"
    assert experiment.title is not None
    assert experiment.title.startswith("Comparison of the expression profile of GFP-positive")
    assert experiment.description is not None
    assert experiment.description.startswith("wt1a:GFP labels")
    assert experiment.alternate_accession == "GSE101204"
    assert experiment.submitter_institution == "GEO"
    assert experiment.source_url == "https://www.ebi.ac.uk/ena/browser/view/SRP111553"
    assert experiment.source_first_published == datetime(2018, 3, 23, tzinfo=UTC)
    assert experiment.source_last_modified == datetime(2018, 5, 13, tzinfo=UTC)
    assert experiment.relations == (
        Relation("bioproject", "PRJNA393878"),
        Relation("same_as", "GSE101204"),
    )
    assert experiment.pubmed_id == "29610343"
    assert experiment.publication_title == (
        "Transient fibrosis resolves via fibroblast inactivation in the regenerating "
        "zebrafish heart."
    )
    assert experiment.publication_doi == "10.1073/pnas.1716713115"
    assert experiment.publication_authors[0] == "Sánchez-Iranzo H"
    assert experiment.has_publication


def test_a_single_run_in_full() -> None:
    sample = sample_of(surveyed("SRP111553"), "SRR5818004")
    assert sample.files == (
        RawFile(
            "SRR5818004.fastq.gz",
            "https://ftp.sra.ebi.ac.uk/vol1/fastq/SRR581/004/SRR5818004/SRR5818004.fastq.gz",
            expected_md5="ff777268831b4ce053e1320f3bd0994a",
            expected_bytes=672369314,
        ),
    )
    assert sample.organism == "DANIO_RERIO"
    assert sample.library_layout == "SINGLE"
    assert sample.manufacturer == "ILLUMINA"
    assert sample.platform == "IlluminaHiSeq2500"
    assert sample.platform_name == "Illumina HiSeq 2500"
    assert sample.source_archive_url == "https://www.ebi.ac.uk/ena/browser/view/SRR5818004"
    [protocol] = json.loads(sample.protocol_info or "")
    assert protocol["Description"].startswith("Whole zebrafish heart")
    assert protocol["Reference"] == "https://www.ebi.ac.uk/ena/browser/view/SRX2996258"
    attributes = {each.key: each.value for each in sample.attributes}
    assert attributes["characteristics_source_name_0_text"] == "Heart"
    assert attributes["study_ena_geo_accession"] == "GSE101204"
    assert attributes["library_strategy"] == "RNA-Seq"
    assert not {"fastq_ftp", "fastq_md5", "sra_ftp"} & set(attributes)


def test_the_metadata_of_srr3098582() -> None:
    sample = sample_of(surveyed("SRP068364"), "SRR3098582")
    assert sample.harmonised == {
        "specimen_part": "liver",
        "subject": "liver",
        "treatment": "biliatresone",
    }
    assert sample.title == "Biliatresone 2"
    assert [file.filename for file in sample.files] == [
        "SRR3098582_1.fastq.gz",
        "SRR3098582_2.fastq.gz",
    ]
    assert sample.files[1].expected_md5 == "6315f2371bc413220feb23c1ac030c46"


def test_the_metadata_of_srr1533126() -> None:
    experiment = surveyed("SRR1533126")
    assert experiment.experiment == "SRP045126"
    assert experiment.alternate_accession is None
    assert experiment.pubmed_id == "25319834"
    assert experiment.publication_title is None  # that answer of PubMed was not recorded
    [sample] = experiment.samples
    assert sample.title == "Phosphaturic mesenchymal tumour (PMT) case 2 of NTUH"
    assert sample.harmonised["sex"] == "female"
    assert sample.harmonised["age"] == 57.0
    assert sample.harmonised["specimen_part"] == "soft tissue;tumor cell"


@pytest.mark.parametrize("accession", ["SRP068364", "PRJNA308582", "SRR3098580", " srr3098580 "])
def test_every_accession_leads_to_the_whole_study(accession: str) -> None:
    experiment = surveyed(accession)
    assert experiment.experiment == "SRP068364"
    assert len(experiment.samples) == 4


def test_a_japanese_study() -> None:
    experiment = surveyed("DRP003977")
    assert len(experiment.samples) == 9
    assert experiment.relations == (Relation("bioproject", "PRJDB4470"),)
    assert experiment.source_last_modified == datetime(2021, 8, 11, tzinfo=UTC)
    assert {len(sample.files) for sample in experiment.samples} == {2}


def test_the_digest_does_not_depend_on_the_order_of_answers() -> None:
    web = recorded_portal()
    first = sra.survey("SRP111553", web)
    web.answers[asks("filereport", "SRP111553")].reverse()
    again = sra.survey("SRP111553", web)
    assert again == first
    web.answers[asks("filereport", "SRP111553")][0]["sample_title"] = "another"
    web.answers[asks("filereport", "SRP111553")][16]["sample_title"] = "another"
    assert sra.survey("SRP111553", web).source_sha256 != first.source_sha256


def test_each_biosample_is_asked_once() -> None:
    web = recorded_portal()
    sra.survey("SRP111553", web)
    asked = Counter(url for url, _ in web.asked if url.startswith(BIOSAMPLES))
    assert len(asked) == 8
    assert set(asked.values()) == {1}


def test_known_fields_are_not_asked_again() -> None:
    web = recorded_portal()
    sra.survey("SRP111553", web, fields=FIELDS)
    assert not [url for url, _ in web.asked if url.endswith("returnFields")]


def test_vanished_optional_fields_cost_only_themselves() -> None:
    web = recorded_portal()
    web.answers[asks("returnFields", "read_run")] = [
        {"columnId": name} for name in (*ena.INDISPENSABLE, "secondary_study_accession")
    ]
    assert sra.survey("SRP111553", web).experiment == "SRP111553"
    [asked] = [asked for url, asked in web.asked if url.endswith("filereport")]
    assert asked["fields"].split(",") == [*ena.INDISPENSABLE, "secondary_study_accession"]


def test_a_surveyed_study_can_be_stored(tmp_path: Path) -> None:
    experiment = surveyed("SRP111553")
    path = tmp_path / "experiment.parquet"
    write_experiment(
        experiment, path, code_version="1", run_id="r", recorded_at=datetime.now(tz=UTC)
    )
    assert read_experiment(path) == experiment


def test_a_study_of_two_strategies() -> None:
    """PRJEB18997: 1,268 runs of RNA-seq and 956 of ATAC-seq; none is lost."""
    body = gzip.decompress(shared_data("metadata/ena/PRJEB18997_filereport.tsv.gz").read_bytes())
    rows = ena.parse_rows(body, "run_accession")
    runs = tuple(
        {**row, "instrument_platform": "ILLUMINA", "library_source": "TRANSCRIPTOMIC"}
        for row in rows
    )
    experiment = sra.describe(sra.Study("ERP000001", runs, {}))
    reasons = Counter(sample.skip_reason and sample.skip_reason[0] for sample in experiment.samples)
    assert reasons == {None: 1268, "not_rnaseq": 956}
    assert all(len(sample.files) == 2 for sample in experiment.samples)


# --- where ENA has nothing ------------------------------------------------------------


def ncbi_only(document: bytes, count: int, study: str) -> Answers:
    return Answers(
        {
            asks("returnFields", "read_run"): [{"columnId": name} for name in ALL_FIELDS],
            asks("filereport", study): [],
            (SEARCH, f"{study}[Accession]"): found(count),
            (SEARCH, "SRR15990948[Accession]"): found(count),
            (FETCH, "0"): document,
        }
    )


@pytest.mark.parametrize("accession", ["SRP338030", "SRR15990948"])
def test_a_study_that_ena_does_not_have_yet(accession: str) -> None:
    experiment = sra.survey(accession, ncbi_only(recorded("GSE184506"), 24, "SRP338030"))
    assert experiment.experiment == "SRP338030"
    assert len(experiment.samples) == 24
    assert experiment.pubmed_id == "35061903"
    assert experiment.alternate_accession == "GSE184506"
    sample = sample_of(experiment, "SRR15990948")
    assert sample.title == "Sample 21_L48"
    assert sample.harmonised["sex"] == "male"
    assert sample.harmonised["genetic_information"] == "c57bl/6"
    assert sample.files == (
        RawFile(
            "SRR15990948.sra",
            "https://sra-pub-run-odp.s3.amazonaws.com/sra/SRR15990948/SRR15990948",
            expected_md5="bfd934c8e287586201bb62939791fccb",
            expected_bytes=50318019540,
        ),
    )


def test_neither_has_it() -> None:
    web = ncbi_only(b"", 0, "SRP338030")
    with pytest.raises(AccessionAbsent):
        sra.survey("SRP338030", web)


def test_a_record_reads_the_same_from_either_place() -> None:
    records = recorded_at_ena()
    runs = tuple(run for run in records.runs if run["secondary_study_accession"] == "SRP068364")
    from_xml = sra.describe(sra.Study("SRP068364", runs, records.studies["SRP068364"]))
    from_portal = surveyed("SRP068364")
    for one, other in zip(from_xml.samples, from_portal.samples, strict=True):
        assert one.harmonised == other.harmonised
        for name in ("sample", "title", "organism", "platform", "library_layout", "skip_reason"):
            assert getattr(one, name) == getattr(other, name)


# --- questions that are refused -------------------------------------------------------


@pytest.mark.parametrize("accession", ["", "GSE101204", "E-MTAB-3050", "SRP1/../..", "SRS000001"])
def test_accessions_of_other_kinds(accession: str) -> None:
    with pytest.raises(InvalidAccession):
        sra.survey(accession, Answers({}))


def test_an_umbrella_of_studies_names_them() -> None:
    rows = [
        {"run_accession": f"SRR00000{n}", "secondary_study_accession": f"SRP00000{n}"}
        for n in range(7)
    ]
    web = Answers(
        {
            asks("returnFields", "read_run"): [{"columnId": name} for name in ALL_FIELDS],
            asks("filereport", "PRJNA1"): rows,
        }
    )
    with pytest.raises(InvalidAccession, match="7 studies: SRP000000, SRP000001"):
        sra.survey("PRJNA1", web)


@pytest.mark.parametrize("url", [f"{ena.PORTAL}/filereport", ena.SEARCH, ena.XREF, BIOSAMPLES])
def test_an_outage_anywhere_is_no_news(url: str) -> None:
    web = recorded_portal()
    for asked in [*web.answers]:
        if asked[0].startswith(url):
            web.answers[asked] = SourceUnavailable("status 503")
    with pytest.raises(SourceUnavailable):
        sra.survey("SRP068364", web)


@pytest.mark.parametrize("url", [f"{ena.PORTAL}/filereport", ena.SEARCH, BIOSAMPLES])
def test_a_page_instead_of_an_answer(url: str) -> None:
    web = recorded_portal()
    for asked in [*web.answers]:
        if asked[0].startswith(url) and not asked[0].endswith("count"):
            web.answers[asked] = PAGE
    with pytest.raises(SourceAnswerInvalid):
        sra.survey("SRP068364", web)


# --- one run --------------------------------------------------------------------------

RUN = {
    "run_accession": "SRR000001",
    "secondary_study_accession": "SRP000001",
    "scientific_name": "Homo sapiens",
    "instrument_platform": "ILLUMINA",
    "instrument_model": "Illumina HiSeq 2000",
    "library_strategy": "RNA-Seq",
    "library_source": "TRANSCRIPTOMIC",
    "library_layout": "PAIRED",
    "base_count": "100",
}


def only(**changed: str) -> Sample:
    run = {key: value for key, value in {**RUN, **changed}.items() if value}
    [sample] = sra.describe(sra.Study("SRP000001", (run,), {})).samples
    return sample


def test_a_run_that_will_be_processed() -> None:
    assert only().skip_reason is None


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"library_strategy": "ATAC-seq"}, "not_rnaseq", "ATAC-seq"),
        ({"library_source": "GENOMIC"}, "not_rnaseq", "GENOMIC"),
        ({"library_source": "METATRANSCRIPTOMIC"}, "not_rnaseq", "METATRANSCRIPTOMIC"),
        ({"library_strategy": "", "library_source": ""}, "not_rnaseq", "stated"),
        ({"library_source": "TRANSCRIPTOMIC SINGLE CELL"}, "single_cell", "SINGLE CELL"),
        ({"instrument_platform": "OXFORD_NANOPORE", "instrument_model": "MinION"},
         "unsupported_platform", "MinION"),
        ({"instrument_model": "Illumina iSeq 100"}, "unsupported_platform", "iSeq 100"),
        ({"instrument_model": "", "instrument_platform": ""}, "unsupported_platform", "stated"),
        ({"scientific_name": ""}, "no_organism", "no organism"),
        ({"scientific_name": "metagenome"}, "no_organism", "metagenome"),
        ({"base_count": "0"}, "no_raw", "public"),
        ({"base_count": ""}, "no_raw", "public"),
        ({"status": "suppressed"}, "withdrawn", "suppressed"),
        ({"status": "temporary_suppressed"}, "withdrawn", "suppressed"),
        ({"status": "6"}, "withdrawn", "6"),
        ({"status": "private"}, "controlled_access", "private"),
        ({"dbgap_study_accession": "phs000001"}, "controlled_access", "dbGaP"),
        ({"experiment_title": "RNA-Seq of a person in the dbGaP study \"A\""},
         "controlled_access", "dbGaP"),
        ({"fastq_ftp": "a.b/SRR000001.fastq.gz", "fastq_md5": f"{MD5};{MD5}"},
         "source_answer_invalid", "2 MD5"),
        # the first reason counts
        ({"status": "killed", "library_strategy": "WGS", "scientific_name": ""}, "withdrawn", ""),
    ],
)  # fmt: skip
def test_every_reason_not_to_process(changed: dict[str, str], code: str, words: str) -> None:
    sample = only(**changed)
    assert sample.sample == "SRR000001"
    assert sample.skip_reason is not None
    assert sample.skip_reason[0] == code
    assert words in sample.skip_reason[1]
    assert sample.has_raw is bool(sample.files)


@pytest.mark.parametrize("status", ["public", "live", "4", ""])
def test_public_runs(status: str) -> None:
    assert only(status=status).skip_reason is None


@pytest.mark.parametrize("model", sequencers())
def test_every_supported_sequencer(model: str) -> None:
    maker = "ION_TORRENT" if model.startswith("Ion") else "ILLUMINA"
    sample = only(instrument_platform=maker, instrument_model=model)
    assert sample.skip_reason is None
    assert (sample.manufacturer, sample.platform_name) == (maker, model)
    assert sample.platform == model.replace(" ", "")


def test_other_makers_are_unknown() -> None:
    sample = only(instrument_platform="PACBIO_SMRT", instrument_model="Sequel II")
    assert {sample.manufacturer, sample.platform, sample.platform_name} == {UNKNOWN}


def test_withdrawn_runs_have_no_files() -> None:
    sample = only(status="suppressed", fastq_ftp="a.b/SRR000001.fastq.gz")
    assert sample.files == ()
    assert not sample.has_raw


def test_without_a_study_record_the_run_speaks() -> None:
    run = {**RUN, "study_title": "t", "study_alias": "E-MTAB-3050", "first_public": "2020-01-02"}
    experiment = sra.describe(sra.Study("SRP000001", (run,), {}))
    assert (experiment.title, experiment.description) == ("t", None)
    assert experiment.alternate_accession == "E-MTAB-3050"
    assert experiment.source_first_published == datetime(2020, 1, 2, tzinfo=UTC)
    assert experiment.source_last_modified is None


def test_a_biosample_does_not_change_the_verdict() -> None:
    run = {**RUN, "sample_accession": "SAMN1"}
    materials = {"SAMN1": {"library_strategy": "WGS", "run_accession": "SRR9", "name": "x"}}
    [sample] = sra.describe(sra.Study("SRP000001", (run,), {}, None, materials)).samples
    assert (sample.sample, sample.skip_reason) == ("SRR000001", None)
    assert {each.key: each.value for each in sample.attributes}["name"] == "x"


# --- files ----------------------------------------------------------------------------

BUCKET = "https://sra-pub-run-odp.s3.amazonaws.com/sra/SRR000001/SRR000001"
SRA_FILE = RawFile("SRR000001.sra", BUCKET)


def listing(*suffixes: str, order: int = 1) -> dict[str, str]:
    """A record whose FASTQ have these suffixes; size and digest tell them apart."""
    size = {"": 63, "_1": 100, "_2": 200}
    given = suffixes[::order]
    return {
        **RUN,
        "fastq_ftp": ";".join(f"a.b/x/SRR000001{each}.fastq.gz" for each in given),
        "fastq_md5": ";".join(f"{size.get(each, 7):032x}" for each in given),
        "fastq_bytes": ";".join(str(size.get(each, 7)) for each in given),
    }


def fastq(suffix: str, size: int) -> RawFile:
    name = f"SRR000001{suffix}.fastq.gz"
    return RawFile(name, f"https://a.b/x/{name}", expected_md5=f"{size:032x}", expected_bytes=size)


PAIR = (fastq("_1", 100), fastq("_2", 200))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("prefer", ["ena", "sra"])
def test_unmated_reads_are_left_at_ena(order: int, prefer: Any) -> None:
    assert sra.files_of_run(listing("", "_1", "_2", order=order), prefer) == PAIR


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (listing("_1", "_2"), PAIR),
        (listing("_1", "_2", order=-1), PAIR),
        (listing(""), (fastq("", 63),)),
        (listing("_1"), (fastq("_1", 100),)),
        (listing("", "_1"), (SRA_FILE,)),
        (listing("_3", "_4"), (SRA_FILE,)),
        (listing("_subreads"), (SRA_FILE,)),
        (RUN, (SRA_FILE,)),
        ({**RUN, "base_count": "0"}, ()),
        ({**RUN, "base_count": "0", "submitted_ftp": "a.b/x.bam"}, (SRA_FILE,)),
    ],
)
def test_fastq_of_ena_first(record: dict[str, str], expected: tuple[RawFile, ...]) -> None:
    assert sra.files_of_run(record) == expected


@pytest.mark.parametrize("record", [listing("_1", "_2"), listing(""), RUN])
def test_the_sra_object_first(record: dict[str, str]) -> None:
    assert sra.files_of_run(record, "sra") == (SRA_FILE,)


def test_enas_digest_is_not_taken_for_ncbis_object() -> None:
    record = {**RUN, "sra_ftp": "a.b/SRR000001", "sra_md5": MD5, "sra_bytes": "5"}
    assert sra.files_of_run(record) == (SRA_FILE,)


# --- discovery ------------------------------------------------------------------------


def test_the_question_for_new_studies() -> None:
    asked = sra.discover_query(date(2026, 11, 14), date(2026, 11, 21), taxonomy_ids=[9606, 10090])
    assert asked["result"] == "read_study"
    assert "offset" not in asked
    terms = asked["query"].split(" AND ")
    assert terms[:4] == [
        "first_public>=2026-11-14",
        "first_public<=2026-11-21",
        'library_strategy="RNA-Seq"',
        'library_source="TRANSCRIPTOMIC"',
    ]
    assert terms[4].count("instrument_model=") == len(sequencers())
    assert 'instrument_model="Illumina HiSeq 2000"' in terms[4]
    assert terms[5:] == ["(tax_eq(9606) OR tax_eq(10090))"]


def test_all_organisms_one_instrument() -> None:
    asked = sra.discover_query(date(2026, 1, 1), date(2026, 1, 1), instruments=["NextSeq 500"])
    assert asked["query"].endswith(' AND (instrument_model="NextSeq 500")')


@pytest.mark.parametrize("order", [1, -1])
def test_discovered_studies_are_distinct_and_sorted(order: int) -> None:
    rows = [
        {"secondary_study_accession": "SRP100000", "first_public": "2026-11-15"},
        {"secondary_study_accession": "SRP99999", "first_public": "2026-11-16"},
        {"secondary_study_accession": "SRP100000", "first_public": "2026-11-14"},
        {"secondary_study_accession": "ERP123456", "first_public": "2026-11-14"},
        {"study_accession": "PRJNA1", "first_public": "2026-11-14"},
    ]
    assert sra.parse_discovery(json.dumps(rows[::order]).encode()) == [
        ("ERP123456", date(2026, 11, 14)),
        ("PRJNA1", date(2026, 11, 14)),
        ("SRP99999", date(2026, 11, 16)),
        ("SRP100000", date(2026, 11, 14)),
    ]


def test_nothing_new() -> None:
    assert sra.parse_discovery(b"[]") == []
    assert sra.parse_discovery(b"first_public\tsecondary_study_accession\n") == []


@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        b'{"message": "Unsupported param offset"}',
        b'[{"first_public": "2026-11-14"}]',
        b'[{"secondary_study_accession": "SRP100000"}]',
        b'[{"secondary_study_accession": "SRP100000", "first_public": "soon"}]',
        b'[{"secondary_study_accession": "../x", "first_public": "2026-11-14"}]',
    ],
)
def test_no_list_of_studies(body: bytes) -> None:
    with pytest.raises(SourceAnswerInvalid):
        sra.parse_discovery(body)


# --- anything at all ------------------------------------------------------------------

values = st.text() | st.sampled_from(["", "0", "SRP000001", "RNA-Seq", "a.b/c", MD5, "0001-01-01"])
records = st.dictionaries(st.sampled_from([*ALL_FIELDS, "title", "protocol"]), values)


@given(st.lists(records, min_size=1, max_size=4), records)
def test_every_run_becomes_a_sample(rows: list[dict[str, str]], study: dict[str, str]) -> None:
    runs = tuple({**row, "run_accession": f"SRR{n:06}"} for n, row in enumerate(rows))
    experiment = sra.describe(sra.Study("SRP000001", runs, study))
    assert [sample.sample for sample in experiment.samples] == [r["run_accession"] for r in runs]
    for sample in experiment.samples:
        assert sample.skip_reason or sample.files


@given(st.data())
def test_damaged_answers_give_typed_errors_only(data: st.DataObject) -> None:
    rows = json.dumps([RUN, {**listing("_1", "_2"), "run_accession": "SRR000002"}]).encode()
    answers: dict[tuple[str, str], Any] = {
        asks("returnFields", "read_run"): json.dumps(
            [{"columnId": f} for f in ALL_FIELDS]
        ).encode(),
        asks("filereportcount", "SRP000001"): b"count\n2\n",
        asks("filereport", "SRP000001"): rows,
        (ena.SEARCH, "SRP000001"): b'[{"study_accession": "PRJNA1", "study_title": "t"}]',
        (ena.XREF, "SRP000001"): b'[{"Source": "PubMed", "Source Primary Accession": "7"}]',
        (PUBMED, "7"): b'{"result": {"7": {"title": "t", "authors": []}}}',
    }
    damaged = data.draw(st.sampled_from([*answers]))
    body = bytearray(answers[damaged])
    where = data.draw(st.integers(0, len(body) - 1))
    body[where : where + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=3))
    try:
        experiment = sra.survey("SRP000001", Answers({**answers, damaged: bytes(body)}))
    except RefinebioError:
        return
    assert 1 <= len(experiment.samples) <= 2  # 1: both runs got the same accession
