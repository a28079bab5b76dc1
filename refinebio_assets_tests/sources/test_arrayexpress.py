"""Experiments of ArrayExpress: recorded documents, and invented ones for every odd case."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import AccessionAbsent, RefinebioError, SourceAnswerInvalid
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.sources.arrayexpress import REASONS, sample_accession, survey
from refinebio_assets.sources.records import Experiment, Sample, read_experiment, write_experiment
from refinebio_assets_tests.conftest import shared_data

RECORDED = "http/www.ebi.ac.uk/arrayexpress_files_{0}_{0}.{1}.txt"
PLACE = "https://ftp.ebi.ac.uk/biostudies/fire/X"
API = "https://www.ebi.ac.uk/biostudies/api/v1/studies"


class Documents:
    """A web of one experiment's documents."""

    def __init__(
        self,
        accession: str,
        idf: bytes,
        sdrf: bytes,
        *,
        designs: tuple[str, ...] = (),
        files: Mapping[str, int] | None = None,
    ) -> None:
        listed = [{"path": path, "size": size} for path, size in (files or {}).items()]
        links = [{"url": design} for design in designs]
        sections = [{"type": "Array Designs", "links": [links]}, {"type": "F", "files": listed}]
        study = {"section": {"attributes": [], "subsections": sections}}
        info = {"httpLink": PLACE, "released": 1414713600000, "modified": 1414800000000}
        self.pages: dict[str, bytes] = {
            f"{API}/{accession}": json.dumps(study).encode(),
            f"{API}/{accession}/info": json.dumps(info).encode(),
            f"{PLACE}/Files/{accession}.idf.txt": idf,
            f"{PLACE}/Files/{accession}.sdrf.txt": sdrf,
        }

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        if url not in self.pages:
            raise AccessionAbsent(f"There is nothing at {url}.")
        return self.pages[url]

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        raise NotImplementedError


def recorded(accession: str, **how: Any) -> Documents:
    idf, sdrf = (
        shared_data(RECORDED.format(accession, kind)).read_bytes() for kind in ("idf", "sdrf")
    )
    return Documents(accession, idf, sdrf, **how)


def made_up(*rows: str, idf: str = "Investigation Title\tInvented", **how: Any) -> Experiment:
    sdrf = "\n".join(rows).replace("|", "\t").encode()
    return survey("E-MTAB-1", Documents("E-MTAB-1", idf.encode(), sdrf, **how))


HEADING = "Source Name|Characteristics[organism]|Assay Name|Array Design REF|Array Data File"


def only(experiment: Experiment) -> Sample:
    (sample,) = experiment.samples
    return sample


def reason(sample: Sample) -> str | None:
    assert sample.skip_reason is None or sample.skip_reason[0] in REASONS
    return sample.skip_reason[0] if sample.skip_reason else None


# --- recorded experiments -------------------------------------------------------------


def test_an_affymetrix_experiment(tmp_path: Path) -> None:
    files = {"E-MTAB-3050.raw.1.zip": 12_000_000}
    experiment = survey(" e-mtab-3050", recorded("E-MTAB-3050", files=files))
    assert experiment.experiment == "E-MTAB-3050"
    assert experiment.technology == "MICROARRAY"
    assert experiment.submitter_institution == "Massachusetts General Hospital"
    assert experiment.source_first_published == datetime(2014, 10, 31, tzinfo=UTC)
    assert not experiment.has_publication
    assert len(json.loads(experiment.protocol_description or "")) == 9
    assert len(experiment.samples) == 5
    assert {sample.platform for sample in experiment.samples} == {"hgu95av2"}
    assert {sample.manufacturer for sample in experiment.samples} == {"AFFYMETRIX"}
    assert all(sample.has_raw and sample.skip_reason is None for sample in experiment.samples)
    archives = {file.source_url for sample in experiment.samples for file in sample.files}
    assert archives == {f"{PLACE}/Files/E-MTAB-3050.raw.1.zip"}
    first = experiment.samples[0]
    assert first.sample == "E-MTAB-3050-1007409-C30057"
    assert first.title == "donor A islets RNA"
    assert first.harmonised["sex"] == "female"
    assert first.harmonised["age"] == 54.0
    assert [(file.filename, file.is_archive) for file in first.files] == [("C30057.CEL", True)]
    assert first.files[0].expected_bytes == 12_000_000
    path = tmp_path / "experiment.parquet"
    lineage = {"code_version": "0", "run_id": "r", "recorded_at": datetime.now(UTC)}
    write_experiment(experiment, path, **lineage)
    assert read_experiment(path) == experiment


