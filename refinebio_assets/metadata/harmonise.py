"""What a submitter said of a sample, in the thirteen harmonised fields.

Submitters name the same thing in many ways: 'Sex', 'gender', 'characteristics [sex]',
'sample_host_sex'. Every field has base phrases (`PHRASES`); every phrase has spellings
(`key_variants`); a key that is one of them fills the field. The phrases and rules are
those that refine.bio documents, so that fields mean here what they mean there. Not here:
how each source's record becomes key/value pairs (see `refinebio_assets.sources`), and
corrections by hand (see `overrides`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TypeVar

from refinebio_assets.tables import HARMONISED_FIELDS

V = TypeVar("V")

FIELDS = tuple(field.name for field in HARMONISED_FIELDS)

# fmt: off
PHRASES: Mapping[str, tuple[str, ...]] = {
    "specimen_part": (
        "organism part", "cell type", "tissue", "tissue type", "tissue source",
        "tissue origin", "source tissue", "tissue subtype", "tissue/cell type",
        "tissue region", "tissue compartment", "tissues", "tissue of origin", "tissue-type",
        "tissue harvested", "cell/tissue type", "tissue subregion", "organ",
        "isolation source", "tissue sampled", "cell description",
    ),
    "genetic_information": (
        "strain/background", "strain", "strain or line", "background strain", "genotype",
        "genetic background", "genetic information", "genotype/variation", "ecotype",
        "cultivar", "strain/genotype", "strain background",
    ),
    "disease": (
        "disease", "disease state", "disease status", "diagnosis", "infection with",
        "sample type",
    ),
    "disease_stage": (
        "disease state", "disease staging", "disease stage", "grade", "tumor grade",
        "who grade", "histological grade", "tumor grading", "disease outcome",
        "subject status",
    ),
    "cell_line": ("cell line", "sample strain"),
    "treatment": (
        "treatment", "treatment group", "treatment protocol", "drug treatment",
        "clinical treatment",
    ),
    "race": ("race", "ethnicity", "race/ethnicity"),
    "subject": (
        "subject", "subject id", "subject/sample source id", "subject identifier",
        "human subject anonymized id", "individual", "individual identifier",
        "individual id", "patient", "patient id", "patient identifier", "patient number",
        "patient no", "donor id", "donor", "source name",
    ),
    "developmental_stage": (
        "developmental stage", "development stage", "development stages", "dev stage",
    ),
    "compound": (
        "compound", "compound1", "compound2", "compound name", "drug", "drugs",
        "immunosuppressive drugs",
    ),
    "time": (
        "time", "initial time point", "start time", "stop time", "time point",
        "sampling time point", "sampling time", "time post infection",
    ),
    "age": (
        "age", "patient age", "age of patient", "age (years)", "age (yrs)", "age (months)",
        "age (days)", "age (hours)", "age at diagnosis", "age at diagnosis years",
        "age at diagnosis months", "age at diagnosis days", "age at diagnosis hours",
        # wrapped once already, so that keys wrapped twice are known
        "characteristic [age]", "characteristics [age]",
    ),
    "sex": (
        "sex", "gender", "subject gender", "subject sex",
        "characteristic [sex]", "characteristics [sex]",
    ),
}
TITLE_PHRASES = (
    "sample name", "sample title", "title", "subject number", "extract name",
    "labeled extract name",
)
# fmt: on

_SEXES = {
    "f": "female",
    "female": "female",
    "woman": "female",
    "m": "male",
    "male": "male",
    "man": "male",
}
_BIOSAMPLES = "characteristics_"
# A decimal of eight digits, three of them after the point, holds every age.
_AGE_DECIMALS = 3
_AGE_LIMIT = 10**5


def harmonise(pairs: Iterable[tuple[str, str]]) -> dict[str, str | float]:
    """The harmonised fields of one sample.

    Parameters
    ----------
    pairs
        Keys and values as submitted, in the order of the record.

    Returns
    -------
    The fields that are known, in the order of `FIELDS`. Texts are lower-case, in full
    length; several different values are sorted and joined by ';'. `age` is the first that
    is a number, in whatever unit the submitter used.
    """
    fields_of = _fields_of_keys()
    ages: list[float] = []
    texts: dict[str, set[str]] = {}
    for key, value in pairs:
        for field in _look_up(fields_of, key) or ():
            found = harmonised_value(field, value)
            if isinstance(found, float):
                ages.append(found)
            elif found:
                texts.setdefault(field, set()).add(found)
    known: dict[str, str | float] = {name: ";".join(sorted(texts[name])) for name in texts}
    if ages:
        known["age"] = ages[0]
    return {name: known[name] for name in FIELDS if name in known}


def harmonised_value(field: str, value: str) -> str | float | None:
    """One submitted value as the field holds it; None if it says nothing.

    Sexes are spelt out where they are understood. An age is a number, or begins with one
    that a space ends ('12 weeks' -> 12.0): its unit is dropped, never converted.
    """
    if field == "age":
        return _age(value)
    trimmed = value.strip().lower()
    if field == "sex" and trimmed:
        return _SEXES.get(trimmed) or value.lower()
    return trimmed or None


def title_of(
    pairs: Iterable[tuple[str, str]],
    preferred: str | None = None,
    *,
    source_comments: Iterable[tuple[str, str]] = (),
) -> str | None:
    """The title of a sample, as submitted but trimmed; None if it has none.

    Parameters
    ----------
    pairs
        Keys and values as submitted.
    preferred
        A phrase to look for before `TITLE_PHRASES`.
    source_comments
        Names and values of the comments on an ArrayExpress sample's source: the first
        whose name contains 'title' goes before everything else.
    """
    for name, value in source_comments:
        if "title" in name.lower() and value.strip():
            return value.strip()
    ranks = _title_ranks(preferred.strip().lower() if preferred else None)
    present = ((_look_up(ranks, key), value.strip()) for key, value in pairs)
    ranked = [(rank, title) for rank, title in present if rank is not None and title]
    return min(ranked, key=lambda each: each[0])[1] if ranked else None


def split_characteristics(entries: Iterable[str]) -> list[tuple[str, str]]:
    """GEO's characteristics, 'key: value' each, as pairs with trimmed, lower-case keys.

    Entries without a colon are left out; of a repeated key the last value stays, at the
    place of the first.
    """
    split = (entry.partition(":") for entry in entries)
    return list(
        {key.strip().lower(): value.strip() for key, colon, value in split if colon}.items()
    )


def key_variants(phrase: str) -> list[str]:
    """Every key that stands for a base phrase, lower-case, in order of preference.

    BioSamples' 'characteristics_PHRASE' may be followed by '_<digits>_text', which
    `harmonise` and `title_of` take off before they look.
    """
    spaced = (phrase, *(phrase.replace(" ", other) for other in ("_", "-", "")))
    return list(dict.fromkeys(key for spelt in spaced for key in _wrapped(spelt)))


def _wrapped(phrase: str) -> Iterator[str]:
    yield phrase
    for word in ("characteristic", "characteristics", "comment", "comments"):
        yield f"{word} [{phrase}]"
        yield f"{word}[{phrase}]"
    for words in ("factorvalue", "factor value", "factorvalue ", "factor value "):
        yield f"{words}[{phrase}]"
    yield f"sample_{phrase}"
    yield f"sample_host{phrase}"
    yield f"sample_sample_{phrase}"
    yield _BIOSAMPLES + phrase
    # BioSamples also writes 'age (years)' without its parentheses.
    yield _BIOSAMPLES + phrase.replace("(", "").replace(")", "")


def _look_up(table: Mapping[str, V], submitted: str) -> V | None:
    key = submitted.strip().lower()
    found = table.get(key)
    if found is None and key.endswith("_text") and key.startswith(_BIOSAMPLES):
        stem, _, number = key.removesuffix("_text").rpartition("_")
        return table.get(stem) if number.isdecimal() else None
    return found


@cache
def _fields_of_keys() -> dict[str, tuple[str, ...]]:
    fields: dict[str, tuple[str, ...]] = {}
    for field, phrases in PHRASES.items():
        for key in dict.fromkeys(key for phrase in phrases for key in key_variants(phrase)):
            fields[key] = (*fields.get(key, ()), field)
    return fields


@cache
def _title_ranks(preferred: str | None) -> dict[str, int]:
    phrases = (*([preferred] if preferred else []), *TITLE_PHRASES)
    keys = dict.fromkeys(key for phrase in phrases for key in key_variants(phrase))
    return {key: rank for rank, key in enumerate(keys)}


def _age(value: str) -> float | None:
    trimmed = value.strip()
    for text in (trimmed, trimmed.partition(" ")[0]):
        try:
            age = round(float(text.replace("_", "?")), _AGE_DECIMALS)  # '10_12' is no number
        except ValueError:
            continue
        return age if math.isfinite(age) and abs(age) < _AGE_LIMIT else None
    return None
