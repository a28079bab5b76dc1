"""Which columns of a bead table hold the probe ids, the signals and the detection p-values.

Told by the header alone, as refine.bio tells it; where that goes wrong on real tables the
functions say what is done instead. Not here: reading the table (`bead_table.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from refinebio_assets.errors import (
    BeadLevelTable,
    NoDetectionPValues,
    NoExpressionColumn,
    NoProbeIdColumn,
    SampleNotInTable,
    UnpairedPValues,
)
from refinebio_assets.microarray.bead_table import BeadTable

ID_HEADERS: Final = frozenset(
    {"ID_REF", "PROBE_ID", "IDREF", "PROBEID", "REF_ID", "REFID", "IDPROBE", "ID_PROBE"}
)
TARGET_HEADERS: Final = frozenset({"TARGETID", "TARGET_ID"})
P_VALUE: Final = re.compile(r"detection[\W_]?p[\W_]?val", re.IGNORECASE)

_SIGNAL: Final = re.compile(r"(?:\.AVG)?_Signal\Z", re.IGNORECASE)
_AVERAGE_SIGNAL: Final = re.compile(r"[\s._-]*AVG_Signal", re.IGNORECASE)
_NO_EXPRESSION: Final = ("BEAD", "NARRAYS", "ARRAY_STDEV", "MIN_SIGNAL", "MAX_SIGNAL")
_NUMBER: Final = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class BeadSample:
    """What a table's header may call a sample by.

    Attributes
    ----------
    sample
        Its accession.
    title
        Its title, may be empty.
    descriptions
        The first text of each description that it was submitted with.
    geo_columns
        The columns of its own table at GEO.
    """

    sample: str
    title: str
    descriptions: tuple[str, ...] = ()
    geo_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """Positions in the header of a bead table, of ids and of every array.

    Attributes
    ----------
    probe_id
        Position of the probe ids.
    expression, p_values
        Positions of each array's signals and detection p-values, in the order of the table.
    samples
        Whose array it is; None where it belongs to none of the samples that were given.
    problems
        A sample that was given, but has no array of its own here -> why.
    """

    probe_id: int
    expression: tuple[int, ...]
    p_values: tuple[int, ...]
    samples: tuple[str | None, ...]
    problems: Mapping[str, str]

    def array_of(self, sample: str) -> int:
        """Which of the arrays, from 0, is the sample's.

        Raises
        ------
        SampleNotInTable
        """
        if sample not in self.samples:
            raise SampleNotInTable(
                self.problems.get(sample, f"{sample} was not looked for in the table.")
            )
        return self.samples.index(sample)


def find_columns(table: BeadTable, samples: Sequence[BeadSample]) -> Columns:
    """Find the columns of a table, and which sample each array is.

    The ids are under the first name that is not empty, or under the second where the first
    is `TargetID`; where no name of ids stands there, and exactly one empty name comes
    first, they are under that one if they are no numbers.

    A sample goes by its title or, where only that is a column, by a description. A column
    of signals is one that

    1. has the sample's name, or 2. is what follows a `_` at the end of its name,
    3. has the name and `_Signal` or `.AVG_Signal`,
    4. is called `<name>.AVG_Signal` where the sample's table at GEO has
       `<name>.Detection Pval`,
    5. contains the sample's name (of several samples', the longest), and neither tells of
       beads or of standard deviations, nor is a p-value.

    The first of these that any column fulfils counts for the sample, the first that any
    sample fulfils for the column. Other columns with `AVG_Signal` (or `RAW_VALUE` alone)
    are arrays, too. A single array, of a table of a single sample, is that sample's whatever
    it is called. P-values are paired by position, the k-th column with the k-th array.

    Choices where refine.bio fails the whole file: an array of no sample, and a sample
    without an array of its own, do not keep the others from being used; an empty title is
    part of no name; `MIN_Signal` and `MAX_Signal` are no expression; the p-values' name may
    have any one mark, or none, between its words (`Detection_Pval`, `Detection P-value`).

    Parameters
    ----------
    table
        The table.
    samples
        The samples that this file belongs to.

    Raises
    ------
    BeadLevelTable, NoProbeIdColumn, NoDetectionPValues, NoExpressionColumn
        The header says so.
    UnpairedPValues
        There are not as many columns of p-values as arrays, or their names contradict
        the order.
    SampleNotInTable
        Not one of the samples has an array of its own.
    """
    header = table.header
    probe_id = _probe_id_column(table)
    p_values = tuple(place for place, name in enumerate(header) if P_VALUE.search(name))
    if not p_values:
        raise NoDetectionPValues("No column of the table is called 'Detection Pval'.")
    others = [
        place
        for place, name in enumerate(header)
        if name and place > probe_id and not P_VALUE.search(name)
    ]
    claimed, owners, problems = _owners(header, others, samples)
    expression = tuple(place for place in others if place in claimed or _is_signal(header[place]))
    if not expression:
        raise NoExpressionColumn(
            "No column has the title of a sample, or AVG_Signal, in its name; "
            f"the columns are {_listed(header)}."
        )
    _check_pairs(header, expression, p_values)
    if len(expression) == len(samples) == 1 and not owners:
        owners, problems = {expression[0]: samples[0].sample}, {}
    if samples and not owners:
        raise SampleNotInTable(next(iter(problems.values())))
    return Columns(
        probe_id=probe_id,
        expression=expression,
        p_values=p_values,
        samples=tuple(owners.get(place) for place in expression),
        problems=problems,
    )


# --- ids and p-values -----------------------------------------------------------------


def _probe_id_column(table: BeadTable) -> int:
    names = [name.upper() for name in table.header]
    first = next((place for place, name in enumerate(names) if name), len(names))
    place = first + 1 if names[first : first + 1] and names[first] in TARGET_HEADERS else first
    name = names[place] if place < len(names) else ""
    if name in ID_HEADERS:
        return place
    if name == "ILLUMICODE":
        raise BeadLevelTable("The table is of single beads (ILLUMICODE), not of probes.")
    if first == place == 1 and not _NUMBER.fullmatch(table.first_cell(0)):
        return 0
    raise NoProbeIdColumn(
        f"No column of probe ids: {table.header[place] if name else 'nothing'!r} is where "
        f"ID_REF or PROBE_ID should be; the columns are {_listed(table.header)}."
    )


def _check_pairs(header: Sequence[str], expression: Sequence[int], p_values: Sequence[int]) -> None:
    """Raises UnpairedPValues where the k-th columns of both cannot be one array's."""
    if len(expression) != len(p_values):
        raise UnpairedPValues(
            f"{len(p_values)} columns of detection p-values cannot be paired with "
            f"{len(expression)} of signals ({_listed([header[place] for place in expression])})."
        )
    arrays = [_AVERAGE_SIGNAL.sub("", header[place]).casefold() for place in expression]
    for array, signals, p in zip(arrays, expression, p_values, strict=True):
        stem = P_VALUE.split(header[p])[0].rstrip(" ._-").casefold()
        if stem and stem != array and stem in arrays:
            raise UnpairedPValues(
                f"The p-values {header[p]!r} stand where those of {header[signals]!r} should."
            )