def test_an_import_from_geo_without_raw_files() -> None:
    experiment = survey("E-GEOD-44719", recorded("E-GEOD-44719"))
    assert len(experiment.samples) == 77
    assert experiment.alternate_accession == "GSE44719"
    assert [(each.relation, each.target) for each in experiment.relations] == [
        ("same_as", "GSE44719")
    ]
    first = experiment.samples[0]
    assert first.sample == "E-GEOD-44719-GSM1089365"
    assert first.title == "IL4 DC_ND197_TNFa"
    assert (first.platform, first.manufacturer) == ("Illumina_HumanHT-12_V3.0", "ILLUMINA")
    assert not first.has_raw
    assert [file.is_raw for file in first.files] == [False]
    assert reason(first) is None


# --- which name -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "assay", "file", "name"),
    [
        ("GSM12 1", "other", "GSM12.CEL", "GSM12_1"),  # the file is called after it
        ("longer one", "short-C3", "C3.CEL", "short-C3"),
        ("with space", "without", "x.CEL", "without"),
        ("without", "with a space", "x.CEL", "without"),
        ("longest", "short", "x.CEL", "longest"),
        ("equal", "alike", "x.CEL", "equal"),
        ("µ/..//\\x", "a", "y.CEL", "___x"),
    ],
)
def test_a_samples_name(source: str, assay: str, file: str, name: str) -> None:
    sample = only(made_up(HEADING, f"{source}|Homo sapiens|{assay}|A-AFFY-33|{file}"))
    assert sample.sample == f"E-MTAB-1-{name}"
    submitted = {each.key: each.value for each in sample.attributes}
    assert submitted["Source Name"] == source


def test_names_that_would_be_alike() -> None:
    experiment = made_up(
        HEADING,
        "liver|Homo sapiens|a 1|A-AFFY-33|x.CEL",
        "liver|Homo sapiens|a 2|A-AFFY-33|y.CEL",
        "b c|Homo sapiens|d e|A-AFFY-33|z.CEL",
        "b_c|Homo sapiens|d_e|A-AFFY-33|z2.CEL",
    )
    names = [sample.sample for sample in experiment.samples]
    assert names[:2] == ["E-MTAB-1-liver-a_1", "E-MTAB-1-liver-a_2"]
    assert len(set(names)) == 4


@given(st.text())
def test_any_name_becomes_an_accession(name: str) -> None:
    accession = sample_accession("E-MTAB-12345", name)
    assert valid_accession(accession) == accession


# --- one sample, several rows -----------------------------------------------------------


def test_rows_of_one_sample_are_one_sample() -> None:
    sample = only(
        made_up(
            f"{HEADING}|Factor Value[dose]",
            "s|Homo sapiens|a|A-AFFY-33|1.CEL|low",
            "s|Homo sapiens|a|A-AFFY-33|2.CEL|low",
        )
    )
    assert [file.filename for file in sample.files] == ["1.CEL", "2.CEL"]
    assert [each.value for each in sample.attributes].count("low") == 1


def test_raw_files_go_before_derived_ones() -> None:
    heading = f"{HEADING}|Derived Array Data File"
    both = only(made_up(heading, "s|Homo sapiens|a|A-AFFY-33|1.CEL|1.txt", files={"1.CEL": 5}))
    assert [(file.filename, file.expected_bytes) for file in both.files] == [("1.CEL", 5)]
    assert not both.files[0].is_archive
    derived = only(made_up(heading, "s|Homo sapiens|a|A-AFFY-33||1.txt"))
    assert not derived.has_raw
    assert [file.filename for file in derived.files] == ["1.txt"]


