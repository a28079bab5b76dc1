"""Tokens and datasets that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from refinebio_assets.api.requests_store import DatasetWish, open_store


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    store = open_store(None, tmp_path / "api" / "store.sqlite")
    token = store.new_token(activated=False)
    store.set_activated(token.id, True)
    wish = store.new_dataset(DatasetWish("", {"Z": ["b", "a"], "A": ["c"]}, scale_by="ROBUST"))
    again = open_store(f"sqlite:///{tmp_path}/api/store.sqlite", tmp_path / "unused")
    found = again.token(token.id)
    assert found is not None
    assert found.is_activated
    kept = again.dataset(wish.id)
    assert kept == wish
    assert list(kept.data) == ["Z", "A"]
    assert again.signing_key() == store.signing_key()
    assert again.token("none") is None
    assert again.dataset("none") is None


def test_of_two_changes_at_once_one_is_refused(tmp_path: Path) -> None:
    store = open_store(None, tmp_path / "store.sqlite")
    wish = store.new_dataset(DatasetWish("", {"A": ["a"]}))
    first = store.change_dataset(replace(wish, made_as="0" * 32))
    assert first is not None
    assert store.change_dataset(replace(wish, scale_by="ROBUST")) is None
    assert store.dataset(wish.id) == first
    assert store.started_as(["0" * 32, "1" * 32]) == {"0" * 32: [wish.id]}
