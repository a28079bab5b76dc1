"""Reference catalogues: the two kinds of entry, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidReference
from refinebio_assets.sources.reference_catalogue import Reference, read_reference_catalogue

ENTRY: dict[str, Any] = {
    "taxonomy_id": 9606,
    "database": "EnsemblMain",
    "release": 115,
    "assembly": "GRCh38",
    "genome": "genome.fa.gz",
    "annotation": "https://host/genes.gtf.gz",
}
TRANSCRIPTS = {"transcripts": ["/data/cdna.fa", "s3://b/ncrna.fa"], "gene_map": "map.tsv"}


def without(*keys: str, **further: Any) -> dict[str, Any]:
    return {key: value for key, value in {**ENTRY, **further}.items() if key not in keys}


def write(folder: Path, organisms: Any) -> str:
    path = folder / "reference.yaml"
    path.write_text(yaml.safe_dump({"organisms": organisms}))
    return str(path)


def test_a_genome_with_its_annotation(tmp_path: Path) -> None:
    [found] = read_reference_catalogue(write(tmp_path, {"Homo sapiens": ENTRY})).organisms
    assert found == Reference(
        organism="HOMO_SAPIENS",
        taxonomy_id=9606,
        database="EnsemblMain",
        release="115",
        assembly="GRCh38",
        genome=(f"{tmp_path}/genome.fa.gz",),
        annotation=("https://host/genes.gtf.gz",),
    )
    assert found.from_genome


def test_ready_transcripts(tmp_path: Path) -> None:
    entry = without("genome", "annotation", "taxonomy_id", **TRANSCRIPTS)
    [found] = read_reference_catalogue(write(tmp_path, {"MUS_MUSCULUS": entry})).organisms
    assert found.transcripts == ("/data/cdna.fa", "s3://b/ncrna.fa")
    assert found.gene_map == (f"{tmp_path}/map.tsv",)
    assert found.taxonomy_id is None
    assert not found.from_genome


def test_a_catalogue_in_an_object_store() -> None:
    with fsspec.open("memory://lab/reference.yaml", "w") as file:
        file.write(yaml.safe_dump({"organisms": {"Homo sapiens": ENTRY}}))
    [found] = read_reference_catalogue("memory://lab/reference.yaml").organisms
    assert found.genome == ("memory://lab/genome.fa.gz",)


@pytest.mark.parametrize(
    ("organisms", "message"),
    [
        (None, "'organisms' is not a mapping"),
        (["Homo sapiens"], "'organisms' is not a mapping"),
        ({"Homo sapiens": "GRCh38"}, "is not a mapping"),
        ({"Homo sapiens": without("release", "assembly")}, "lacks release, assembly"),
        ({"Homo sapiens": without("annotation")}, "needs either genome and annotation, or"),
        ({"Homo sapiens": {**ENTRY, **TRANSCRIPTS}}, "needs either"),
        ({"Homo sapiens": {**ENTRY, "genome": ["a", "b"]}}, "one genome and one annotation"),
        ({"Homo sapiens": {**ENTRY, "fasta": "x", 7: "y"}}, "unknown key 'fasta'"),
        ({"Homo sapiens": {**ENTRY, "release": "../115"}}, "not a valid release name"),
        ({"Homo sapiens": {**ENTRY, "taxonomy_id": "human"}}, "human"),
        ({"human": ENTRY}, "not a scientific name"),
        ({9606: ENTRY}, "not a scientific name"),
        ({"Homo sapiens": ENTRY, "HOMO_SAPIENS": ENTRY}, "HOMO_SAPIENS twice"),
    ],
)
def test_a_faulty_entry_says_what_is_wrong(tmp_path: Path, organisms: Any, message: str) -> None:
    with pytest.raises(InvalidReference, match=message):
        read_reference_catalogue(write(tmp_path, organisms))


@pytest.mark.parametrize("text", ["", "organisms", "a: [", "!!python/object:os.system {}", "\0"])
def test_what_is_no_catalogue(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reference.yaml"
    path.write_text(text)
    with pytest.raises(InvalidReference, match=r"reference\.yaml"):
        read_reference_catalogue(str(path))


def test_a_missing_catalogue(tmp_path: Path) -> None:
    with pytest.raises(InvalidReference, match="cannot be read"):
        read_reference_catalogue(str(tmp_path / "no.yaml"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
ENTRIES = st.one_of(VALUES, st.fixed_dictionaries({}, optional=dict.fromkeys(ENTRY, VALUES))).map(
    lambda entry: {**ENTRY, **entry} if isinstance(entry, dict) else entry
)


NAMES = st.sampled_from(["Homo sapiens", "../x y"]) | st.text() | st.integers() | st.none()
CATALOGUES = st.dictionaries(NAMES, ENTRIES, max_size=2).map(
    lambda organisms: yaml.safe_dump({"organisms": organisms}).encode()
)


@settings(deadline=None)
@given(content=st.text().map(str.encode) | st.binary() | CATALOGUES)
def test_any_content_gives_references_or_one_kind_of_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "reference.yaml"
    path.write_bytes(content)
    try:
        found = read_reference_catalogue(str(path))
    except InvalidReference:
        return
    names = [each.organism + each.release for each in found.organisms]
    assert all("/" not in each for each in names)
