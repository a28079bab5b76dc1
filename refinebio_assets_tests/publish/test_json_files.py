"""JSON written member by member is what json.dumps writes of the whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.publish.json_files import Elements, Members, write_json

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
documents = st.dictionaries(
    texts,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)


def streamed(value: Any) -> Any:
    """The same, made one at a time."""
    if isinstance(value, dict):
        return Members((key, streamed(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return Elements(streamed(each) for each in value)
    return value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(documents)
def test_it_is_the_text_of_the_whole(tmp_path: Path, document: dict[str, Any]) -> None:
    expected = json.dumps(document, indent=4, sort_keys=True, ensure_ascii=False) + "\n"
    for form in (
        document,
        streamed(document),
        {key: streamed(value) for key, value in document.items()},
    ):
        write_json(tmp_path / "a.json", form)
        assert (tmp_path / "a.json").read_bytes() == expected.encode()


def test_members_are_made_one_at_a_time(tmp_path: Path) -> None:
    alive = most = 0

    class Counted(dict[str, int]):
        def __init__(self) -> None:
            nonlocal alive, most
            super().__init__(a=1)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    write_json(tmp_path / "a.json", {"b": Members((f"{n:04}", Counted()) for n in range(500))})
    assert len(json.loads((tmp_path / "a.json").read_text())["b"]) == 500
    assert most <= 3


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": Elements([math.nan, {"b": (math.inf, 1.5)}])})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, {"b": [None, 1.5]}]}


@pytest.mark.parametrize("keys", ["ba", "aa"])
def test_keys_must_be_sorted_and_unique(tmp_path: Path, keys: str) -> None:
    with pytest.raises(ValueError, match="comes after"):
        write_json(tmp_path / "a.json", Members((key, 1) for key in keys))
