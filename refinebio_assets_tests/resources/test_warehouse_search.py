"""Searching the catalogue, against a search written in Python."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.resources.warehouse_search import FILTERS, SEARCH_MACROS, make_searchable
from refinebio_assets.tables import EXPERIMENTS, SAMPLE_ATTRIBUTES, SAMPLES, Table

Row = dict[str, Any]


def catalogue(
    experiments: Sequence[Row], samples: Sequence[Row], attributes: Sequence[Row] = ()
) -> duckdb.DuckDBPyConnection:
    """A catalogue of these rows (in memory), searchable."""
    database = duckdb.connect()
    for table, rows in (
        (EXPERIMENTS, experiments),
        (SAMPLES, samples),
        (SAMPLE_ATTRIBUTES, attributes),
    ):
        create(database, table, rows)
    make_searchable(database)
    return database


def create(database: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Row]) -> None:
    columns = ", ".join(f"{column.name} {column.type}" for column in table.columns)
    database.execute(f"CREATE TABLE {table.name} ({columns})")
    for row in rows:
        names, marks = ", ".join(row), ", ".join("?" for _ in row)
        database.execute(
            f"INSERT INTO {table.name} ({names}) VALUES ({marks})",  # noqa: S608
            list(row.values()),
        )


def found(database: duckdb.DuckDBPyConnection, words: str, **chosen: str) -> list[str]:
    """The samples that a search finds, best first."""
    named = "".join(f", {name} := ${name}" for name in chosen)
    rows = database.execute(
        f"SELECT sample FROM search_samples($words{named})",  # noqa: S608
        {"words": words, **chosen},
    ).fetchall()
    return [name for (name,) in rows]


def found_experiments(database: duckdb.DuckDBPyConnection, words: str, **chosen: str) -> list[str]:
    named = "".join(f", {name} := ${name}" for name in chosen)
    rows = database.execute(
        f"SELECT experiment FROM search_experiments($words{named})",  # noqa: S608
        {"words": words, **chosen},
    ).fetchall()
    return [name for (name,) in rows]


@pytest.fixture(scope="module")
def tumours() -> Iterator[duckdb.DuckDBPyConnection]:
    """Three experiments; GSM3 is in two of them."""
    human = {"organism": "HOMO_SAPIENS", "technology": "RNA-SEQ", "source_database": "GEO"}
    mouse = {"organism": "MUS_MUSCULUS", "technology": "MICROARRAY", "source_database": "GEO"}
    with catalogue(
        [
            {
                "experiment": "GSE1",
                "title": "Medulloblastoma subgroups",
                "description": "Four groups of tumours in café patients; see also ependymoma.",
                "organisms": ["HOMO_SAPIENS"],
                "technology": "RNA-SEQ",
            },
            {"experiment": "GSE2", "title": "MCF-7 cells treated with TGF-β1"},
            {"experiment": "GSE3", "title": "Virus diagnosis", "description": "Group of 3."},
        ],
        [
            {"experiment": "GSE1", "sample": "GSM1", "title": "Group 3, rep 1", **human}
            | {"sex": "female", "disease": "medulloblastoma", "platform": "NextSeq500"},
            {"experiment": "GSE1", "sample": "GSM2", "title": "Group 4, rep 3", **human}
            | {"sex": "male", "platform": "NextSeq500", "platform_name": "NextSeq 500"},
            {"experiment": "GSE1", "sample": "GSM3", "title": "WNT", **human},
            {"experiment": "GSE2", "sample": "GSM3", "title": "WNT", **human},
            {"experiment": "GSE2", "sample": "GSM4", "title": "neuroblasts", **mouse},
            {"experiment": "GSE3", "sample": "E-MTAB-9:x_1", "title": None, **mouse},
        ],
        [
            {"experiment": "GSE1", "sample": "GSM2", "position": 0, "key": "k"}
            | {"value": "Medulloblastoma, cerebellum"},
            {"experiment": "GSE2", "sample": "GSM4", "position": 0, "key": "k"}
            | {"value": "IL-6 (5 ng/ml)"},
        ],
    ) as database:
        yield database


@pytest.mark.parametrize(
    ("words", "samples"),
    [
        ("medulloblastoma", {"GSM1", "GSM2", "GSM3"}),  # by their experiment, too
        ("MEDULLOBLASTOMAS", {"GSM1", "GSM2", "GSM3"}),
        ("medulloblastoma female", {"GSM1"}),
        ("medulloblastoma mouse", set()),
        ("cafe", {"GSM1", "GSM2", "GSM3"}),
        ("Café", {"GSM1", "GSM2", "GSM3"}),
        ("neuro*", {"GSM4"}),
        ("neuro", set()),
        ("neuroblasts*", {"GSM4"}),
        ("diagnosis", {"E-MTAB-9:x_1"}),
        ("diagnos*", {"E-MTAB-9:x_1"}),
        ("viruses", set()),
        ("mcf7", {"GSM3", "GSM4"}),
        ("mcf-7", {"GSM3", "GSM4"}),
        ("7 MCF", {"GSM3", "GSM4"}),
        ("TGF-beta1", {"GSM3", "GSM4"}),
        ("tgfβ1", {"GSM3", "GSM4"}),
        ("il6", {"GSM4"}),
        ("cerebellum", {"GSM2"}),
        ("GSM1", {"GSM1"}),
        ("gse2", {"GSM3", "GSM4"}),
        ("e-mtab-9", {"E-MTAB-9:x_1"}),
        ("group 3", {"GSM1", "GSM2", "E-MTAB-9:x_1"}),
        ('"group 3"', {"GSM1"}),
        ('"GROUP 3" medulloblastoma', {"GSM1"}),
        ('"group 3" "rep 1"', {"GSM1"}),
        ('"group 3" "rep 3"', set()),
        ('"medulloblastoma subgroups"', {"GSM1", "GSM2", "GSM3"}),
        ('"oup 3"', set()),
        ("homo sapiens rep", {"GSM1", "GSM2"}),
        ("'; DROP TABLE samples; --", set()),
    ],
)
def test_samples_that_have_all_words(
    tumours: duckdb.DuckDBPyConnection, words: str, samples: set[str]
) -> None:
    assert set(found(tumours, words)) == samples


def test_the_better_hit_is_first(tumours: duckdb.DuckDBPyConnection) -> None:
    """The word in a field of its own, in an attribute, only in its experiment's title."""
    assert found(tumours, "medulloblastoma") == ["GSM1", "GSM2", "GSM3"]


