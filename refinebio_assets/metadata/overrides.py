"""Corrections of harmonised metadata that a person has reviewed.

Rules by key misread some records; `metadata_overrides.yaml` sets those right. It is a list:

    - sample: SRR3098582        # or `experiment: SRP068364`, for all of its samples
      field: subject            # a harmonised field, or title
      value: larva pool 2       # a number for age; "" takes the value away
      why: source_name repeats the tissue, it names no individual

A sample's own entry goes before its experiment's; `title` with an experiment is the
experiment's own title. What was submitted stays as it is, beside the corrected field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from refinebio_assets.errors import InvalidAccession, InvalidOverrides
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.metadata.harmonise import FIELDS, harmonised_value

if TYPE_CHECKING:
    from refinebio_assets.sources.records import Experiment, Sample

TITLE = "title"
_TARGETS = ("sample", "experiment")
_KEYS = {*_TARGETS, "field", "value", "why"}
_SHOWN = 10
# PyYAML lets the built-in ones through for a mistaken tag or value, as in `!!bool x`.
_UNREADABLE = (
    OSError,
    yaml.YAMLError,
    ValueError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True)
class Override:
    """One correction; `kind` is sample or experiment, `value` None takes the field away."""

    kind: str
    accession: str
    field: str
    value: str | float | None
    why: str


@dataclass(frozen=True)
class Overrides:
    """The corrections of one file."""

    entries: tuple[Override, ...] = ()

    def apply(self, experiment: Experiment) -> Experiment:
        """The experiment with its samples' fields and titles corrected.

        Other experiments' entries have no effect; a sample of several experiments is
        corrected in each.
        """
        of_all = dict(self._changes.get(("experiment", experiment.experiment), {}))
        title = _text(of_all.pop(TITLE, experiment.title))
        samples = tuple(
            _corrected(each, of_all | self._changes.get(("sample", each.sample), {}))
            for each in experiment.samples
        )
        return replace(experiment, title=title, samples=samples)

    @cached_property
    def _changes(self) -> dict[tuple[str, str], dict[str, str | float | None]]:
        changes: dict[tuple[str, str], dict[str, str | float | None]] = {}
        for entry in self.entries:
            changes.setdefault((entry.kind, entry.accession), {})[entry.field] = entry.value
        return changes


def read_overrides(path: Path) -> Overrides:
    """The corrections of a YAML file; an empty file has none.

    Raises
    ------
    InvalidOverrides
        If it cannot be read, or naming the entries that are wrong (at most ten); nothing
        of the file is taken then.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
    except _UNREADABLE as error:
        raise InvalidOverrides(f"{path.name} cannot be read: {error}.") from error
    if content is None:
        return Overrides()
    if not isinstance(content, list):
        raise InvalidOverrides(f"{path.name} is not a list of overrides.")
    entries: list[Override] = []
    problems: list[str] = []
    for number, entry in enumerate(content, start=1):
        try:
            entries.append(_override(entry))
        except (InvalidOverrides, InvalidAccession) as error:
            problems.append(f"entry {number}: {error.message}")
    counted = Counter((each.kind, each.accession, each.field) for each in entries)
    problems += [
        f"{field} of {kind} {accession} is given {times} times"
        for (kind, accession, field), times in counted.items()
        if times > 1
    ]
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise InvalidOverrides(f"{path.name}: " + "; ".join(problems[:_SHOWN]) + more + ".")
    return Overrides(tuple(entries))


def _override(entry: Any) -> Override:
    if not isinstance(entry, dict):
        raise InvalidOverrides("not a mapping of keys to values")
    unknown = [str(key) for key in entry if key not in _KEYS]
    if unknown:
        raise InvalidOverrides(f"unknown key {', '.join(unknown)}")
    kinds = [kind for kind in _TARGETS if kind in entry]
    if len(kinds) != 1:
        raise InvalidOverrides("needs either sample or experiment")
    kind = kinds[0]
    field = _required_text(entry, "field")
    if field not in (*FIELDS, TITLE):
        raise InvalidOverrides(f"{field!r} is no harmonised field")
    return Override(
        kind=kind,
        accession=valid_accession(_required_text(entry, kind), what=kind),
        field=field,
        value=_value(field, entry.get("value")),
        why=_required_text(entry, "why"),
    )


def _required_text(entry: Mapping[str, Any], key: str) -> str:
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip():
        raise InvalidOverrides(f"{key} must be a text that is not empty")
    return text.strip()


def _value(field: str, value: Any) -> str | float | None:
    """The value as its field holds it; only an explicit empty text takes one away."""
    if isinstance(value, str) and not value.strip():
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if field == "age":
        age = harmonised_value(field, str(value)) if is_number else None
        if age is None:
            raise InvalidOverrides(f"age must be a number, not {value!r}")
        return age
    if not isinstance(value, str):
        raise InvalidOverrides(f"the value of {field} must be a text (in quotes), not {value!r}")
    return value.strip() if field == TITLE else harmonised_value(field, value.strip())


def _corrected(sample: Sample, changes: Mapping[str, str | float | None]) -> Sample:
    if not changes:
        return sample
    merged = {**sample.harmonised, **{k: v for k, v in changes.items() if k != TITLE}}
    return replace(
        sample,
        title=_text(changes.get(TITLE, sample.title)),
        harmonised={name: value for name, value in merged.items() if value is not None},
    )


def _text(value: str | float | None) -> str | None:
    return None if value is None else str(value)
