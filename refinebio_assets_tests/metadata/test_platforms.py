"""Platforms: the lists are whole, and every accession leads where it should."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.metadata.organisms import organism_name
from refinebio_assets.metadata.platforms import (
    Platform,
    array_of_chip,
    arrays,
    chip_key,
    find_array,
    find_sequencer,
    is_supported,
    manufacturer_of,
    platform_of_gpl,
    pretty_name,
    sequencers,
)
from refinebio_assets.sources import records
from refinebio_assets_tests.conftest import shared_data

LISTED = [(array.internal, name) for array in arrays() for name in array.external]
LISTED_TWICE = {
    "GPL15396": ("hgu133b", "hthgu133b"),
    "GPL9197": ("hgu133b", "hthgu133b"),
    "GPL3240": ("htrat230pm", "rae230a"),
}


def _internal(accession: str, *, first: bool = False) -> str | None:
    array = find_array(accession, first=first)
    return array.internal if array else None


# --- the lists ----------------------------------------------------------------------------


def test_counts_of_the_list_of_arrays() -> None:
    assert len(LISTED) == 732
    assert len(arrays()) == 140
    assert len({array.internal.lower() for array in arrays()}) == 140
    brainarray = [array for array in arrays() if array.is_brainarray]
    assert len(brainarray) == 89
    assert sum(len(array.external) for array in brainarray) == 536
    forms = Counter(re.sub(r"-?[0-9]+$", "", name) for _, name in LISTED)
    assert forms == {"GPL": 642, "A-AFFY": 68, "A-MEXP": 20, "A-GEOD": 1, "A-MTAB": 1}
    assert sum(array.name is not None for array in arrays()) == 124


def test_order_of_the_list_is_kept() -> None:
    assert arrays()[0].internal == "bovgene10st"
    assert arrays()[-1].internal == "huex10st"
    assert arrays()[0].external == ("GPL16500", "GPL21176", "GPL21098")


def test_manufacturers_and_organisms_of_the_list() -> None:
    made = Counter(array.manufacturer for array in arrays())
    assert made == {"AFFYMETRIX": 125, "ILLUMINA": 15}
    assert {array.manufacturer for array in arrays() if array.name} == {"AFFYMETRIX"}
    for array in arrays():
        assert array.organism is None or array.organism == organism_name(array.organism)
        for text in (array.internal, array.name, *array.external):
            assert text is None or text == text.strip() != ""
    unnamed = {array.internal for array in arrays() if array.organism is None}
    assert unnamed == {
        *("citrus", "cotton", "medgene10st", "plasmodiumanopheles", "poplar", "sugarcane")
    }


def test_only_three_accessions_are_listed_twice() -> None:
    counted = Counter(name for _, name in LISTED)
    assert {name for name, times in counted.items() if times > 1} == set(LISTED_TWICE)


def test_sequencers() -> None:
    assert len(sequencers()) == len(set(sequencers())) == 23


# --- arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize(("accession", "both"), list(LISTED_TWICE.items()))
def test_the_last_or_the_first_row_wins(accession: str, both: tuple[str, str]) -> None:
    assert _internal(accession) == both[1]
    assert _internal(accession, first=True) == both[0]


def test_every_accession_leads_to_its_array_in_both_forms_and_any_case() -> None:
    for internal, name in LISTED:
        expected = LISTED_TWICE.get(name, (internal, internal))
        other = name.replace("GPL", "A-GEOD-") if "GPL" in name else name.replace("A-GEOD-", "GPL")
        for form in (name, other, name.lower(), f" {other.lower()} "):
            assert _internal(form) == expected[1]
            assert _internal(form, first=True) == expected[0]


def test_every_internal_name_leads_to_itself() -> None:
    for array in arrays():
        assert find_array(array.internal) is find_array(array.internal.upper()) is array


@pytest.mark.parametrize(
    ("name", "internal"),
    [
        ("hugene10stv1", "hugene10st"),
        ("HuGene10STv2", "hugene10st"),
        ("HuEx-1_0-st", "huex10st"),
        ("huex-1_0-stv2", "huex10st"),
        ("huex10st", "huex10st"),
        ("hgu95av2", "hgu95av2"),
        ("GPL22844", "clariomdhuman"),
        ("GPL5175", "huex10st"),
        ("hugene10stv12", None),
        ("GPL", None),
        ("A-GEOD-", None),
        ("A-GEOD-0570", None),
        ("GPL5700000", None),
        ("UNKNOWN", None),
        ("", None),
    ],
)
def test_names_of_arrays(name: str, internal: str | None) -> None:
    assert _internal(name) == internal


@given(st.text())
def test_any_text_may_be_looked_up(text: str) -> None:
    find_array(text)
    find_sequencer(text)
    is_supported(text)
    assert platform_of_gpl(text, text).platform


# --- chips, as CEL files name them --------------------------------------------------------


@pytest.mark.parametrize(
    ("chip_type", "internal", "strict"),
    [
        ("HG_U95Av2", "hgu95av2", "hgu95a"),
        ("HG_U95A", "hgu95a", "hgu95a"),
        ("MG_U74Av2", "mgu74av2", "mgu74a"),
        ("MG_U74Bv2", "mgu74bv2", None),
        ("U133AAofAv2", "u133aaofav2", None),
        ("RG_U34A", "rgu34a", "rgu34a"),
        ("Mouse430_2", "mouse4302", "mouse4302"),
        ("HG-U133_Plus_2", "hgu133plus2", "hgu133plus2"),
        ("HT_HG-U133_Plus_PM", "hthgu133pluspm", "hthgu133pluspm"),
        ("HuGene-1_0-st-v1", "hugene10st", "hugene10st"),
        ("HuGene-2_0-st", "hugene20st", "hugene20st"),
        ("HuEx-1_0-st-v2", "huex10st", "huex10st"),
        ("HuEx-1_0-st-v1", "huex10st", "huex10st"),
        ("HTA-2_0", "hta20", "hta20"),
        ("Clariom_S_Human_HT", "clariomshumanht", "clariomshumanht"),
        ("ATH1-121501", "ath1121501", "ath1121501"),
        (" hugene 1.0 ST v1 ", "hugene10st", "hugene10st"),
        ("HuGene-1_0-st-v3", None, None),
        ("HuGene-1_0-v1", None, None),
        ("HG_U133Av2v2", None, "hgu133a"),
        ("HG_U133Av12", None, "hgu133a2"),
        ("PrimeView_SpikeIns", "primeview_spikeins", "primeview_spikeins"),
        ("Test3", None, None),
        ("GPL570", None, None),
        ("Illumina_HumanRef-8_v2.0", None, None),
        ("", None, None),
    ],
)
def test_chips(chip_type: str, internal: str | None, strict: str | None) -> None:
    found, as_refinebio = array_of_chip(chip_type), array_of_chip(chip_type, strict=True)
    assert (found.internal if found else None) == internal
    assert (as_refinebio.internal if as_refinebio else None) == strict


def test_every_array_is_the_array_of_its_own_name() -> None:
    for array in arrays():
        expected = array if array.manufacturer == "AFFYMETRIX" else None
        assert array_of_chip(array.internal.upper()) is expected
        if array.internal.endswith("st"):
            assert array_of_chip(f"{array.internal}-v1") is array


@pytest.mark.parametrize(
    ("chip_type", "key"),
    [
        ("HG_U95Av2", "hgu95av2"),
        ("HuEx-1_0-st-v2", "huex10st"),
        ("MoEx-1_0-st-v1", "moex10st"),
        ("HG-Focus", "hgfocus"),
        ("Test3", "test3"),
        ("../../etc", "etc"),
        ("---", ""),
    ],
)
def test_keys_of_chips(chip_type: str, key: str) -> None:
    assert chip_key(chip_type) == key


@given(st.text())
def test_keys_may_name_folders(chip_type: str) -> None:
    assert re.fullmatch("[a-z0-9_]*", chip_key(chip_type))
    found = array_of_chip(chip_type)
    assert found is None or chip_key(chip_type) == found.internal


# --- sequencers ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", sequencers())
def test_titles_of_geo_carry_the_organism(name: str) -> None:
    assert find_sequencer(f"{name.lower()} (Glycine max)") == name


def test_the_longest_name_wins() -> None:
    assert find_sequencer("Illumina Genome Analyzer IIx (Mus musculus)") == (
        "Illumina Genome Analyzer IIx"
    )
    assert find_sequencer("Ion Torrent S5 XL (Homo sapiens)") == "Ion Torrent S5 XL"
    assert find_sequencer("PacBio RS II (Homo sapiens)") is None


@pytest.mark.parametrize(
    ("platform", "supported"),
    [
        ("IlluminaHiSeq2000", True),
        ("illumina hiseq 2000", True),
        ("NextSeq500", True),
        ("IonTorrentS5XL", True),
        ("GPL570", True),
        ("a-geod-570", True),
        ("HGU133PLUS2", True),
        ("hugene10stv1", True),
        ("A-MEXP-1171", True),
        ("illumina_humanht-12_v4.0", True),
        ("GPL6480", False),
        ("PacBioRSII", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_support(platform: str, supported: bool) -> None:
    assert is_supported(platform) is supported


def test_everything_listed_is_supported() -> None:
    assert all(is_supported(name) for pair in LISTED for name in pair)
    assert all(is_supported(name) and is_supported(name.replace(" ", "")) for name in sequencers())


# --- platforms of GEO ---------------------------------------------------------------------


def test_without_a_platform_a_cel_file_may_tell() -> None:
    unknown = Platform("UNKNOWN", "UNKNOWN", records.MICROARRAY, "UNKNOWN")
    assert platform_of_gpl(None, None) == platform_of_gpl("", "a title") == unknown


def test_an_affymetrix_array_has_its_own_name() -> None:
    assert platform_of_gpl("GPL96", "whatever GEO says") == Platform(
        "hgu133a",
        "[HG-U133A] Affymetrix Human Genome U133A Array",
        records.MICROARRAY,
        "AFFYMETRIX",
    )


def test_human_exon_arrays_are_one_platform() -> None:
    found = platform_of_gpl("GPL5175", "[HuEx-1_0-st] transcript (gene) version")
    assert (found.platform, found.manufacturer) == ("huex10st", "AFFYMETRIX")
    assert found.platform_name.startswith("[HuEx-1_0-st] Affymetrix")


@pytest.mark.parametrize(
    ("gpl", "title", "platform", "manufacturer"),
    [
        ("GPL6255", "Illumina humanRef-8 v2.0", "Illumina_HumanRef-8_v2.0", "ILLUMINA"),
        ("GPL6947", "a beadchip", "Illumina_HumanHT-12_V3.0", "ILLUMINA"),
        (
            "GPL24242",
            "[Clariom_S_Mouse_HT] Affymetrix Clariom S",
            "clariomsmouseht",
            "AFFYMETRIX",
        ),
        ("GPL24242", "Clariom S", "clariomsmouseht", "UNKNOWN"),
        ("GPL24242", "[Affymetrix] Clariom S", "clariomsmouseht", "UNKNOWN"),
    ],
)
def test_other_arrays_are_named_by_geo(
    gpl: str, title: str, platform: str, manufacturer: str
) -> None:
    expected = Platform(platform, title, records.MICROARRAY, manufacturer)
    assert platform_of_gpl(gpl, title) == expected


@pytest.mark.parametrize(
    ("title", "name", "manufacturer"),
    [
        ("Illumina HiSeq 2000 (Homo sapiens)", "Illumina HiSeq 2000", "ILLUMINA"),
        ("Illumina NextSeq 500 (Mus musculus)", "NextSeq 500", "NEXTSEQ"),
        ("Ion Torrent Proton (Homo sapiens)", "Ion Torrent Proton", "ION_TORRENT"),
        ("HiSeq X Ten (Homo sapiens)", "HiSeq X Ten", "UNKNOWN"),
    ],
)
def test_sequencers_of_geo(title: str, name: str, manufacturer: str) -> None:
    assert platform_of_gpl("GPL99999999", title) == Platform(
        name, name, records.RNA_SEQ, manufacturer
    )


def test_unsupported_platforms_are_named_as_geo_names_them() -> None:
    title = "Agilent-014850 Whole Human Genome Microarray 4x44K G4112F"
    assert platform_of_gpl("GPL6480", title) == Platform("GPL6480", title, "UNKNOWN", "UNKNOWN")
    assert platform_of_gpl("GPL6480", None).platform_name == "GPL6480"


def test_manufacturers_by_name() -> None:
    assert manufacturer_of("Agilent-Illumina", records.MICROARRAY) == "AGILENT"
    assert manufacturer_of("nextseq 500", records.MICROARRAY) == "ILLUMINA"
    assert manufacturer_of("nextseq 500", records.RNA_SEQ) == "NEXTSEQ"
    assert manufacturer_of("Agilent", "UNKNOWN") == "UNKNOWN"


def test_pretty_names() -> None:
    assert pretty_name("[HG-U133A] Affymetrix U133A", "hgu133a") == "Affymetrix U133A (hgu133a)"
    assert pretty_name("Illumina HiSeq 2000", "X") == "Illumina HiSeq 2000 (X)"


# --- real records -------------------------------------------------------------------------


def _platforms(path: Path) -> dict[str, Platform]:
    title = ""
    found = {}
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            key, _, value = line.rstrip("\n").partition(" = ")
            if key == "!Platform_title":
                title = value
            elif key == "!Platform_geo_accession":
                found[value] = platform_of_gpl(value, title)
    return found


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("GSE14618.soft.gz", {"GPL96": "hgu133a", "GPL570": "hgu133plus2"}),
        ("GSE1623_family.soft.txt.gz", {"GPL81": "mgu74av2"}),
        (
            "GSE3791_family.soft.gz",
            {"GPL96": "hgu133a", "GPL97": "hgu133b", "GPL339": "moe430a", "GPL340": "moe430b"},
        ),
        ("GSE26927.soft.gz", {"GPL6255": "Illumina_HumanRef-8_v2.0"}),
        ("GSE8294_family.soft.gz", {"GPL4134": "GPL4134"}),
        ("GPL890_family.soft.gz", {"GPL890": "GPL890"}),
    ],
)
def test_real_geo_arrays(file: str, expected: dict[str, str]) -> None:
    found = _platforms(shared_data(f"geo/soft/{file}"))
    assert {gpl: platform.platform for gpl, platform in found.items()} == expected


def test_a_real_geo_sequencer() -> None:
    found = _platforms(shared_data("geo/soft/GSE29006_family.soft.gz"))
    assert found["GPL10999"] == Platform(
        "Illumina Genome Analyzer IIx",
        "Illumina Genome Analyzer IIx",
        records.RNA_SEQ,
        "ILLUMINA",
    )
