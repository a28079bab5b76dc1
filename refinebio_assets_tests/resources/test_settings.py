"""settings.yaml: every key is optional, and a wrong one is named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from refinebio_assets.discovery import Filter
from refinebio_assets.dispatch import Limits
from refinebio_assets.errors import InvalidSettings
from refinebio_assets.resources.settings import read_filter, read_keep_documents, read_limits
from refinebio_assets.resources.storage import Storage


def written(home: Path, text: str) -> Storage:
    (home / "settings.yaml").write_text(text)
    return Storage(home=str(home))


@pytest.mark.parametrize("text", [None, "", "geo:\ndispatch: {}\n"])
def test_nothing_need_be_said(tmp_path: Path, text: str | None) -> None:
    storage = Storage(home=str(tmp_path)) if text is None else written(tmp_path, text)
    assert read_filter(storage, "geo") == Filter()
    assert read_limits(storage) == Limits()
    assert read_keep_documents(storage) is True


def test_what_is_said_is_taken(tmp_path: Path) -> None:
    storage = written(
        tmp_path,
        "arrayexpress: {organisms: [Homo sapiens], since: 2026-11-01, per_day: 3}\n"
        "dispatch: {runs_per_day: 7}\nkeep_documents: false\n",
    )
    expected = Filter(organisms=("Homo sapiens",), since=date(2026, 11, 1), per_day=3)
    assert read_filter(storage, "arrayexpress") == expected
    assert read_filter(storage, "geo") == Filter()
    assert read_limits(storage) == Limits(runs_per_day=7)
    assert read_keep_documents(storage) is False


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("keep_documents: sometimes\n", "keep_documents must be true or false"),
        ("keep_documents: 1\n", "keep_documents must be true or false"),
        ("keep_document: true\n", "must be a mapping of geo, .*, keep_documents"),
        ("[geo]\n", "must be a mapping"),
        ("geo: {", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidSettings, match=named):
        read_keep_documents(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("geo: [1]\n", "geo must be a mapping"),
        ("geo: {organism: x}\n", "geo: unknown key 'organism'"),
        ("geo: {organisms: x}\n", "organisms must be a list"),
        ("geo: {per_day: -1}\n", "per_day must be a whole number"),
        ("geo: {since: soon}\n", "since must be a date"),
    ],
)
def test_a_wrong_filter(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidSettings, match=named):
        read_filter(written(tmp_path, text), "geo")
