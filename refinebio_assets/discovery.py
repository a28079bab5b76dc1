"""What a discovery tick decides: which accessions are new, and where to go on next time.

The cursor remembers the last day fully seen and what was seen in the days that the next
window overlaps, so nothing is skipped and nothing is asked for twice. Not here: asking the
sources, and Dagster.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta


@dataclass(frozen=True)
class Filter:
    """What to look for at one source, and how much of it to take; read from settings.yaml.

    `per_day` is the reference system's quota. An empty `organisms` means all of them.
    """

    organisms: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    since: date | None = None
    overlap_days: int = 7
    per_tick: int = 200
    per_day: int = 10


@dataclass(frozen=True)
class Cursor:
    """Where a source has been read to. `seen`: accession -> day it was taken."""

    day: date | None = None
    seen: Mapping[str, date] = field(default_factory=dict)
    taken_on: date | None = None
    taken: int = 0

    @classmethod
    def from_text(cls, text: str | None) -> Cursor:
        """The inverse of `to_text`; a first tick has no text."""
        if not text:
            return cls()
        stored = json.loads(text)
        return cls(
            day=_date(stored["day"]),
            seen={name: date.fromisoformat(day) for name, day in stored["seen"].items()},
            taken_on=_date(stored["taken_on"]),
            taken=stored["taken"],
        )

    def to_text(self) -> str:
        """As a sensor keeps it."""
        return json.dumps(asdict(self), default=str, sort_keys=True)


@dataclass(frozen=True)
class Decision:
    """New accessions to register, known ones to survey again, and the cursor to keep."""

    new: list[str]
    changed: list[str]
    left: int
    cursor: Cursor


def window(cursor: Cursor, chosen: Filter, today: date) -> tuple[date, date]:
    """The days to ask for, both included."""
    overlap = timedelta(days=chosen.overlap_days)
    start = cursor.day - overlap if cursor.day else chosen.since or today - overlap
    return start, today


def decide(
    cursor: Cursor, found: Sequence[str], known: Collection[str], chosen: Filter, today: date
) -> Decision:
    """What to take of what was found, within the quota; the rest waits for the next tick.

    Parameters
    ----------
    found
        Accessions of the window, in the order in which they are to be taken.
    known
        Accessions that are registered already.
    """
    used = cursor.taken if cursor.taken_on == today else 0
    fresh = [name for name in dict.fromkeys(found) if name not in cursor.seen]
    taken = fresh[: max(min(chosen.per_tick, chosen.per_day - used), 0)]
    all_taken = len(taken) == len(fresh)
    day = today if all_taken else cursor.day or chosen.since
    seen = {**cursor.seen, **dict.fromkeys(taken, today)}
    if day is not None:
        oldest = day - timedelta(days=chosen.overlap_days + 1)
        seen = {name: when for name, when in seen.items() if when >= oldest}
    return Decision(
        new=[name for name in taken if name not in known],
        changed=[name for name in taken if name in known],
        left=len(fresh) - len(taken),
        cursor=replace(cursor, day=day, seen=seen, taken_on=today, taken=used + len(taken)),
    )


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
