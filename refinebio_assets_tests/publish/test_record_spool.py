"""Records on disk are those that were put there, in any order, and leave nothing behind."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.publish.record_spool import Lazy, RecordSpool
from refinebio_assets.publish.records import Processor, SampleRecord
from refinebio_assets_tests.publish.example import geo_sample, sra_sample

TEXTS = st.text(max_size=8)
RECORDS = st.builds(
    SampleRecord,
    *[TEXTS] * 7,
    st.booleans(),
    harmonised=st.dictionaries(TEXTS, TEXTS | st.floats(allow_nan=False), max_size=3),
    annotations=st.lists(
        st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, max_size=2), max_size=3), max_size=2
    ).map(tuple),
    processor=st.none() | st.builds(Processor, TEXTS, TEXTS),
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records=st.lists(RECORDS, max_size=6), data=st.data())
def test_records_come_back(
    tmp_path: Path, records: list[SampleRecord], data: st.DataObject
) -> None:
    with RecordSpool(tmp_path) as spool:
        for place, each in enumerate(records):
            assert spool.append(each) == place
            asked = data.draw(st.integers(0, place))
            assert spool.read(asked) == records[asked]
        assert list(spool.records()) == records
        assert list(spool.records()[1:3]) == records[1:3]
    assert not list(tmp_path.iterdir())


def test_real_records_come_back(tmp_path: Path) -> None:
    records = [
        geo_sample("GSM1", ("tissue", "fin"), ("title", "a")),
        sra_sample("SRR1", ("batch", "µ")),
        sra_sample("SRR2", age=math.inf),
    ]
    with RecordSpool(tmp_path) as spool:
        for each in records:
            spool.append(each)
        found = spool.records()
        assert list(found) == records
        assert found[-1] == records[-1]
        with pytest.raises(IndexError):
            found[3]


def test_items_are_made_when_they_are_asked_for() -> None:
    made: list[int] = []

    def make(place: int) -> int:
        made.append(place)
        return place * place

    found = Lazy(1_000_000, make)
    assert (len(found), found[1000], found[-1]) == (1_000_000, 1_000_000, 999_999**2)
    assert made == [1000, 999_999]
