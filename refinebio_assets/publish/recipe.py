"""What a dataset is asked to be: which samples, put together how.

The words are refine.bio's API's. Not here: whether the samples exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from refinebio_assets.errors import InvalidRequest
from refinebio_assets.metadata.accessions import valid_accession

AggregateBy = Literal["EXPERIMENT", "SPECIES", "ALL"]
ScaleBy = Literal["NONE", "STANDARD", "MINMAX", "ROBUST"]
Format = Literal["tsv", "parquet", "h5ad"]
ALL_SAMPLES: Final = "ALL"
LARGEST_FILE: Final = 64 << 20


@dataclass(frozen=True)
class Recipe:
    """A dataset's definition.

    Attributes
    ----------
    samples
        Experiment -> its samples that are wanted, in order, or ("ALL",).
    aggregate_by
        One matrix for each experiment or each organism, or one of all.
    scale_by
        Gene by gene: as it is, z-score, zero to one, or robust.
    quantile_normalize
        Whether every sample is brought to its organism's target.
    quant_sf_only
        Salmon's quant.sf of every sample, and nothing else.
    formats
        Of the matrices; `tsv` is always among them, but for quant_sf_only.
    """

    samples: Mapping[str, tuple[str, ...]]
    aggregate_by: AggregateBy = "EXPERIMENT"
    scale_by: ScaleBy = "NONE"
    quantile_normalize: bool = True
    quant_sf_only: bool = False
    formats: tuple[Format, ...] = ("tsv",)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `read_recipe` reads."""
        return {**asdict(self), "samples": {key: list(each) for key, each in self.samples.items()}}

    def digest(self, *versions: str) -> str:
        """Of the recipe and of the versions of the data it uses: the same gives the same."""
        text = json.dumps([self.to_json(), *versions], sort_keys=False)
        return hashlib.sha256(text.encode()).hexdigest()


def read_recipe(content: Any) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    InvalidRequest
        Saying what is wrong with it.
    """
    if not isinstance(content, Mapping):
        raise InvalidRequest("A dataset's recipe is a mapping.")
    unknown = sorted(set(map(str, content)) - set(Recipe.__dataclass_fields__))
    if unknown:
        raise InvalidRequest(f"A recipe has no {unknown[0]!r}.")
    given = content.get("samples")
    if not isinstance(given, Mapping) or not given:
        raise InvalidRequest("A recipe needs samples: experiment -> list of samples, or ALL.")
    samples = {valid_accession(str(key)): _samples(str(key), value) for key, value in given.items()}
    formats = content.get("formats", ["tsv"])
    if not isinstance(formats, Sequence) or isinstance(formats, str):
        raise InvalidRequest("The formats of a recipe are a list.")
    for each in formats:
        _one_of("formats", each, get_args(Format))
    flags = {"quantile_normalize": True, "quant_sf_only": False}
    for name, default in flags.items():
        flags[name] = content.get(name, default)
        if not isinstance(flags[name], bool):
            raise InvalidRequest(f"{name} is true or false.")
    return Recipe(
        samples=samples,
        aggregate_by=_one_of(
            "aggregate_by", content.get("aggregate_by", "EXPERIMENT"), get_args(AggregateBy)
        ),
        scale_by=_one_of("scale_by", content.get("scale_by", "NONE"), get_args(ScaleBy)),
        formats=tuple(name for name in get_args(Format) if name == "tsv" or name in formats),
        **flags,
    )


def read_recipe_file(path: Path) -> Recipe:
    """Read a recipe from a YAML or JSON file.

    Raises
    ------
    InvalidRequest
    """
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise InvalidRequest(f"{path.name} is larger than {LARGEST_FILE >> 20} MiB.")
        return read_recipe(yaml.safe_load(content))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{path.name} is not YAML: {error}.") from None


def _samples(experiment: str, value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, Sequence) or not listed:
        raise InvalidRequest(f"The samples of {experiment} are not a list of accessions.")
    names = tuple(valid_accession(str(each), what="sample") for each in listed)
    if len(set(names)) < len(names):
        raise InvalidRequest(f"A sample of {experiment} is listed twice.")
    if ALL_SAMPLES in names and len(names) > 1:
        raise InvalidRequest(f"For {experiment}, ALL is said beside single samples.")
    return names


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise InvalidRequest(f"{name} is {value!r}, and not one of {', '.join(known)}.")
    return value
