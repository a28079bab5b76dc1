"""Discovery neither skips nor repeats; batches are contiguous and bounded."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.discovery import Cursor, Filter, decide, window
from refinebio_assets.dispatch import Limits, Work, cut_batches

DAY = date(2026, 11, 1)
NAMES = st.sampled_from([f"GSE{number}" for number in range(1, 40)])


@given(
    published=st.lists(st.tuples(NAMES, st.integers(0, 20)), unique_by=lambda pair: pair[0]),
    late=st.integers(0, 6),
    per_tick=st.integers(1, 5),
    per_day=st.integers(1, 5),
)
def test_everything_is_found_exactly_once(
    published: list[tuple[str, int]], late: int, per_tick: int, per_day: int
) -> None:
    """Records appear up to `late` days after their date; ticks come several times a day."""
    chosen = Filter(since=DAY, overlap_days=7, per_tick=per_tick, per_day=per_day)
    cursor, taken = Cursor(), []
    for number in range(120):
        today = DAY + timedelta(days=number // 2)
        since, until = window(cursor, chosen, today)
        visible = sorted(
            name
            for name, day in published
            if since <= DAY + timedelta(days=day) <= until
            and DAY + timedelta(days=day + late) <= today
        )
        decision = decide(cursor, visible, set(taken), chosen, today)
        assert len(decision.new) <= min(per_tick, per_day)
        assert decision.changed == []
        taken += decision.new
        cursor = Cursor.from_text(decision.cursor.to_text())
    assert sorted(taken) == sorted(name for name, _ in published)


def test_the_cursor_stays_small() -> None:
    chosen = Filter(since=DAY, per_day=1000)
    cursor = Cursor()
    for number in range(60):
        found = [f"GSE{number}"]
        cursor = decide(cursor, found, (), chosen, DAY + timedelta(days=number)).cursor
    assert len(cursor.seen) <= chosen.overlap_days + 2


def test_a_known_accession_is_surveyed_again_once() -> None:
    first = decide(Cursor(), ["GSE1", "GSE2"], {"GSE1"}, Filter(), DAY)
    assert (first.new, first.changed) == (["GSE2"], ["GSE1"])
    again = decide(first.cursor, ["GSE1", "GSE2"], {"GSE1", "GSE2"}, Filter(), DAY)
    assert (again.new, again.changed) == ([], [])


@given(
    order=st.lists(NAMES, unique=True),
    wanted=st.dictionaries(NAMES, st.builds(Work, st.integers(0, 60), st.integers(0, 60))),
)
def test_batches_cover_what_is_wanted_within_bounds(
    order: list[str], wanted: dict[str, Work]
) -> None:
    limits = Limits(experiments_per_run=4, samples_per_run=100, bytes_per_run=100)
    batches = cut_batches(order, wanted, limits)
    assert [key for batch in batches for key in batch] == [key for key in order if key in wanted]
    for batch in batches:
        start = order.index(batch[0])
        assert order[start : start + len(batch)] == batch
        assert len(batch) <= 4
        if len(batch) > 1:
            assert sum(wanted[key].samples for key in batch) <= 100
            assert sum(wanted[key].bytes for key in batch) <= 100