@pytest.mark.parametrize("words", ["", "  ", "-", '""', "*"])
def test_without_words_all_that_is_chosen(tumours: duckdb.DuckDBPyConnection, words: str) -> None:
    assert len(found(tumours, words)) == 6
    assert found(tumours, words, organism="Mus musculus") == ["GSM4", "E-MTAB-9:x_1"]
    assert found_experiments(tumours, words) == ["GSE1", "GSE2", "GSE3"]
    assert found_experiments(tumours, words, technology="rna-seq") == ["GSE1", "GSE2"]


def test_filters(tumours: duckdb.DuckDBPyConnection) -> None:
    assert found(tumours, "medulloblastoma", sex="male") == ["GSM2"]
    assert found(tumours, "medulloblastoma", disease="Medullo") == ["GSM1"]
    assert set(found(tumours, "mcf7", organism="MUS_MUSCULUS")) == {"GSM4"}
    assert set(found(tumours, "", platform="nextseq500")) == {"GSM1", "GSM2"}
    assert found(tumours, "", platform="NextSeq 500", sex="female") == []
    with pytest.raises(duckdb.Error, match="cell_line := NULL"):  # what there is to choose by
        found(tumours, "", nonsense="x")


def test_experiments_by_their_own_words_and_their_samples(
    tumours: duckdb.DuckDBPyConnection,
) -> None:
    assert found_experiments(tumours, "medulloblastoma") == ["GSE1"]
    assert found_experiments(tumours, "cerebellum wnt") == ["GSE1"]  # words of two samples
    assert found_experiments(tumours, "wnt") == ["GSE2", "GSE1"]  # half of it, a third of it
    assert found_experiments(tumours, '"group 3"') == ["GSE1"]
    assert found_experiments(tumours, '"group of"') == ["GSE3"]
    assert found_experiments(tumours, "group", organism="MUS_MUSCULUS") == ["GSE3"]