# --- arrays and samples ---------------------------------------------------------------


def _is_signal(name: str) -> bool:
    return "AVG_Signal" in name or name.upper().replace(" ", "_") == "RAW_VALUE"


class _Candidate(NamedTuple):
    sample: str
    name: str  # what the table calls it
    lower: str
    geo_columns: frozenset[str]


def _owners(
    header: Sequence[str], places: Sequence[int], samples: Sequence[BeadSample]
) -> tuple[set[int], dict[int, str], dict[str, str]]:
    """Columns that are some sample's; whose, one to one; and why the other samples have none."""
    candidates = [_candidate(each, header) for each in samples]
    claims: dict[str, list[tuple[int, int]]] = {each.sample: [] for each in samples}
    contested: dict[int, list[str]] = {}
    for place in places:
        rank, found = _best_fit(header[place], candidates)
        for sample in found:
            claims[sample].append((rank, place))
        if len(found) > 1:
            contested[place] = found
    claimed: set[int] = set()
    owners: dict[int, str] = {}
    problems: dict[str, str] = {}
    for sample, name, _, _ in candidates:
        best = [place for rank, place in claims[sample] if rank == min(claims[sample])[0]]
        claimed.update(best)
        several = next((place for place in best if place in contested), None)
        if not best:
            problems[sample] = (
                f"No column belongs to {sample} ({name!r}); "
                f"there are {_listed([header[place] for place in places])}."
            )
        elif several is not None:
            problems[sample] = (
                f"Column {header[several]!r} fits several samples: {_listed(contested[several])}."
            )
        elif len(best) > 1:
            problems[sample] = (
                f"Several columns fit {sample} ({name!r}): "
                f"{_listed([header[place] for place in best])}."
            )
        else:
            owners[best[0]] = sample
    return claimed, owners, problems


def _candidate(sample: BeadSample, header: Sequence[str]) -> _Candidate:
    name = sample.title.strip()
    if name not in header:
        described = (text.strip() for text in sample.descriptions)
        name = next((text for text in described if text and text in header), name)
    return _Candidate(sample.sample, name, name.casefold(), frozenset(sample.geo_columns))


def _best_fit(column: str, candidates: Sequence[_Candidate]) -> tuple[int, list[str]]:
    """The samples that fit a column best, and how well (0 is best)."""
    lower = column.casefold()
    end = f"_{lower}"
    stem = _SIGNAL.sub("", lower)
    of_geo = column.removesuffix(".AVG_Signal") + ".Detection Pval"
    may_contain = _may_be_expression(column)
    fitting: dict[int, list[_Candidate]] = {}
    for each in candidates:
        if each.name == column:
            rank = 0
        elif each.lower.endswith(end):
            rank = 1
        elif each.name and each.lower == stem:
            rank = 2
        elif of_geo in each.geo_columns:
            rank = 3
        elif may_contain and each.name and each.lower in lower:
            rank = 4
        else:
            continue
        fitting.setdefault(rank, []).append(each)
    if not fitting:
        return 0, []
    best = min(fitting)
    found = fitting[best]
    longest = max(len(each.name) for each in found)
    return best, [each.sample for each in found if best < 4 or len(each.name) == longest]


def _may_be_expression(column: str) -> bool:
    upper = column.upper()
    return not (
        any(word in upper for word in _NO_EXPRESSION)
        or "PVAL" in upper.replace(" ", "").replace("_", "")
    )


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name[:60]) for name in names[:6]]
    return ", ".join([*shown, "…"] if len(names) > len(shown) else shown)
