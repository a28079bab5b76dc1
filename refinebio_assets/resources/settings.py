"""`settings.yaml` in REFINEBIO_HOME: what sensors look for, how much they start, what is kept.

```yaml
geo:                                    # likewise arrayexpress; for sra, organisms are taxonomy ids
  organisms: [Homo sapiens]
  platforms: [GPL570]
  since: 2026-11-01
  per_day: 10
dispatch:
  runs_per_day: 200
keep_documents: true                    # the answers that a survey read (`resources.documents`)
```
Every key is optional; the others are the fields of `discovery.Filter` and `dispatch.Limits`.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Any

from refinebio_assets.discovery import Filter
from refinebio_assets.dispatch import Limits
from refinebio_assets.errors import InvalidSettings
from refinebio_assets.resources.storage import Storage

SOURCES = ("geo", "sra", "arrayexpress")
SECTIONS = (*SOURCES, "dispatch")
KEEP_DOCUMENTS = "keep_documents"


def read_filter(storage: Storage, source: str) -> Filter:
    """What to look for at one source.

    Raises
    ------
    InvalidSettings
    """
    entry = _section(storage, source, Filter)
    for name in ("organisms", "platforms"):
        if not isinstance(entry.get(name, []), list):
            raise InvalidSettings(f"settings.yaml, {source}: {name} must be a list.")
        if name in entry:
            entry[name] = tuple(str(each) for each in entry[name])
    if source == "sra" and not all(each.isdigit() for each in entry.get("organisms", ())):
        raise InvalidSettings("settings.yaml, sra: organisms must be NCBI taxonomy ids.")
    if not isinstance(entry.get("since"), date | None):
        raise InvalidSettings(f"settings.yaml, {source}: since must be a date, as 2026-11-01.")
    _check_numbers(source, entry, but={"organisms", "platforms", "since"})
    return Filter(**entry)


def read_limits(storage: Storage) -> Limits:
    """How much the dispatcher starts.

    Raises
    ------
    InvalidSettings
    """
    entry = _section(storage, "dispatch", Limits)
    _check_numbers("dispatch", entry, but=set())
    return Limits(**entry)


def read_keep_documents(storage: Storage) -> bool:
    """Whether the answers that a survey reads are kept.

    Raises
    ------
    InvalidSettings
    """
    keep = _content(storage).get(KEEP_DOCUMENTS, True)
    if not isinstance(keep, bool):
        raise InvalidSettings(f"settings.yaml: {KEEP_DOCUMENTS} must be true or false.")
    return keep


def _content(storage: Storage) -> dict[str, Any]:
    import yaml

    path = storage.root / "settings.yaml"
    known = (*SECTIONS, KEEP_DOCUMENTS)
    try:
        content: Any = (yaml.safe_load(path.read_text()) if path.exists() else None) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidSettings(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict) or not set(content) <= set(known):
        raise InvalidSettings(f"{path} must be a mapping of {', '.join(known)}.")
    return content


def _section(storage: Storage, name: str, of: type[Any]) -> dict[str, Any]:
    entry = _content(storage).get(name) or {}
    if not isinstance(entry, dict):
        raise InvalidSettings(f"settings.yaml: {name} must be a mapping.")
    unknown = set(entry) - {field.name for field in fields(of)}
    if unknown:
        raise InvalidSettings(
            f"settings.yaml, {name}: unknown key {sorted(map(str, unknown))[0]!r}."
        )
    return dict(entry)


def _check_numbers(section: str, entry: dict[str, Any], but: set[str]) -> None:
    for name, value in entry.items():
        if name not in but and not (type(value) is int and value >= 0):
            raise InvalidSettings(f"settings.yaml, {section}: {name} must be a whole number.")
