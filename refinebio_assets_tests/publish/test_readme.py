"""A README says what the dataset is; nobody's text breaks it."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from refinebio_assets.publish.metadata_files import (
    DatasetMetadata,
    DistributionCheck,
    write_metadata,
)
from refinebio_assets.publish.readme import (
    Contents,
    MatrixFile,
    TargetUsed,
    license_text,
    readme,
)
from refinebio_assets_tests.publish.example import dataset, experiment

CONTENTS = Contents(
    dataset="0123abc",
    software="refinebio_assets 0.1.0",
    matrices=[MatrixFile("GSE1/GSE1.tsv", 10, 2), MatrixFile("SRP1/SRP1.tsv", 20, 1)],
    targets=[
        TargetUsed("DANIO_RERIO", 1, 40, 9000, "ab" * 32),
        TargetUsed("HOMO_SAPIENS", 3, 60, 12000, "cd" * 32),
    ],
    references=["Homo sapiens: EnsemblMain release 110 (GRCh38)"],
    plots={"plots/distributions.svg": "Before and after."},
)


def test_what_it_tells() -> None:
    text = readme(dataset(), CONTENTS)
    for expected in (
        "# Gene-expression dataset 0123abc\n",
        "4 samples (3 MICROARRAY, 1 RNA-SEQ) of 3 experiments; DANIO_RERIO, HOMO_SAPIENS.",
        "Its newest values are of 2026-11-21T10:30:05 UTC. Made by refinebio_assets 0.1.0.",
        "| `GSE1/GSE1.tsv` | expression values: 10 genes, 2 samples |",
        "| `<EXPERIMENT>/metadata_<EXPERIMENT>.tsv` |",
        "| `filtered_samples_metadata.tsv`, `.json` |",
        "| [plots/distributions.svg](plots/distributions.svg) | Before and after. |",
        "- RNA-seq values are tximport's lengthScaledTPM, on the scale of counts.",
        "quantile normalised to its organism's target",
        "- Genes were not scaled.",
        "| Affymetrix SCAN (SCANfast, refinebio_assets 0.1.0) | 3 |",
        "| Tximport (refinebio_assets 0.1.0, salmon 1.10.1) | 1 |",
        f"| HOMO_SAPIENS | 3 | 60 | 12000 | `{'cd' * 32}` |",
        "- Homo sapiens: EnsemblMain release 110 (GRCh38)",
        "| GSE1 | 2 | Title of GSE1 |",
        "| GSE2 | 2 | Title of GSE2 |",
        "Asked for and not here: 1 sample, named in `filtered_samples_metadata.tsv`.",
        "| The file is empty. | 1 |",
        "statistic 0, p-value 1.",
        'read.delim("GSE1/GSE1.tsv", row.names = 1, check.names = FALSE)',
    ):
        assert expected in text, expected
    assert "Warning" not in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"aggregate_by": "SPECIES"}, "tximport's lengthScaledTPM, as log2(x + 1)."),
        ({"aggregate_by": "SPECIES"}, "`<SPECIES>/metadata_<SPECIES>.json`"),
        ({"aggregate_by": "ALL"}, "`ALL/metadata_ALL.tsv`"),
        ({"scale_by": "STANDARD"}, "mean 0 and standard deviation 1"),
        ({"scale_by": "MINMAX"}, "range 0 to 1"),
        ({"scale_by": "ROBUST"}, "between its quartiles"),
        ({"quantile_normalize": False}, "Samples were not quantile normalised."),
        ({"quant_sf_only": True}, "`<EXPERIMENT>/<SAMPLE>_quant.sf`"),
    ],
)
def test_the_recipe_in_words(changes: dict[str, Any], expected: str) -> None:
    assert expected in readme(dataset(**changes), CONTENTS)


def test_warnings_are_told() -> None:
    check = DistributionCheck(0.25, 0.1, "GSM1 and GSM2 differ: 0.25.")
    told = replace(CONTENTS, warnings=["Look *here*", "GSM1 and GSM2 differ: 0.25."])
    text = readme(replace(dataset(), check=check), told)
    assert text.count("- **Warning**: GSM1 and GSM2 differ: 0.25.") == 1
    assert "- **Warning**: Look \\*here\\*" in text
    assert "statistic 0.25, p-value 0.1." in text


def test_all_formats_are_told_of() -> None:
    text = readme(dataset(formats=("tsv", "parquet", "h5ad")), CONTENTS)
    assert "| `GSE1/GSE1.tsv`, `.parquet`, `.h5ad` | expression values: 10 genes" in text
    assert 'polars.read_parquet("GSE1/GSE1.parquet")' in text
    assert 'anndata.read_h5ad("GSE1/GSE1.h5ad")' in text
    assert "h5ad" not in readme(dataset(), CONTENTS)


def test_nothing_left_out_nothing_checked() -> None:
    text = readme(replace(dataset(), filtered=(), check=None), CONTENTS)
    assert "## Left out" not in text
    assert "## Checks" not in text
    assert "filtered_samples" not in text


def test_submitted_values_are_told_of() -> None:
    plain = dataset()
    submitted = replace(plain.samples[0], processed=False)
    text = readme(replace(plain, samples=[submitted, *plain.samples[1:]]), CONTENTS)
    assert "Of 1 sample " in text
    assert "Of 1 sample " not in readme(plain, CONTENTS)


def _with_title(title: str) -> DatasetMetadata:
    return replace(dataset(), experiments=[experiment("GSE1", ["GSM1"], title=title)])


@pytest.mark.parametrize("title", ["a | b", "a\n\n# b", "![x](http://y)", "<script>", "`a`", "a\\"])
def test_a_title_stays_in_its_cell(title: str) -> None:
    text = readme(_with_title(title), CONTENTS)
    (row,) = [line for line in text.split("\n") if line.startswith("| GSE1 |")]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 4
    assert not re.search(r"(?<!\\)[<`\[]", row)


def test_many_and_long_titles_are_cut() -> None:
    many = [experiment(f"GSE{number}", [], title="t" * 1000) for number in range(300)]
    text = readme(replace(dataset(), experiments=many), CONTENTS)
    assert "… and 250 more" in text
    assert len(text) < 20_000


def test_the_ways_to_read_it_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README shows is run, on a table that has quotation marks and apostrophes."""
    plain = dataset("ALL")
    odd = [replace(each, title=f'5\'-"{each.accession}"\tx') for each in plain.samples]
    written = replace(plain, samples=odd)
    write_metadata(written, tmp_path)
    text = readme(written, replace(CONTENTS, matrices=[]))
    monkeypatch.chdir(tmp_path)
    (question,) = re.findall(r"```sql\n(.*)  -- DuckDB\n", text)
    assert len(duckdb.sql(question).fetchall()) == 4
    (call,) = re.findall(r"```python\n(polars.*)\n```", text)
    frame = eval(call, {"polars": pl})  # noqa: S307  # our own
    with (tmp_path / "ALL/metadata_ALL.tsv").open(encoding="utf-8", newline="") as file:
        expected = [row["refinebio_title"] for row in csv.DictReader(file, delimiter="\t")]
    assert frame["refinebio_title"].to_list() == expected
    assert expected[0] == '5\'-"GSM2" x'


def test_the_licence() -> None:
    assert "aggregated_metadata.json" in license_text()
    assert license_text("Mine.\n\n") == "Mine.\n"
