"""Progress lines: what they say, and how seldom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from refinebio_assets.assets.progress import Progress, duration


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_now_and_then_with_the_time_that_is_left() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = Progress(lines.append, "s1", 4_000, "reads", every=10, clock=clock)
    for seconds, done in ((1, 100), (10, 1_000), (15, 1_500), (19.9, 1_900), (20, 2_000)):
        clock.now = 100 + seconds
        progress.update(done)
    assert lines == [
        "s1: 1,000 of 4,000 reads (25 %), 30 s left",
        "s1: 2,000 of 4,000 reads (50 %), 20 s left",
    ]


@pytest.mark.parametrize("total", [None, 0])
def test_without_a_total(total: int | None) -> None:
    lines: list[str] = []
    clock = Clock()
    progress = Progress(lines.append, "file", total, "bytes", every=0, clock=clock)
    clock.now += 3
    progress.update(0)
    progress.update(1_234)
    assert lines == ["file: 1,234 bytes, 3 s so far"]


def test_more_than_expected() -> None:
    lines: list[str] = []
    Progress(lines.append, "s1", 10, "reads", every=0, clock=Clock()).update(12)
    assert lines == ["s1: 12 of 10 reads (100 %), 0 s left"]


def test_several_threads_count_together() -> None:
    lines: list[str] = []
    progress = Progress(lines.append, "LAB-1", 400, "samples", every=0)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(400):
            pool.submit(progress.advance)
    assert len(lines) == 400
    assert {int(line.split()[1]) for line in lines} == set(range(1, 401))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (45 * 60, "45 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
