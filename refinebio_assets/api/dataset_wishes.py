"""What a client asks a dataset to be: read, and checked against the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, get_args

from refinebio_assets.api.catalogue import Reader
from refinebio_assets.api.errors import Refused, refused_together
from refinebio_assets.api.requests_store import DatasetWish
from refinebio_assets.publish.recipe import ALL_SAMPLES, AggregateBy, Recipe, ScaleBy, read_recipe

SVD_ALGORITHMS: Final = ("NONE", "RANDOMIZED", "ARPACK")
LISTED: Final = 100  # names in an answer that refuses them

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "aggregate_by": get_args(AggregateBy),
    "scale_by": get_args(ScaleBy),
    "svd_algorithm": SVD_ALGORITHMS,
}
_FLAGS: Final = ("quantile_normalize", "quant_sf_only", "email_ccdl_ok", "notify_me")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\Z")

BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        **{name: {"type": "string", "enum": list(each)} for name, each in _CHOICES.items()},
        **{name: {"type": "boolean"} for name in (*_FLAGS, "start", "no_send_job")},
        "email_address": {"type": "string", "format": "email"},
        "token_id": {"type": "string"},
    },
}

# The samples that are asked for, each in its experiment: is there such a one, has it values?
CHECKED: Final = """
WITH wanted AS (
    SELECT unnest(?::VARCHAR[]) AS experiment, unnest(?::VARCHAR[]) AS sample
)
SELECT w.experiment, w.sample, s.sample IS NOT NULL AS is_known,
       coalesce(t.status = 'processed', false) AS is_processed,
       q.sample IS NOT NULL AS is_quantified
FROM wanted AS w
LEFT JOIN catalogue.main.samples AS s USING (experiment, sample)
LEFT JOIN catalogue.main.sample_status AS t USING (experiment, sample)
LEFT JOIN catalogue.main.quantifications AS q USING (experiment, sample)
"""
# What ALL can mean.
SAMPLES_OF: Final = """
SELECT s.experiment, s.sample, t.status = 'processed' AS is_processed,
       q.sample IS NOT NULL AS is_quantified,
       coalesce(s.organism IN (SELECT organism FROM catalogue.main.qn_targets), false)
           AS has_target
