# ruff: noqa: S608 — the SQL is put together here, from nothing a user wrote
"""How long does it take to make the catalogue searchable, and to search it?

Made-up experiments and samples with the texture of public ones: words by Zipf's law, titles
with numbers that occur once, attributes whose values are shared by many samples, a third of the
samples in a second experiment (GEO's SuperSeries). Then the search is built into the catalogue
as `warehouse` builds it, under its memory limit, and asked, each question in a fresh process and
once more in the same one.

    python benchmarks/search_at_scale.py                        # 100,000 samples
    python benchmarks/search_at_scale.py --samples 1000000
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from refinebio_assets.resources.warehouse_search import make_searchable
from refinebio_assets.tables import EXPERIMENTS, SAMPLES, Table

QUESTIONS = {
    "a word of few": "FROM search_samples('w9000') LIMIT 20",
    "a word of a tenth": "FROM search_samples('w900') LIMIT 20",
    "a word of most": "FROM search_samples('w9') LIMIT 20",
    "two words": "FROM search_samples('w9 w30') LIMIT 20",
    "five common words": "FROM search_samples('w2 w3 w4 w5 w6') LIMIT 20",
    "words and filters": "FROM search_samples('w30', organism := 'MUS_MUSCULUS', "
    "technology := 'RNA-SEQ') LIMIT 20",
    "the beginning of words": "FROM search_samples('w12*') LIMIT 20",
    "a phrase": "FROM search_samples('\"w3000 w900\"') LIMIT 20",
    "no word, filters": "FROM search_samples('', sex := 'female') LIMIT 20",
    "all hits counted": "SELECT count(*) FROM search_samples('w9')",
    "experiments": "FROM search_experiments('w30 w9') LIMIT 20",
    "facets of few": "FROM facets('w900')",
    "facets of many": "FROM facets('w30 w9')",
    "facets of everything": "FROM facets('')",
}


def made_up(samples: int) -> list[str]:
    """Statements that make the tables that the search reads."""
    experiments = max(1, samples // 25)

    def word(salt: str) -> str:  # by Zipf: the logarithm of its rank is evenly spread
        return f"'w' || floor(exp(11 * random()) + 0 * ({salt}))::INTEGER"

    def words(most: int, salt: str) -> str:
        drawn = f"list_transform(range(1 + (random() * {most})::INTEGER), lambda i: {word('i')})"
        return f"array_to_string({drawn}, ' ') || left('', ({salt})::INTEGER % 2)"

    def nothing(table: Table, given: dict[str, str]) -> str:
        return ", ".join(
            f"({given.get(column.name, 'NULL')})::{column.type} AS {column.name}"
            for column in table.columns
        )

    about_experiments = {
        "experiment": "printf('GSE%07d', n)",
        "source_database": "'GEO'",
        "title": words(12, "n"),
        "description": words(200, "n"),
        "technology": "if(n % 2 = 0, 'RNA-SEQ', 'MICROARRAY')",
    }
    fields = ("specimen_part", "disease", "cell_line", "treatment")
    about_samples = {
        "experiment": f"printf('GSE%07d', if(twice, ({experiments} * 0.9 + "
        f"n % ({experiments} * 0.1))::INTEGER, n * {experiments} // {samples}))",
        "sample": "printf('GSM%08d', n)",
        "title": f"{words(6, 'n')} || '_rep' || n",
        "organism": "['HOMO_SAPIENS', 'MUS_MUSCULUS', 'DANIO_RERIO'][1 + n % 3]",
        "source_database": "'GEO'",
        "platform": "'GPL' || n % 50",
        "platform_name": "'Array of kind ' || n % 50",
        "technology": "if(n % 2 = 0, 'RNA-SEQ', 'MICROARRAY')",
        "sex": "['female', 'male', NULL][1 + n % 3]",
        **{
            name: f"if(random() < 0.5, '{name} w' || floor(exp(7 * random()) + 0 * n)::INT, NULL)"
            for name in fields
        },
    }
    return [
        "SELECT setseed(0.5)",
        f"CREATE TABLE experiments AS SELECT {nothing(EXPERIMENTS, about_experiments)} "
        f"FROM range({experiments}) AS r(n) ORDER BY experiment",
        f"CREATE TABLE samples AS SELECT {nothing(SAMPLES, about_samples)} FROM "
        f"(SELECT n, false AS twice FROM range({samples}) AS r(n) UNION ALL "
        f"SELECT n, true FROM range({samples}) AS r(n) WHERE n % 3 = 0) ORDER BY ALL",
        f"CREATE TABLE phrases AS SELECT {words(5, 'n')} AS value "
        f"FROM range({samples // 5} + 1) AS r(n)",
        "CREATE TABLE sample_attributes AS SELECT experiment, sample, i::INTEGER AS position, "
        "'key ' || i AS key, phrases.value FROM (SELECT experiment, sample, i, floor(random() * "
        "(SELECT count(*) FROM phrases))::BIGINT AS of_phrase FROM samples, range(12) AS r(i)) "
        "JOIN phrases ON phrases.rowid = of_phrase ORDER BY ALL",
        "DROP TABLE phrases",
    ]


def asked(catalogue: str, question: str) -> dict[str, Any]:
    """Ask in this process, which is new, and again."""
    with duckdb.connect(catalogue, read_only=True) as database:
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            rows = database.execute(question).fetchall()
            seconds.append(time.perf_counter() - started)
    status = Path("/proc/self/status").read_text()
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024
    return {"seconds": seconds[0], "again": min(seconds[1:]), "rows": len(rows), "peak_mb": peak}


def build(catalogue: Path, samples: int, memory: str) -> dict[str, float]:
    """Make the catalogue; what the search costs of it."""
    with duckdb.connect(str(catalogue), config={"memory_limit": memory}) as database:
        for statement in made_up(samples):
            database.execute(statement)
        database.execute("CHECKPOINT")
    before = catalogue.stat().st_size
    with duckdb.connect(str(catalogue), config={"memory_limit": memory}) as database:
        started = time.perf_counter()
        database.begin()
        make_searchable(database)
        database.commit()
        database.execute("CHECKPOINT")
        seconds = time.perf_counter() - started
        numbers = {
            name: database.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            for name in ("samples", "sample_attributes", "search_words", "search_sample_words")
        }
    megabytes = (catalogue.stat().st_size - before) / 1e6
    return {**numbers, "tables_mb": before / 1e6, "search_mb": megabytes, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--memory", default="2GB", help="DuckDB's, while building")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="leave the catalogue here")
    parser.add_argument("--json", type=Path, metavar="PATH")
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        print(json.dumps(asked(*args.ask)))
        return
    with tempfile.TemporaryDirectory(prefix="search_at_scale.") as folder:
        catalogue = args.keep or Path(folder) / "catalogue.duckdb"
        made = build(catalogue, args.samples, args.memory)
        print("  ".join(f"{name}: {number:,.1f}" for name, number in made.items()), flush=True)
        answers = {}
        for name, question in QUESTIONS.items():
            command = [sys.executable, __file__, "--ask", str(catalogue), question]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            answers[name] = json.loads(done.stdout)
            print(f"{name:<26}", {k: round(v, 3) for k, v in answers[name].items()}, flush=True)
    if args.json:
        args.json.write_text(json.dumps({"build": made, "answers": answers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
