"""Scientific names as keys."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import UnsupportedOrganism
from refinebio_assets.metadata.organisms import organism_name


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("Homo sapiens", "HOMO_SAPIENS"),
        ("  homo   sapiens ", "HOMO_SAPIENS"),
        ("MUS_MUSCULUS", "MUS_MUSCULUS"),
        ("Canis lupus familiaris", "CANIS_LUPUS_FAMILIARIS"),
        ("Escherichia coli str. K-12", "ESCHERICHIA_COLI_STR._K-12"),
        ("Oryza sativa (japonica)", "ORYZA_SATIVA_(JAPONICA)"),
    ],
)
def test_names_are_brought_to_one_form(given_name: str, expected: str) -> None:
    assert organism_name(given_name) == expected


@pytest.mark.parametrize(
    "name", ["", "human", "9606", "Homo", "Homo sapiens/..", "H. ..", "Homo " + "s" * 100]
)
def test_what_is_no_binomial_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedOrganism, match="Homo sapiens"):
        organism_name(name)


@given(st.one_of(st.text(), st.text(alphabet="aZ9._-() /\n\0")))
def test_a_name_is_one_path_component_and_stays_as_it_is(name: str) -> None:
    try:
        organism = organism_name(name)
    except UnsupportedOrganism:
        return
    assert PurePosixPath("/home", organism).name == organism
    assert len(organism) <= 100
    assert organism_name(organism) == organism