def test_one_colour_arrays_have_no_raw_data_here() -> None:
    sample = only(made_up(f"{HEADING}|Label", "s|Homo sapiens|a|A-AFFY-33|1.txt|Cy3"))
    assert not sample.has_raw
    assert reason(sample) == "no_data"


@pytest.mark.parametrize(
    "name", ["..", "/", "file:///etc/passwd", "s3://bucket/key", "http://[", "a\x01b"]
)
def test_what_is_no_file_name_is_not_fetched(name: str) -> None:
    sample = only(made_up(HEADING, f"s|Homo sapiens|a|A-AFFY-33|{name}"))
    assert sample.files == ()
    assert reason(sample) == "no_data"


# --- why not --------------------------------------------------------------------------


def test_two_channels() -> None:
    experiment = made_up(
        f"{HEADING}|Label",
        "s1|Homo sapiens|a|A-AFFY-33|1.txt|Cy3",
        "s2|Homo sapiens|a|A-AFFY-33|1.txt|Cy5",
        "s3|Homo sapiens|b|A-AFFY-33|2.CEL|biotin",
    )
    assert [reason(each) for each in experiment.samples] == ["two_channel", "two_channel", None]


@pytest.mark.parametrize("organism", ["", "synthetic", "Homo sapiens; x/y"])
def test_no_organism(organism: str) -> None:
    sample = only(made_up(HEADING, f"s|{organism}|a|A-AFFY-33|1.CEL"))
    assert sample.organism == "UNKNOWN"
    assert reason(sample) == "no_organism"


@pytest.mark.parametrize(
    ("designs", "design", "file", "platform", "skipped"),
    [
        ((), "A-MEXP-99999", "1.txt", "A-MEXP-99999", "unsupported_platform"),
        ((), "A-MEXP-99999", "1.CEL", "A-MEXP-99999", None),  # its header decides
        ((), "", "1.txt", "UNKNOWN", "unsupported_platform"),
        (("A-AFFY-33",), "", "1.txt", "hgu133a", None),
        (("A-AFFY-33", "A-AFFY-1"), "", "1.CEL", "UNKNOWN", None),
        (("A-AFFY-33", "A-AFFY-1"), "", "1.txt", "UNKNOWN", "unsupported_platform"),
        (("A-AFFY-33",), "A-GEOD-8300", "1.CEL", "hgu95av2", None),
    ],
)
def test_platforms(
    designs: tuple[str, ...], design: str, file: str, platform: str, skipped: str | None
) -> None:
    sample = only(made_up(HEADING, f"s|Homo sapiens|a|{design}|{file}", designs=designs))
    assert sample.platform == platform
    assert reason(sample) == skipped


def test_sequencing_goes_through_sra() -> None:
    heading = (
        "Source Name|Characteristics[organism]|Assay Name|Technology Type|Comment[LIBRARY_LAYOUT]"
        "|Comment[LIBRARY_STRATEGY]|Comment[INSTRUMENT_MODEL]|Comment[ENA_RUN]"
        "|Comment[FASTQ_URI]"
    )
    row = "s{0}|Homo sapiens|a{0}|sequencing assay|PAIRED|{1}|Illumina HiSeq 2000|{2}|{3}"
    place = "ftp://ftp.sra.ebi.ac.uk/vol1/fastq/ERR123/ERR1234567/ERR1234567_1.fastq.gz"
    experiment = made_up(
        heading,
        row.format(1, "RNA-Seq", "ERR1234567", place),
        row.format(1, "RNA-Seq", "ERR1234567", place.replace("_1", "_2")),
        row.format(2, "ChIP-Seq", "ERR1234568", ""),
        row.format(3, "RNA-Seq", "", ""),
        idf="Investigation Title\tx\nComment[SecondaryAccession]\tERP000001\tPRJEB1",
    )
    first, second, third = experiment.samples
    assert first.skip_reason is not None
    assert first.skip_reason[1].endswith("(ERR1234567)")
    assert (first.technology, first.library_layout) == ("RNA-SEQ", "PAIRED")
    assert (first.platform, first.manufacturer) == ("IlluminaHiSeq2000", "ILLUMINA")
    assert first.files == ()
    assert (second.technology, reason(second)) == ("UNKNOWN", "not_rna_seq")
    assert (third.has_raw, reason(third)) == (False, "rnaseq_through_sra")
    assert [(each.relation, each.target) for each in experiment.relations] == [
        ("sra_study", "ERP000001"),
        ("bioproject", "PRJEB1"),
    ]