FROM catalogue.main.samples AS s
JOIN catalogue.main.sample_status AS t USING (experiment, sample)
LEFT JOIN catalogue.main.quantifications AS q USING (experiment, sample)
WHERE s.experiment IN (SELECT unnest(?::VARCHAR[])) ORDER BY s.experiment, s.sample
"""


def read_wish(body: Mapping[str, Any], before: DatasetWish, reader: Reader) -> DatasetWish:
    """The dataset as the body of a request changes it, with ALL replaced by what it means.

    Raises
    ------
    Refused
        Saying all that is wrong.
    """
    errors: list[Refused] = []
    changes: dict[str, Any] = {}
    for name, known in _CHOICES.items():
        if name in body:
            changes[name] = body[name]
            if body[name] not in known:
                told = f"{str(body[name])[:80]!r} is not a valid choice."
                errors.append(Refused("invalid_choice", told, name))
    for name in _FLAGS:
        if name in body:
            changes[name] = body[name]
            if not isinstance(body[name], bool):
                errors.append(Refused("invalid", "Must be a valid boolean.", name))
    if "email_address" in body:
        try:
            changes["email_address"] = read_email(body)
        except Refused as error:
            errors.append(error)
    errors += [
        Refused("invalid", "Must be a valid boolean.", name)
        for name in ("start", "no_send_job")
        if not isinstance(body.get(name, False), bool)
    ]
    if not isinstance(body.get("token_id", ""), str):
        errors.append(Refused("invalid", "Must be a text.", "token_id"))
    if "data" not in body:
        errors.append(Refused("required", "This field is required.", "data"))
    if errors:
        raise refused_together(errors)
    wish = replace(before, **changes)
    data = _data(body["data"], starting=bool(body.get("start")))
    return replace(wish, data=_checked(data, wish, reader))


def read_email(body: Mapping[str, Any]) -> str | None:
    """The address of a request; None where it is empty.

    Raises
    ------
    Refused
        It is no address.
    """
    given = body.get("email_address")
    if given in (None, ""):
        return None
    if not isinstance(given, str) or not _EMAIL.match(given):
        raise Refused("invalid", "Enter a valid email address.", "email_address")
    return given


def recipe_of(wish: DatasetWish) -> Recipe:
    """The recipe by which a dataset is made."""
    return read_recipe(
        {
            "samples": wish.data,
            "aggregate_by": wish.aggregate_by,
            "scale_by": wish.scale_by,
            "quantile_normalize": wish.quantile_normalize,
            "quant_sf_only": wish.quant_sf_only,
        }
    )


def _data(given: Any, *, starting: bool) -> dict[str, list[str]]:
    if not isinstance(given, dict):
        raise _invalid("`data` must be an object of lists: experiment -> samples.")
    if starting and not given:
        raise _invalid("`data` must not be empty when the dataset is started.")
    for experiment, samples in given.items():
        if not isinstance(samples, list) or not all(isinstance(each, str) for each in samples):
            raise _invalid("`data` must be an object of lists of sample accessions.", experiment)
        if not samples:
            raise _invalid("`data` must not have empty lists.", experiment)
        if len(set(samples)) < len(samples):
            raise _invalid("`data` must not have a sample twice in a list.", experiment)
    return given


def _checked(data: dict[str, list[str]], wish: DatasetWish, reader: Reader) -> dict[str, list[str]]:
    named = {key: each for key, each in data.items() if each != [ALL_SAMPLES]}
    _refuse_unfit(named, wish, reader)
    expanded = _expanded([key for key in data if key not in named], wish, reader)
    return {key: named.get(key) or expanded[key] for key in data}


def _refuse_unfit(named: dict[str, list[str]], wish: DatasetWish, reader: Reader) -> None:
    pairs = [(key, sample) for key, samples in named.items() for sample in samples]
    rows = reader.rows(CHECKED, [key for key, _ in pairs], [sample for _, sample in pairs])
    unknown = sorted({row["sample"] for row in rows if not row["is_known"]})
    if unknown:
        raise _invalid("Samples in `data` do not exist in their experiments.", unknown[:LISTED])
    needed = "is_quantified" if wish.quant_sf_only else "is_processed"
    unfit = sorted({row["sample"] for row in rows if not row[needed]})
    if unfit:
        what = "have no quant.sf" if wish.quant_sf_only else "are not processed"
        raise _invalid(f"Samples in `data` {what}.", unfit[:LISTED])


def _expanded(experiments: list[str], wish: DatasetWish, reader: Reader) -> dict[str, list[str]]:
    rows: dict[str, list[Any]] = {each: [] for each in experiments}
    for row in reader.rows(SAMPLES_OF, experiments):
        if row["is_quantified"] if wish.quant_sf_only else row["is_processed"]:
            rows[row["experiment"]].append(row)
    without = sorted(key for key, each in rows.items() if not each)
    if without:
        what = "quant.sf files" if wish.quant_sf_only else "processed samples"
        raise _invalid(f"Experiments in `data` have no {what}.", without[:LISTED])
    found = {}
    for experiment, each in rows.items():
        chosen = [row["sample"] for row in each if row["is_processed"] and row["has_target"]]
        if not chosen and (wish.quant_sf_only or not wish.quantile_normalize):
            chosen = [row["sample"] for row in each]  # no target is needed
        if not chosen:
            told = "No organism of the experiment has a quantile-normalisation target."
            raise _invalid(told, [experiment])
        found[experiment] = chosen
    return found


def _invalid(message: str, details: Any = None) -> Refused:
    return Refused("invalid_data", message, details)
