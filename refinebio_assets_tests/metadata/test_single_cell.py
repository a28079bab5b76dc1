"""What records say of single cells: real ones, sentences as submitters write, anything at all."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.metadata.platforms import MICROARRAY, RNA_SEQ
from refinebio_assets.metadata.single_cell import SILENT, evidence_in, text_evidence
from refinebio_assets.rnaseq.single_cell import Profile, single_cell_probability
from refinebio_assets.sources.geo import parse_series
from refinebio_assets.sources.records import Attribute, Experiment, Sample
from refinebio_assets.sources.sra import Study, describe
from refinebio_assets.sources.sra_xml import SraRecords, read_sra_xml
from refinebio_assets_tests.conftest import shared_data

SINGLE_CELL_STUDIES = ("GSE184506", "GSE217511", "GSE261494", "GSE287769")
LIKE_BULK = Profile(60_000, 25_000, 2e7, 0.2, 0.3)
LIKE_A_CELL = Profile(60_000, 3_600, 1e6, 0.45, 0.55)


# --- real records -----------------------------------------------------------------------


def studies(records: SraRecords) -> Iterator[Experiment]:
    runs = defaultdict(list)
    for run in records.runs:
        runs[run["secondary_study_accession"]].append(run)
    for name, found in runs.items():
        yield describe(Study(name, tuple(found), dict(records.studies.get(name, {}))))


def single_cell_records() -> list[Experiment]:
    documents = [shared_data(f"metadata/sra_xml/{name}.xml.gz") for name in SINGLE_CELL_STUDIES]
    return [
        each
        for path in documents
        for each in studies(read_sra_xml(gzip.decompress(path.read_bytes())))
    ]


def bulk_records() -> list[Experiment]:
    """Ribosome profiling and RNA-seq of worms, zebrafish, man: none is of single cells."""
    worms = shared_data("metadata/sra_xml/pysradb_sra_test.xml.gz")
    browser = shared_data("http/www.ebi.ac.uk").glob("ena_browser_api_xml_[SD]R[PRXS]*")
    series = shared_data("geo/soft/GSE29006_family.soft.gz")
    return [
        *studies(read_sra_xml(gzip.decompress(worms.read_bytes()))),
        *studies(read_sra_xml(*(path.read_bytes() for path in sorted(browser)))),
        parse_series(gzip.decompress(series.read_bytes()).split(b"\n"), "0" * 64),
    ]


def as_before_the_word(experiment: Experiment) -> Experiment:
    """With the library source that single cells had before archives had one for them."""
    samples = tuple(
        replace(
            sample,
            attributes=tuple(
                Attribute(each.key, "TRANSCRIPTOMIC") if each.key == "library_source" else each
                for each in sample.attributes
            ),
        )
        for sample in experiment.samples
    )
    return replace(experiment, samples=samples)


def chances(experiments: list[Experiment], profile: Profile | None = None) -> list[float]:
    return [
        single_cell_probability(text_evidence(each, sample).log_odds, profile)
        for each in experiments
        for sample in each.samples
    ]


@pytest.mark.parametrize("profile", [None, LIKE_BULK], ids=["unread", "pooled"])
def test_real_single_cells_are_told_by_their_words(profile: Profile | None) -> None:
    found = chances([as_before_the_word(each) for each in single_cell_records()], profile)
    assert len(found) == 148
    assert min(found) > 0.9


def test_the_library_source_is_enough() -> None:
    """Also where nothing else is said; GSE184506 calls its nuclei TRANSCRIPTOMIC."""
    found = {
        text_evidence(each, replace(sample, protocol_info=None)).log_odds
        for each in single_cell_records()[1:]
        for sample in each.samples
    }
    assert found == {8.0}


def test_single_cells_are_told_by_their_study_alone() -> None:
    for each in single_cell_records():
        shared = [each.title or "", each.description or ""]
        assert single_cell_probability(evidence_in({"experiment": shared}).log_odds) > 0.5


def test_real_bulk_is_not_taken_for_single_cells() -> None:
    experiments = bulk_records()
    found = chances(experiments)
    assert len(found) == 130
    assert max(found) < 0.2
    assert max(chances(experiments, LIKE_BULK)) < 0.05


def test_a_kit_for_single_cells_used_on_pools_is_bulk() -> None:
    """SRP111553: 0.2 ng of RNA of sorted cells, by the Ovation Single Cell RNA-Seq System."""
    [study] = [each for each in bulk_records() if each.experiment == "SRP111553"]
    assert "Single Cell" in (study.samples[0].protocol_info or "")
    assert {text_evidence(study, each).log_odds for each in study.samples} == {-2.0}


# --- sentences --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Libraries were prepared with the 10x Genomics Chromium Single Cell 3' v3 kit",
        "Single-cell 3′ v.2 kit, 10× Genomics",
        "il10_chemistry: 10xv2",
        "Chromium Next GEM",
        "scRNA-seq of the cortex, replicate 2",
        "H27471_heart_sciRNA",
        "single‑nucleus RNA sequencing (snRNA-seq)",
        "Cells were captured by Drop-seq",
        "inDrops protocol",
        "CEL-Seq2 libraries",
        "Fluidigm C1 Single-Cell Auto Prep",
        "Individual cells were sucked into a glass capillary",
        "RNA of one cell per well of a 96-well plate",
        "Single live cells were sorted into plates; libraries by the Smart-seq2 protocol",
        "cell number: 1",
        "processed data file: GSM1_matrix.mtx.gz",
        "Reads were counted by Cell Ranger",
        "5,000 single-cell transcriptomes",
    ],
)
def test_words_for_single_cells(text: str) -> None:
    found = evidence_in({"protocol": [text]})
    assert single_cell_probability(found.log_odds) > 0.5
    assert found.signs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Liver, replicate 2",
        "A single-cell suspension was made, and total RNA extracted with TRIzol",
        "Tumours were dissociated into single cells; CD45+ were sorted; RNeasy Micro",
        "Single-cell clones were expanded for two weeks",
        "This line was derived from a single cell",
        "RNA was extracted from single-cell stage embryos",
        "Chlamydomonas, a single-cell alga",
        "The epidermis is a single cell layer",
        "NEBNext Single Cell/Low Input RNA Library Prep Kit, 2 ng of total RNA",
        "bulk RNA-seq, not single-cell RNA-seq",
        "Whole tissue rather than single-cell sequencing",
        "Signatures were compared with published single-cell RNA-seq data",
        "single-cell ATAC-seq was done on the same mice; here RNA was extracted with QIAzol",
        "Chromium(VI) exposure of 10 µM",
        "Washed with 10X PBS, sequenced to 10x coverage",
        "rRNA, tRNA, snRNA, scRNA and srpRNA were removed",
        "U6 snRNA knockdown",
        "Wells were seeded with 10,000 cells; pools of 100 cells were lysed",
    ],
)
def test_words_that_only_sound_alike(text: str) -> None:
    assert evidence_in({"protocol": [text]}).log_odds <= 0
    assert single_cell_probability(evidence_in({"label": [text]}).log_odds) < 0.2


def test_of_a_study_of_both_kinds_the_label_decides() -> None:
    shared = ["Bulk and single-cell RNA-seq of the retina"]
    protocol = [
        "For bulk RNA-seq, total RNA was extracted with TRIzol. For scRNA-seq, cells were loaded "
        "on a 10x Genomics Chromium controller."
    ]

    def said(title: str) -> float:
        found = evidence_in({"label": [title], "protocol": protocol, "experiment": shared})
        return single_cell_probability(found.log_odds, LIKE_BULK)

    assert said("retina_scRNAseq_1") > 0.5
    assert said("retina_bulk_1") < 0.01
    assert said("retina_1") < 0.5


def test_droplets_hold_many_cells() -> None:
    text = "Loaded on a Chromium Controller, aiming for 8,000 cells per sample"
    assert evidence_in({"protocol": [text]}).log_odds == 6
    assert evidence_in({"protocol": ["RNA from 8,000 cells per sample"]}).log_odds < 0


def test_what_was_found_is_told() -> None:
    found = evidence_in({"label": ["title: bulk liver"], "experiment": ["scRNA-seq atlas"]})
    assert found.signs == ("bulk: bulk (label)",)
    found = evidence_in({"protocol": ["10x Genomics; TRIzol"]}, library_source="transcriptomic")
    assert found.signs == (
        "single-cell method: 10x genomics (protocol)",
        "extracted RNA: trizol (protocol)",
    )


def test_names_of_people_and_arrays_say_nothing() -> None:
    sample = Sample(
        sample="S1",
        organism="HOMO_SAPIENS",
        technology=RNA_SEQ,
        source_database="GEO",
        attributes=(Attribute("contact_laboratory", "Single-Cell Genomics Core"),),
    )
    experiment = Experiment("E1", "GEO", (sample,), "0" * 64)
    assert text_evidence(experiment, sample) == SILENT
    array = replace(sample, technology=MICROARRAY, title="scRNA-seq")
    assert text_evidence(experiment, array) == SILENT


# --- anything at all --------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *("single", "cell", "cells", "nuclei", "bulk", "rna", "seq", "10x", "genomics", "scrna"),
        *("not", "rather", "than", "of", "a", "from", "total", "extracted", "well:", "pooled"),
        *("1", "100", "suspension", "clone", "per", "-", "_", ";", "chromium"),
    ]
)
TEXTS = st.lists(st.text(max_size=60) | st.lists(WORDS, max_size=12).map(" ".join), max_size=3)


@settings(deadline=None)
@given(
    st.fixed_dictionaries({}, optional={"label": TEXTS, "protocol": TEXTS, "experiment": TEXTS}),
    st.text(max_size=40),
    st.sampled_from([None, LIKE_BULK, LIKE_A_CELL]),
)
def test_any_text_has_a_probability(
    texts: dict[str, list[str]], source: str, profile: Profile | None
) -> None:
    found = evidence_in(texts, library_source=source)  # type: ignore[arg-type]
    assert -8 <= found.log_odds <= 8
    assert 0 < single_cell_probability(found.log_odds, profile) < 1
    assert found == evidence_in(texts, library_source=source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "single cell " * 50_000,
        "not a " * 50_000,
        "rna " * 50_000,
        "published " * 50_000,
        "1," * 99_999,
    ],
)
def test_long_texts_are_cut(text: str) -> None:
    """A pattern that tried every way would not come back from these."""
    assert evidence_in({"protocol": [text]}).log_odds in (0, 2)
