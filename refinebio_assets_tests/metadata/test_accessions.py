"""Names that may become partition keys and folders."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidAccession
from refinebio_assets.metadata.accessions import valid_accession


@pytest.mark.parametrize("name", ["GSE1", "E-MTAB-1147", "SRR000001", "lab_7.b", "7", "a" * 100])
def test_usual_names_are_valid(name: str) -> None:
    assert valid_accession(f" {name}\n") == name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "a..b", "../x", "a/b", "a\\b", "-a", "_a", "a b", "a\0", "é", "a" * 101],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidAccession, match="sample"):
        valid_accession(name, what="sample")


@given(st.one_of(st.text(), st.text(alphabet="aZ09._-/\\ \n\0")))
def test_a_valid_name_is_one_path_component(name: str) -> None:
    try:
        accession = valid_accession(name)
    except InvalidAccession:
        return
    path = PurePosixPath("/home", accession)
    assert path.parent == PurePosixPath("/home")
    assert path.name == accession
    assert ".." not in accession
    assert valid_accession(accession) == accession
