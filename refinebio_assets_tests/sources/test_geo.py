"""GEO: real series become records; odd ones do too; nothing but typed errors otherwise."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

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
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.sources import geo
from refinebio_assets.sources.records import (
    Attribute,
    Experiment,
    Relation,
    Sample,
    read_experiment,
    write_experiment,
)
from refinebio_assets_tests.conftest import shared_data

SOFT = "geo/soft/"


def _series(name: str) -> Experiment:
    with Path(shared_data(SOFT + name)).open("rb") as file:
        return geo.parse_series(file, "digest")


def _kinds(experiment: Experiment) -> Counter[tuple[str | None, ...]]:
    return Counter(
        (each.platform, each.technology, each.skip_reason[0] if each.skip_reason else None)
        for each in experiment.samples
    )


# --- real series ----------------------------------------------------------------------


def test_four_platforms_and_two_organisms() -> None:
    experiment = _series("GSE3791_family.soft.gz")
    assert experiment.organisms == ["HOMO_SAPIENS", "MUS_MUSCULUS"]
    assert _kinds(experiment) == {
        (platform, "MICROARRAY", None): 3
        for platform in ("hgu133a", "hgu133b", "moe430a", "moe430b")
    }
    by_name = {each.sample: each for each in experiment.samples}
    assert by_name["GSM87191"].organism == "HOMO_SAPIENS"
    assert by_name["GSM87191"].platform_name == "[HG-U133A] Affymetrix Human Genome U133A Array"
    assert by_name["GSM87191"].harmonised == {"sex": "male"}
    # Its record knows a path of the archive only.
    assert [file.source_url for file in by_name["GSM87191"].files] == [
        f"https://ftp.ncbi.nlm.nih.gov/geo/samples/GSM87nnn/GSM87191/suppl/GSM87191.{kind}.gz"
        for kind in ("CEL", "EXP")
    ]


def test_fields_of_the_experiment() -> None:
    experiment = _series("GSE14618.soft.gz")
    assert experiment.experiment == "GSE14618"
    assert experiment.alternate_accession == "E-GEOD-14618"
    assert experiment.source_url == "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE14618"
    assert experiment.title == "Microarray analyses of induction failure in T-ALL"
    assert experiment.description is not None
    assert experiment.description.startswith("The clinical and cytogenetic features")
    assert experiment.submitter_institution == "University of New Mexico Health Sciences Center"
    assert experiment.pubmed_id == "17495134"
    assert experiment.has_publication
    assert experiment.source_first_published == datetime(2009, 1, 28, tzinfo=UTC)
    assert experiment.source_last_modified == datetime(2010, 9, 10, tzinfo=UTC)
    assert experiment.source_sha256 == "digest"


def test_a_super_series_and_its_parts() -> None:
    whole = _series("GSE14618.soft.gz")
    first, second = _series("GSE14613.soft.gz"), _series("GSE14615.soft.gz")
    assert whole.relations == (
        Relation("superseries_of", "GSE14613"),
        Relation("superseries_of", "GSE14615"),
    )
    assert first.relations == second.relations == (Relation("subseries_of", "GSE14618"),)
    assert whole.samples == (*first.samples, *second.samples)
    assert _kinds(whole) == {
        ("hgu133a", "MICROARRAY", None): 42,
        ("hgu133plus2", "MICROARRAY", None): 50,
    }


def test_lower_case_tags_and_values_without_raw_data() -> None:
    """Its samples have tables and no file, whatever the want of a data_processing says."""
    experiment = _series("GSE1623_family.soft.txt.gz")
    assert _kinds(experiment) == {("mgu74av2", "MICROARRAY", None): 8}
    for sample in experiment.samples:
        assert not sample.has_raw
        (family,) = sample.files
        assert family.source_url == (
            "https://ftp.ncbi.nlm.nih.gov/geo/series/GSE1nnn/GSE1623/miniml/GSE1623_family.xml.tgz"
        )
        assert family.is_archive
        assert not family.is_raw


def test_sequenced_samples_are_left_to_sra() -> None:
    experiment = _series("GSE29006_family.soft.gz")
    assert experiment.relations == (
        Relation("subseries_of", "GSE29007"),
        Relation("sra_study", "SRP006676"),
        Relation("bioproject", "PRJNA153969"),
    )
    assert _kinds(experiment) == {
        ("Illumina Genome Analyzer IIx", "RNA-SEQ", "rnaseq_through_sra"): 8
    }
    sample = experiment.samples[0]
    assert sample.skip_reason is not None
    assert "SRX060169 of SRP006676" in sample.skip_reason[1]
    assert sample.files == ()
    assert sample.harmonised["specimen_part"] == "large airway epithelial cells"


def test_a_file_of_the_series_belongs_to_each_of_its_samples() -> None:
    experiment = _series("GSE26927.soft.gz")
    assert _kinds(experiment) == {("Illumina_HumanRef-8_v2.0", "MICROARRAY", None): 118}
    (files,) = {sample.files for sample in experiment.samples}
    (file,) = files
    assert file.filename == "GSE26927_non-normalized.txt.gz"
    assert file.source_url == (
        "https://ftp.ncbi.nlm.nih.gov/geo/series/GSE26nnn/GSE26927/suppl/"
        "GSE26927_non-normalized.txt.gz"
    )
    assert file.is_raw
    assert not file.is_archive
    assert {sample.manufacturer for sample in experiment.samples} == {"ILLUMINA"}
    assert experiment.samples[0].harmonised == {"sex": "male", "disease": "alzheimer's disease"}


def test_an_unsupported_platform_is_recorded_and_named() -> None:
    experiment = _series("GSE8294_family.soft.gz")
    assert _kinds(experiment) == {("GPL4134", "UNKNOWN", "unsupported_platform"): 9}
    sample = experiment.samples[0]
    assert sample.platform_name is not None
    assert sample.platform_name.startswith("Agilent-014868")
    assert sample.skip_reason == (
        "unsupported_platform",
        "Its platform is not supported. (GPL4134)",
    )


def test_attributes_are_what_was_submitted() -> None:
    sample = _series("GSE8294_family.soft.gz").samples[0]
    said = list(sample.attributes)
    assert Attribute("timepoint", "0") in said
    assert Attribute("characteristics_ch1", "uninfected") in said
    assert said[0] == Attribute("title", "Gr1-_uninf_1_blood")
    assert said[-2:] == [Attribute("geo_columns", "ID_REF"), Attribute("geo_columns", "VALUE")]
    assert sample.harmonised == {"time": "0"}
    protocols = json.loads(sample.protocol_info or "")
    assert set(protocols) == {
        *("Extraction protocol", "Label protocol", "Hybridization protocol", "Scan protocol"),
        *("Data processing", "Reference"),
    }
    assert protocols["Reference"] == sample.source_archive_url
    assert protocols["Data processing"][0].startswith("The Agilent Feature Extraction")


def test_a_platform_family_is_no_series() -> None:
    with pytest.raises(SourceAnswerInvalid, match="0 series"):
        _series("GPL890_family.soft.gz")


@pytest.mark.parametrize("name", ["GSE3791_family.soft.gz", "GSE29006_family.soft.gz"])
def test_records_go_through_parquet_unchanged(name: str, tmp_path: Path) -> None:
    experiment = _series(name)
    path = tmp_path / "experiment.parquet"
    write_experiment(
        experiment, path, code_version="1", run_id="r", recorded_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert read_experiment(path) == experiment


# --- rules, on small documents --------------------------------------------------------


def _document(*sample: str, series: str = "", platform: str = "GPL570", title: str = "") -> Sample:
    """The sample of a series of one."""
    lines = [
        *("^SERIES = GSE1", "!Series_sample_id = GSM1", *series.splitlines()),
        *(f"^PLATFORM = {platform}", f"!Platform_title = {title or 'Some array'}"),
        *("^SAMPLE = GSM1", "!Sample_organism_ch1 = Homo sapiens", "!Sample_channel_count = 1"),
        *(f"!Sample_platform_id = {platform}", *(f"!Sample_{line}" for line in sample)),
    ]
    (found,) = geo.parse_series(lines, "").samples
    return found


def _code(sample: Sample) -> str | None:
    return sample.skip_reason[0] if sample.skip_reason else None


ARCHIVED = "https://ftp.ncbi.nlm.nih.gov/geo/samples/GSMnnn/GSM1/suppl/"
CEL = f"supplementary_file = {ARCHIVED}GSM1.CEL.gz"


def test_a_cel_file_makes_an_affymetrix_array_of_anything() -> None:
    sample = _document(CEL, platform="GPL9999999", title="Illumina HiSeq 2000 (Homo sapiens)")
    assert (sample.technology, sample.manufacturer) == ("MICROARRAY", "AFFYMETRIX")
    assert sample.has_raw
    assert _code(sample) is None
    assert _code(_document(CEL, platform="GPL9999999", title="Own array")) is None


@pytest.mark.parametrize(
    ("lines", "has_raw", "names"),
    [
        ([CEL, "data_processing = RMA"], True, ["GSM1.CEL.gz"]),
        ([f"supplementary_file = {ARCHIVED}GSM1.txt.gz"], True, ["GSM1.txt.gz"]),
        (
            [f"supplementary_file = {ARCHIVED}GSM1.txt.gz", "data_processing = x"],
            False,
            ["GSM1.txt.gz"],
        ),
        (
            [f"supplementary_file = {ARCHIVED}GSM1_NON-normalized.txt", "data_processing = x"],
            True,
            ["GSM1_NON-normalized.txt"],
        ),
        (["supplementary_file = NONE", CEL, "data_row_count = 5"], False, ["GSE1_family.xml.tgz"]),
        ([f"supplementary_file = {ARCHIVED}GSM1.CHP.gz", CEL], True, ["GSM1.CEL.gz"]),
        ([f"supplementary_file = {ARCHIVED}a.EXP.gz", "data_row_count = 5"], False,
         ["a.EXP.gz", "GSE1_family.xml.tgz"]),
        ([CEL, CEL], True, ["GSM1.CEL.gz"]),
        (["supplementary_file = https://elsewhere.example/GSM1.CEL", CEL], True, ["GSM1.CEL.gz"]),
        (["supplementary_file = file:///etc/passwd", CEL], True, ["GSM1.CEL.gz"]),
        ([f"supplementary_file = {ARCHIVED}..", CEL], True, ["GSM1.CEL.gz"]),
        ([f"supplementary_file = {ARCHIVED}..%2F..%2Fx.CEL", CEL], True, ["GSM1.CEL.gz"]),
        ([f"supplementary_file = {ARCHIVED}GSM1_RAW.tar"], True, ["GSM1_RAW.tar"]),
    ],
)  # fmt: skip
def test_which_files_are_listed_and_whether_they_are_raw(
    lines: list[str], has_raw: bool, names: list[str]
) -> None:
    sample = _document(*lines)
    assert [file.filename for file in sample.files] == names
    assert sample.has_raw is has_raw
    assert {file.is_raw for file in sample.files} == {has_raw}
    assert [file.is_archive for file in sample.files] == [
        name.endswith((".tar", ".tgz")) for name in names
    ]


def test_csv_files_are_left_out_for_illumina_alone() -> None:
    named = f"supplementary_file = {ARCHIVED}GSM1.csv.gz"
    illumina = _document(named, platform="GPL6255", title="Illumina humanRef-8 v2.0")
    assert illumina.manufacturer == "ILLUMINA"
    assert illumina.files == ()
    assert [file.filename for file in _document(named).files] == ["GSM1.csv.gz"]


def test_odd_names_become_addresses() -> None:
    old = "ftp://ftp.ncbi.nih.gov/pub/geo/DATA/supplementary/samples/GSM1nnn/GSM1234/"
    (file,) = _document(f"supplementary_file = {old}GSM1234 - one #1.CEL.gz").files
    assert file.filename == "GSM1234 - one #1.CEL.gz"
    assert file.source_url == (
        "https://ftp.ncbi.nlm.nih.gov/geo/samples/GSM1nnn/GSM1234/suppl/"
        "GSM1234%20-%20one%20%231.CEL.gz"
    )
    (file,) = _document(f"supplementary_file = {ARCHIVED}a%231.CEL.gz").files
    assert (file.filename, file.source_url) == ("a#1.CEL.gz", f"{ARCHIVED}a%231.CEL.gz")


def test_a_sample_without_file_and_table_has_no_data() -> None:
    sample = _document("data_row_count = 0", "supplementary_file = NONE")
    assert _code(sample) == "no_data"
    assert not sample.has_raw


def test_two_channels_no_organism_and_other_libraries_are_skipped() -> None:
    lines = ["^SERIES = GSE1", "^PLATFORM = GPL1", "!Platform_title = NextSeq 500 (Homo sapiens)"]
    lines += ["^SAMPLE = GSM1", "!Sample_channel_count = 2", "!Sample_platform_id = GPL570"]
    lines += ["^SAMPLE = GSM2", "!Sample_label_ch2 = Cy5", "!Sample_platform_id = GPL570"]
    lines += ["^SAMPLE = GSM3", "!Sample_platform_id = GPL570"]
    lines += ["^SAMPLE = GSM4", "!Sample_library_strategy = ChIP-Seq"]
    lines += ["!Sample_platform_id = GPL1", "!Sample_organism_ch1 = Homo sapiens"]
    lines += ["^SAMPLE = GSM5", "!Sample_organism_ch1 = Homo sapiens"]
    experiment = geo.parse_series(lines, "")
    assert [_code(sample) for sample in experiment.samples] == [
        *("two_channel", "two_channel", "no_organism", "not_rna_seq", "unsupported_platform")
    ]
    assert [sample.organism for sample in experiment.samples][2:4] == ["UNKNOWN", "HOMO_SAPIENS"]


def test_a_sample_that_the_series_names_but_does_not_hold() -> None:
    lines = ["^SERIES = GSE1", "!Series_sample_id = GSM1", "!Series_sample_id = GSM2"]
    lines += ["^SAMPLE = GSM2", "!Sample_organism_ch1 = Homo sapiens"]
    first, second = geo.parse_series(lines, "").samples
    assert (first.sample, _code(first)) == ("GSM1", "record_missing")
    assert second.sample == "GSM2"
    with pytest.raises(SourceAnswerInvalid, match="none of its samples"):
        geo.parse_series(lines[:3], "")


def test_every_reason_is_documented() -> None:
    codes = {
        sample.skip_reason[0]
        for name in ("GSE29006_family.soft.gz", "GSE8294_family.soft.gz")
        for sample in _series(name).samples
        if sample.skip_reason
    }
    assert codes <= set(geo.REASONS)


@pytest.mark.parametrize("names", [("GSE1", "GSE2"), ("../x",), ("GSM1",), ("",)])
def test_other_than_one_series_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(SourceAnswerInvalid):
        geo.parse_series([f"^SERIES = {name}" for name in names], "")


# --- addresses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accession", "shelf"),
    [
        *(("GSE7", "GSEnnn"), ("GSE999", "GSEnnn"), ("GSE1000", "GSE1nnn")),
        ("GSE263566", "GSE263nnn"),
    ],
)
def test_addresses(accession: str, shelf: str) -> None:
    place = f"https://ftp.ncbi.nlm.nih.gov/geo/series/{shelf}/{accession}"
    assert geo.folder_url(accession.lower()) == place
    assert geo.family_url(accession) == f"{place}/soft/{accession}_family.soft.gz"
    assert geo.miniml_url(accession) == f"{place}/miniml/{accession}_family.xml.tgz"


@pytest.mark.parametrize(
    "name", ["", "GSE", "GSE0", "GSE1/..", "GSE1\n2", "SRP1", "GPL570", "GSE１"]
)
def test_names_that_are_no_series(name: str) -> None:
    for address in (geo.family_url, geo.miniml_url):
        with pytest.raises(InvalidAccession):
            address(name)


# --- asking ---------------------------------------------------------------------------

NOT_FOUND = b"<html>Could not find a public or private accession</html>"


class Answers:
    """A Web that answers from a dictionary; what is not in it is absent."""

    def __init__(self, answers: Mapping[str, bytes | RefinebioError]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def get(self, url: str, params: Mapping[str, str] | None = None) -> bytes:
        name = params.get("acc") or params.get("id") or "" if params else url
        self.asked.append(name)
        answer = self._answers.get(name, AccessionAbsent(f"{url}: 404"))
        if isinstance(answer, RefinebioError):
            raise answer
        return answer

    def open(self, url: str) -> AbstractContextManager[BinaryIO]:
        @contextmanager
        def opened() -> Iterator[BinaryIO]:
            yield io.BytesIO(self.get(url))

        return opened()


def test_a_survey_of_a_series_takes_its_family_and_publication() -> None:
    family = shared_data(SOFT + "GSE14618.soft.gz").read_bytes()
    paper = shared_data(
        "http/eutils.ncbi.nlm.nih.gov/entrez_eutils_esummary.fcgi_db_pubmed_id_28798664_retmode_json"
    ).read_bytes()
    web = Answers(
        {
            geo.family_url("GSE14618"): family,
            "17495134": paper.replace(b"28798664", b"17495134"),
        }
    )
    experiment = geo.survey("gse14618 ", web)
    assert experiment.source_sha256 == hashlib.sha256(family).hexdigest()
    assert experiment.publication_title is not None
    assert experiment.publication_title.startswith("Interplay of Energetics")
    assert experiment.publication_authors[:2] == ("Chen X", "Bisschops MMM")
    assert experiment.publication_doi == "10.3389/fnmol.2017.00232"
    assert experiment.samples == _series("GSE14618.soft.gz").samples


def test_a_survey_of_a_sample_takes_its_series() -> None:
    brief = gzip.decompress(shared_data(SOFT + "GSE14618.soft.gz").read_bytes())
    brief = brief[brief.index(b"^SAMPLE = GSM365046") : brief.index(b"^SAMPLE = GSM365047")]
    family = shared_data(SOFT + "GSE14613.soft.gz").read_bytes()
    web = Answers({"GSM365046": brief, geo.family_url("GSE14613"): family})
    experiment = geo.survey("GSM365046", web)
    assert experiment.experiment == "GSE14613"
    assert experiment.pubmed_id == "17495134"
    assert experiment.publication_title is None


@pytest.mark.parametrize(
    "answer",
    [
        *(SourceUnavailable("down"), b"", b"[]", b"{}", b'{"result": {"1": {"error": "x"}}}'),
        *(b'{"result": {"1": []}}', b'{"result": {"1": {"title": "t", "authors": 5}}}'),
        b'{"result": {"1": {"title": "t", "authors": [null]}}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_publication_may_stay_unknown(answer: bytes | RefinebioError) -> None:
    assert geo.publication("1", Answers({"1": answer})) == geo.Publication()


def test_absent_private_and_unfinished_series_are_told_apart() -> None:
    with pytest.raises(AccessionAbsent, match="404"):
        geo.survey("GSE1", Answers({}))
    with pytest.raises(AccessionAbsent, match="Could not find"):
        geo.survey("GSE1", Answers({"GSE1": NOT_FOUND}))
    with pytest.raises(SourceUnavailable, match="family file"):
        geo.survey("GSE1", Answers({"GSE1": b"^SERIES = GSE1\n"}))
    with pytest.raises(SourceUnavailable, match="down"):
        geo.survey("GSE1", Answers({geo.family_url("GSE1"): SourceUnavailable("down")}))
    with pytest.raises(AccessionAbsent, match="no series"):
        geo.survey("GSM1", Answers({"GSM1": b"^SAMPLE = GSM1\n!Sample_series_id = x\n"}))
    with pytest.raises(SourceAnswerInvalid, match="GSE2 for GSE1"):
        geo.survey("GSE1", Answers({geo.family_url("GSE1"): b"^SERIES = GSE2\n"}))
    with pytest.raises(InvalidAccession):
        geo.survey("GPL570", Answers({}))


# --- anything at all ------------------------------------------------------------------

KEYS = [
    *("title", "channel_count", "organism_ch1", "platform_id", "characteristics_ch1", "relation"),
    *("supplementary_file", "data_row_count", "data_processing", "library_strategy", "pubmed_id"),
    *("submission_date", "sample_id", "contact_institute", "summary", "label_ch2"),
]
VALUES = st.text(max_size=30) | st.sampled_from(
    [
        *("NONE", "2", "٢", "Homo sapiens", "GPL570", "age: 12 weeks", ": x", "SRA: SRX1 SRP2"),
        *("GSM1", "Jan 31 2009", "Feb 31 2009", "Jan 1 0000", ARCHIVED + "a.CEL", ARCHIVED + "%00"),
        *("file:///samples/GSM1/..", "BioProject: PRJNA1", "SuperSeries of: GSE2", "²"),
    ]
)
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["^SAMPLE = GSM1", "^SAMPLE = GSM2", "^PLATFORM = GPL570"]),
        st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=8),
    ),
    max_size=4,
)


@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=8), RECORDS)
def test_any_values_make_records_or_a_typed_error(
    series: list[tuple[str, str]], records: list[tuple[str, list[tuple[str, str]]]]
) -> None:
    lines = []
    for head, pairs in [("^SERIES = GSE1", series), *records]:
        lines += [
            head,
            *(f"!{head[1:].split()[0].title()}_{key} = {value}" for key, value in pairs),
        ]
    with suppress(RefinebioError):
        experiment = geo.parse_series("\n".join(lines).encode().split(b"\n"), "")
        for sample in experiment.samples:
            assert valid_accession(sample.sample) == sample.sample
            assert not sample.skip_reason or sample.skip_reason[0] in geo.REASONS
            for file in sample.files:
                assert file.source_url.startswith("https://ftp.ncbi.nlm.nih.gov/")
                assert Path(file.filename).name == file.filename


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", ["GSE29006_family.soft.gz", "GSE14613.soft.gz"])
def test_damaged_real_series_make_records_or_a_typed_error(name: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    lines = gzip.decompress(shared_data(SOFT + name).read_bytes()).split(b"\n")
    for _ in range(chance.randrange(1, 40)):
        place, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(4):
            case 0:
                del lines[place]
            case 1:
                lines[place] = lines[other]
            case 2:
                lines[place] = lines[place][: len(lines[place]) // 2] + lines[other]
            case 3:
                lines[place] += bytes([chance.randrange(256)])
    with suppress(RefinebioError):
        geo.parse_series(lines, "")
