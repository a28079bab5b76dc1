"""NCBI is told who asks; nobody else is told the key."""

from __future__ import annotations

import pytest

from refinebio_assets.resources.identity import EUTILS, hidden, ncbi_identity, without_key


def test_the_ncbi_key(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"https://{EUTILS}/entrez/eutils/esearch.fcgi?db=gds"
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    assert ncbi_identity(url, "lab@example.org") == {
        "tool": "refinebio_assets",
        "email": "lab@example.org",
    }
    monkeypatch.setenv("NCBI_API_KEY", "se cret")
    assert ncbi_identity(url, "")["api_key"] == "se cret"
    assert "api_key" not in ncbi_identity(url + "&api_key=mine", "")
    for form in ("se cret", "se%20cret", "se+cret"):
        assert hidden(f"?api_key={form}&x") == "?api_key=…&x"


def test_a_redirect_does_not_carry_the_key_on() -> None:
    assert without_key("https://a.org/x?api_key=mine&db=gds") == "https://a.org/x?db=gds"
    assert without_key("https://a.org/x") == "https://a.org/x"
