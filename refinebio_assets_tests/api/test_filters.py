"""Query parameters: any text is a value or refused; a filter gives what it says."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.api.errors import Refused
from refinebio_assets.api.filters import last_values, order_sql, typed
from refinebio_assets.api.pages import LARGEST_LIMIT, read_page
from refinebio_assets.api.samples import PARAMETERS

MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TYPES = {"text": str, "integer": int, "number": float, "boolean": bool, "time": datetime}


@given(st.text(), st.sampled_from(sorted(TYPES)))
def test_any_text_is_of_the_type_or_refused(text: str, type_: Any) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(typed("name", text, type_), TYPES[type_])


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("1.5", "integer"),
        ("nan", "number"),
        ("yes", "boolean"),
        ("9" * 20, "integer"),
        ("x", "time"),
    ],
)
def test_other_types_are_refused(text: str, type_: Any) -> None:
    with pytest.raises(Refused) as refused:
        typed("name", text, type_)
    assert (refused.value.kind, refused.value.details) == ("invalid", "name")


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read(whole: int, number: float) -> None:
    assert typed("n", str(whole), "integer") == whole
    assert typed("n", repr(number), "number") == number


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=3))))
def test_the_last_value_that_is_not_empty(items: list[tuple[str, str]]) -> None:
    found = last_values(items)
    for name in "abc":
        values = [value for key, value in items if key == name]
        assert found.get(name, "") == (values[-1] if values else "")


@given(st.text(), st.text())
def test_pages_always_make_sense(limit: str, offset: str) -> None:
    page = read_page({"limit": limit, "offset": offset})
    assert 1 <= page.limit <= LARGEST_LIMIT
    assert page.offset >= 0


@given(st.lists(st.sampled_from(["a", "-a", "b", "-b"]), max_size=4))
def test_rows_are_always_told_apart(wanted: list[str]) -> None:
    names = [part.split()[0] for part in order_sql(",".join(wanted), "ab", "-a,id").split(", ")]
    assert sorted(set(names)) == sorted(names)
    assert set(names) >= {"a", "id"}
    with pytest.raises(Refused):
        order_sql("a; DROP TABLE x", "ab", "id")


@given(name=st.sampled_from([each.name for each in PARAMETERS.filters]), text=st.text(max_size=20))
@MANY
def test_no_text_breaks_a_list(client: TestClient, name: str, text: str) -> None:
    answer = client.get("/v1/samples/", params={name: text})
    assert answer.status_code in (200, 400)


@given(
    name=st.sampled_from([each.name for each in PARAMETERS.filters if not each.sql]),
    accession=st.sampled_from(["a1", "b2", "bad", "r1"]),
)
@MANY
def test_a_filter_finds_the_row_it_was_taken_from(
    client: TestClient, name: str, accession: str
) -> None:
    sample = client.get(f"/v1/samples/{accession}/").json()
    if sample[name] in (None, ""):
        return
    found = client.get("/v1/samples/", params={name: sample[name]}).json()["results"]
    assert accession in {each["accession_code"] for each in found}
    assert {each[name] for each in found} == {sample[name]}
