"""What a service says about when to come again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.resources.answers import retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("0.25", 0.25), ("-3", 0.0), ("900", 60.0), ("nan", None), ("soon", None)],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header, 60) == seconds


def test_retry_after_a_date() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after(when, 60) == pytest.approx(30, abs=2)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 60) == 0
    assert retry_after(None, 60) is None


@given(st.text())
def test_any_retry_after(header: str) -> None:
    wait = retry_after(header, 60)
    assert wait is None or 0 <= wait <= 60