def test_facets_count_a_sample_of_two_experiments_once(tumours: duckdb.DuckDBPyConnection) -> None:
    def counted(words: str) -> dict[tuple[str, str], tuple[int, int]]:
        rows = tumours.execute("FROM facets(?)", [words]).fetchall()
        return {(facet, value): counts for facet, value, *counts in map(list, rows)}  # type: ignore[misc]

    everything = counted("")
    assert everything["organism", "HOMO_SAPIENS"] == [3, 2]
    assert everything["organism", "MUS_MUSCULUS"] == [2, 2]
    assert everything["technology", "RNA-SEQ"] == [3, 2]
    assert everything["sex", "female"] == [1, 1]
    assert {facet for facet, _ in everything} == {*FILTERS} - {"specimen_part", "cell_line"}
    assert counted("wnt")["organism", "HOMO_SAPIENS"] == [1, 2]
    assert counted("nothing of the kind") == {}


def test_every_macro_says_what_it_is_for(tumours: duckdb.DuckDBPyConnection) -> None:
    names = tumours.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE NOT internal"
    )
    assert {name for (name,) in names.fetchall()} == {macro.name for macro in SEARCH_MACROS}
    assert all(macro.meaning.endswith(".") for macro in SEARCH_MACROS)


def test_nothing_temporary_is_left(tumours: duckdb.DuckDBPyConnection) -> None:
    names = tumours.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
    assert names == []


# --- against a search in Python -------------------------------------------------------

WORDS = (
    "cell",
    "cells",
    "Tumour",
    "tumours",
    "TGF-β1",
    "mcf_7",
    "mcf7",
    "7",
    "é",
    "analysis",
    "gas",
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


def folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    return plain.lower().replace("β", "beta")


def stem(word: str) -> str:
    if len(word) < 4 or re.search(r"\d", word) or not word.endswith("s"):
        return word
    return word if word.endswith(("us", "ss", "is")) else word[:-1]


def counts(text: str | None, weight: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for term in re.findall(r"[^\W_]+(?:[-_][^\W_]+)*", folded(text or "")):
        pieces = re.split("[-_]", term)
        for piece in (*pieces, *(["".join(pieces)] if len(pieces) > 1 else [])):
            found[stem(piece)] += weight
    return found


def bm25(documents: dict[str, Counter[str]], word: str) -> dict[str, float]:
    documents = {name: document for name, document in documents.items() if document}
    having = [name for name, document in documents.items() if document[word]]
    mean = sum(map(Counter.total, documents.values())) / max(len(documents), 1)
    rarity = math.log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5))
    return {
        name: rarity * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * documents[name].total() / mean))
        for name in having
        if (n := documents[name][word])
    }


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    experiments=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3),
    samples=st.lists(st.tuples(st.integers(0, 2), TEXTS, TEXTS, TEXTS), min_size=1, max_size=6),
    asked=st.lists(st.sampled_from(("cell", "tumour", "7", "e", "tgf", "gas")), min_size=1)
    .map(dict.fromkeys)
    .map(list),
)
def test_hits_and_scores(
    experiments: list[tuple[str, str]],
    samples: list[tuple[int, str, str, str]],
    asked: list[str],
) -> None:
    owner = {f"S{i}": f"X{each[0] % len(experiments)}" for i, each in enumerate(samples)}
    own = {
        f"X{i}": counts(f"X{i}", 3) + counts(title, 3) + counts(text, 1)
        for i, (title, text) in enumerate(experiments)
    }
    documents = {
        f"S{i}": counts(f"S{i}", 3) + counts(title, 3) + counts(field, 2) + counts(value, 1)
        for i, (_, title, field, value) in enumerate(samples)
    }
    expected: dict[str, float] = dict.fromkeys(documents, 0.0)
    for word in asked:
        of_sample, of_experiment = bm25(documents, word), bm25(own, word)
        for name in [*expected]:
            if name not in of_sample and owner[name] not in of_experiment:
                del expected[name]
                continue
            expected[name] += of_sample.get(name, 0) + 0.5 * of_experiment.get(owner[name], 0)
    with catalogue(
        [
            {"experiment": f"X{i}", "title": title, "description": text}
            for i, (title, text) in enumerate(experiments)
        ],
        [
            {"experiment": owner[f"S{i}"], "sample": f"S{i}", "title": title, "disease": field}
            for i, (_, title, field, _) in enumerate(samples)
        ],
        [
            {"experiment": owner[f"S{i}"], "sample": f"S{i}", "position": 0, "value": value}
            for i, (*_, value) in enumerate(samples)
        ],
    ) as database:
        rows = database.execute(
            "SELECT sample, score FROM search_samples(?)", [" ".join(asked)]
        ).fetchall()
    assert dict(rows) == pytest.approx(expected, abs=1e-3)
    assert [score for _, score in rows] == sorted((score for _, score in rows), reverse=True)