def test_malformed_rows_do_not_disappear() -> None:
    experiment = made_up(HEADING, "s|Homo sapiens|a|A-AFFY-33|1.CEL", "broken|row", "", "x")
    assert [reason(each) for each in experiment.samples] == ["malformed_row"] * 2 + [None]
    assert [each.title for each in experiment.samples[:2]] == ["broken", "x"]


# --- documents that are not there, or something else ------------------------------------


@pytest.mark.parametrize("accession", ["GSE1", "E-MTAB-", "E-MTAB-1/../2", "", "E-MTAB-1 2"])
def test_no_accession_of_arrayexpress(accession: str) -> None:
    with pytest.raises(AccessionAbsent):
        survey(accession, Documents("E-MTAB-1", b"", b""))


def test_an_unknown_study() -> None:
    with pytest.raises(AccessionAbsent):
        survey("E-MTAB-2", Documents("E-MTAB-1", b"", b""))


def test_a_study_without_sdrf() -> None:
    web = Documents("E-MTAB-1", b"Investigation Title\tx\nSDRF File\tother.sdrf.txt", b"")
    with pytest.raises(SourceAnswerInvalid, match=r"no other\.sdrf\.txt"):
        survey("E-MTAB-1", web)
    web = Documents("E-MTAB-1", b"Investigation Title\tx\nSDRF File\t../../x", b"")
    with pytest.raises(SourceAnswerInvalid, match="no file name"):
        survey("E-MTAB-1", web)


def test_several_sdrf_files_share_sources() -> None:
    web = Documents("E-MTAB-1", b"Investigation Title\tx\nSDRF File\t1.txt\t2.txt", b"")
    for number, design in ((1, "A-AFFY-33"), (2, "A-AFFY-34")):
        row = f"{HEADING}\ns|Homo sapiens|a{number}|{design}|{number}.CEL\nbad"
        web.pages[f"{PLACE}/Files/{number}.txt"] = row.replace("|", "\t").encode()
    experiment = survey("E-MTAB-1", web)
    assert len({each.sample for each in experiment.samples}) == 4
    assert [each.platform for each in experiment.samples[2:]] == ["hgu133a", "hgu133b"]


def test_no_rows() -> None:
    with pytest.raises(SourceAnswerInvalid, match="no rows"):
        made_up(HEADING)


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_damaged_documents_are_read_or_refused(luck: random.Random) -> None:
    web = recorded("E-MTAB-3050")
    damaged = luck.choice(sorted(web.pages))
    content = bytearray(web.pages[damaged])
    for _ in range(luck.randint(1, 20)):
        place = luck.randrange(len(content) or 1)
        end = place + luck.randint(0, 50)
        content[place:end] = luck.choice(
            [b"", b"\t", b"\n", b"\0", b"\xff", b"[", b'"', bytes(content[end : end + 90])]
        )
    web.pages[damaged] = bytes(content)
    try:
        experiment = survey("E-MTAB-3050", web)
    except RefinebioError:
        return
    names = [valid_accession(sample.sample) for sample in experiment.samples]
    assert len(set(names)) == len(names)
