"""The documents of compendia: refine.bio's names and fields, one folder for a genus."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from refinebio_assets.compendium import documents
from refinebio_assets.compendium.card import make_card
from refinebio_assets.compendium.documents import (
    CompendiumContents,
    RnaseqContents,
    write_compendium_documents,
    write_rnaseq_documents,
)
from refinebio_assets.compendium.rules import Rules
from refinebio_assets.publish.archive import check_names
from refinebio_assets.publish.metadata_files import (
    DatasetMetadata,
    DistributionCheck,
    sample_object,
)
from refinebio_assets.publish.readme import TargetUsed
from refinebio_assets.publish.recipe import Recipe
from refinebio_assets.publish.records import FilteredSample
from refinebio_assets_tests.compendium.example_comparison import compared
from refinebio_assets_tests.publish.example import CREATED, experiment, geo_sample, sra_sample

ORGANISM = "HOMO_SAPIENS"
DOCUMENTS = [
    "README.md",
    "LICENSE.TXT",
    "aggregated_metadata.json",
    "filtered_samples_metadata.json",
    "filtered_samples_metadata.tsv",
    f"{ORGANISM}/metadata_{ORGANISM}.tsv",
    f"{ORGANISM}/metadata_{ORGANISM}.json",
]
CONTENTS = CompendiumContents(
    organism=ORGANISM,
    software="refinebio_assets 0.1.0",
    rules=Rules(),
    genes=3,
    genes_seen=20_000,
    genes_considered=9_000,
    genes_with_low_counts=900,
    dropped_genes={"too few samples have it": 11_000, "missing in too many samples": 8_997},
    share_imputed=0.1234,
    share_zeros=0.0567,
    iterations=17,
    target=TargetUsed(ORGANISM, 4, 1000, 12_000, "ab" * 32),
    files={f"{ORGANISM}/{ORGANISM}.tsv": "expression values: 3 genes, 3 samples"},
    beside={f"{ORGANISM}.h5ad": "the same with origins"},
    references=["Ensembl 110, GRCh38"],
)


def compendium(**values: Any) -> DatasetMetadata:
    """Two arrays and a run, which is of another species of the genus; a third array is out."""
    samples = [
        geo_sample("GSM1", ("tissue", "brain"), title="first"),
        geo_sample("GSM2", ("tissue", "liver"), ("rare", "x"), title="second", age=54.0),
        sra_sample("SRR1", ("run_accession", "SRR1"), organism="HOMO_HEIDELBERGENSIS"),
    ]
    whole = DatasetMetadata(
        recipe=Recipe(
            samples={"GSE1": ("GSM1", "GSM2", "GSM3"), "SRP1": ("SRR1",)}, aggregate_by="SPECIES"
        ),
        created_at=CREATED,
        experiments=[
            experiment("GSE1", ["GSM1", "GSM2", "GSM3", "GSM9"]),
            experiment("SRP1", ["SRR1"]),
        ],
        samples=samples,
        groups={ORGANISM: ["GSM1", "GSM2", "SRR1"]},
        filtered=[FilteredSample(geo_sample("GSM3", title="third"), "GSE1", "Too few genes.")],
        check=DistributionCheck(0.0005, 0.9, None),
        compendium_version=3,
    )
    return replace(whole, **values)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


# --- normalized compendia ----------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    card = make_card("x", compared(tmp_path))
    written = write_compendium_documents(compendium(), CONTENTS, card, tmp_path / "zip")
    pictures = [f"comparability/{name}" for name in card.files()]
    assert list(written.files) == [*DOCUMENTS[:2], *pictures, *DOCUMENTS[2:]]
    assert "comparability/README.md" in pictures
    assert all(path == tmp_path / "zip" / name for name, path in written.files.items())
    files = {path for path in (tmp_path / "zip").rglob("*") if path.is_file()}
    assert files == set(written.files.values())
    check_names(written.files)
    text = (tmp_path / "zip/comparability/README.md").read_text(encoding="utf-8")
    assert text == card.files()["README.md"]


def test_the_aggregated_document(tmp_path: Path) -> None:
    write_compendium_documents(compendium(), CONTENTS, None, tmp_path)
    text = (tmp_path / "aggregated_metadata.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert text == json.dumps(found, indent=4, sort_keys=True, ensure_ascii=False) + "\n"
    samples, experiments = found.pop("samples"), found.pop("experiments")
    assert found == {
        "aggregate_by": "SPECIES",
        "compendium_version": 3,
        "created_at": "2026-11-21T10:30:05",
        "ks_pvalue": 0.9,
        "ks_statistic": 0.0005,
        "ks_warning": None,
        "num_experiments": 2,
        "num_samples": 3,
        "quant_sf_only": False,
        "quantile_normalized": True,
        "scale_by": "NONE",
    }
    assert samples == {each.accession: sample_object(each) for each in compendium().samples}
    assert experiments["GSE1"]["sample_accession_codes"] == ["GSM1", "GSM2", "GSM9"]


def test_one_table_and_one_document_for_the_whole_genus(tmp_path: Path) -> None:
    order = ["SRR1", "GSM2", "GSM1"]  # of the matrix
    write_compendium_documents(compendium(groups={ORGANISM: order}), CONTENTS, None, tmp_path)
    rows = _rows(tmp_path / ORGANISM / f"metadata_{ORGANISM}.tsv")
    assert [row["refinebio_accession_code"] for row in rows] == order
    assert [row["experiment_accession"] for row in rows] == ["SRP1", "GSE1", "GSE1"]
    assert rows[0]["refinebio_organism"] == "HOMO_HEIDELBERGENSIS"
    assert rows[1]["characteristics_ch1_tissue"] == "liver"
    text = (tmp_path / ORGANISM / f"metadata_{ORGANISM}.json").read_text()
    found = json.loads(text)
    assert text == json.dumps(found, indent=4, sort_keys=True) + "\n"
    assert found["species"] == ORGANISM
    assert [each["refinebio_accession_code"] for each in found["samples"]] == order
    assert not (tmp_path / "HOMO_HEIDELBERGENSIS").exists()
    (left_out,) = _rows(tmp_path / "filtered_samples_metadata.tsv")
    assert (left_out["refinebio_accession_code"], left_out["reason"]) == ("GSM3", "Too few genes.")


def test_the_rarest_submitted_keys_are_in_the_documents_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two samples have a tissue; `rare` and `run_accession` have one each."""
    monkeypatch.setattr(documents, "MOST_SUBMITTED", 2)
    written = write_compendium_documents(compendium(), CONTENTS, None, tmp_path)
    (row, *_) = _rows(tmp_path / ORGANISM / f"metadata_{ORGANISM}.tsv")
    submitted = [name for name in row if not name.startswith(("refinebio_", "experiment_"))]
    assert submitted == ["characteristics_ch1_rare", "characteristics_ch1_tissue"]
    (warning,) = written.warnings
    assert warning.startswith("Of 3 submitted keys the tables have the 2 that most samples have")
    assert "**Warning**: Of 3 submitted keys" in (tmp_path / "README.md").read_text()
    assert '"run_accession"' in (tmp_path / "aggregated_metadata.json").read_text()
    assert not write_compendium_documents(
        compendium(samples=compendium().samples[:1], groups={ORGANISM: ["GSM1"]}),
        CONTENTS,
        None,
        tmp_path,
    ).warnings


def _readme(folder: Path, metadata: DatasetMetadata | None = None, **contents: Any) -> str:
    told = replace(CONTENTS, **contents)
    write_compendium_documents(metadata or compendium(), told, None, folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_readme_tells_the_rules_and_the_numbers(tmp_path: Path) -> None:
    text = _readme(tmp_path)
    for words in (
        "# Normalized compendium of HOMO_SAPIENS, release 3\n",
        "3 samples (2 MICROARRAY, 1 RNA-SEQ) of 2 experiments.",
        "3 are in the matrix, 1 are left out",
        "Of 20,000 genes, the 9,000 were considered that more than 50 % of the samples have.",
        "900 genes whose sum over all of them is below percentile 10 ",
        "missing, counts of 0 among them, in more than 30 % of the samples were dropped",
        "lack more than 50 % of the genes. 3 genes stay.",
        "put back as 0 and not imputed: 5.67 % of all values.",
        "12.3 % of all values, was imputed by IterativeSVD of rank 10, in 17 iterations.",
        "quantile normalised to the organism's target",
        f"| HOMO_SAPIENS | 4 | 1000 | 12000 | `{'ab' * 32}` |",
        "| missing in too many samples | 8,997 |",
        "- Ensembl 110, GRCh38\n",
        "| 2 | zero restored | an RNA-seq count of 0 |",
        "| Too few genes. | 1 |",
        "statistic 0.0005, p-value 0.9",
        "| HOMO_HEIDELBERGENSIS | 1 |",
        "IterativeSVD: Troyanskaya",
        "Salmon: Patro",
        "SCAN: Piccolo",
    ):
        assert words in text, words
    assert text.count("SCAN: Piccolo") == 1
    assert "| 3 | missing |" not in text
    assert "What to be careful with" not in text


def test_the_readme_follows_other_rules(tmp_path: Path) -> None:
    changed = Rules(engine="none", quantile_normalize=False, gene_presence=0.25)
    recipe = replace(compendium().recipe, quantile_normalize=False)
    arrays = compendium(
        recipe=recipe, samples=compendium().samples[:2], groups={ORGANISM: ["GSM1", "GSM2"]}
    )
    text = _readme(tmp_path / "a", arrays, rules=changed, target=None)
    assert "more than 25 % of the samples" in text
    assert "Nothing was imputed: 12.3 % of all values are missing." in text
    assert "Samples were not quantile normalised." in text
    assert "| 3 | missing |" in text
    for absent in (
        "| 1 | imputed |",
        "target of",
        "Troyanskaya",
        "Bolstad",
        "log2(x + 1)",
        "Patro",
    ):
        assert absent not in text, absent
    stopped = _readme(tmp_path / "b", converged=False)
    assert "in 17 iterations, which stopped before it converged." in stopped


def test_the_readme_says_what_to_be_careful_with(tmp_path: Path) -> None:
    for shift, words in (
        (6.0, "- **technology**: Technology explains"),
        (0.0, "Nothing was found."),
    ):
        card = make_card("x", compared(tmp_path, shift))
        write_compendium_documents(compendium(), CONTENTS, card, tmp_path / str(shift))
        text = (tmp_path / str(shift) / "README.md").read_text(encoding="utf-8")
        assert words in text.split("## What to be careful with")[1]
        assert "[comparability](comparability/README.md)" in text


def test_the_ways_to_read_it_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README shows is run, on files as it names them."""
    import anndata

    text = _readme(tmp_path)
    monkeypatch.chdir(tmp_path)
    matrix = "Gene\tGSM1\tGSM2\tSRR1\ng1\t1\t2\t3\ng2\t4\t5\t6\n"
    (tmp_path / ORGANISM / f"{ORGANISM}.tsv").write_text(matrix)
    data = anndata.AnnData(np.ones((3, 2), np.float32))
    data.layers["origin"] = np.array([[0, 1], [2, 0], [1, 1]], np.uint8)
    data.write_h5ad(tmp_path / f"{ORGANISM}.h5ad")
    names: dict[str, Any] = {"pandas": pd, "anndata": anndata}
    for code in re.findall(r"```python\n(.*?)\n```", text, re.DOTALL):
        exec(code, names)  # noqa: S102  # our own
    assert names["values"].shape == (2, 3)
    assert list(names["samples"]["refinebio_accession_code"]) == list(names["values"].columns)
    assert len(names["one_organism"]) == 2
    assert names["imputed"].sum() == 3
    assert text.count("```r\n") == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"compendium_version": None},
        {"groups": {"DANIO_RERIO": ["GSM1"]}},
        {"groups": {ORGANISM: ["GSM1"], "HOMO_HEIDELBERGENSIS": ["SRR1"]}},
        {"recipe": Recipe(samples={}, aggregate_by="ALL")},
        {"recipe": Recipe(samples={}, aggregate_by="SPECIES", scale_by="STANDARD")},
        {"recipe": Recipe(samples={}, aggregate_by="SPECIES", quantile_normalize=False)},
    ],
)
def test_what_is_not_a_compendium_is_refused(tmp_path: Path, changed: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="not the metadata"):
        write_compendium_documents(compendium(**changed), CONTENTS, None, tmp_path)
    assert not list(tmp_path.iterdir())


# --- RNA-seq sample compendia ---------------------------------------------------------------


def rnaseq(**values: Any) -> DatasetMetadata:
    """SRP1 has two runs, of which one is delivered, SRP2 one, SRP3 none that is."""
    whole = DatasetMetadata(
        recipe=Recipe(
            samples={"SRP1": ("SRR1", "SRR2"), "SRP2": ("SRR3",), "SRP3": ("SRR4",)},
            aggregate_by="EXPERIMENT",
            quantile_normalize=False,
            quant_sf_only=True,
        ),
        created_at=CREATED,
        experiments=[
            experiment("SRP1", ["SRR1", "SRR2"]),
            experiment("SRP2", ["SRR3"], title="a | b"),
            experiment("SRP3", ["SRR4"]),
        ],
        samples=[sra_sample("SRR1", ("tissue", "fin")), sra_sample("SRR3")],
        groups={"SRP1": ["SRR1"], "SRP2": ["SRR3"]},
        filtered=[
            FilteredSample(sra_sample("SRR2"), "SRP1", "Its quant.sf is cut or malformed."),
            FilteredSample(sra_sample("SRR4"), "SRP3", "It has no quant.sf."),
        ],
        compendium_version=2,
    )
    return replace(whole, **values)


RNASEQ = RnaseqContents(
    "DANIO_RERIO", "refinebio_assets 0.1.0", {"Ensembl 109": 1, "Ensembl 110": 1}, ["Mind <this>."]
)


def test_files_of_rnaseq(tmp_path: Path) -> None:
    written = write_rnaseq_documents(rnaseq(), RNASEQ, tmp_path)
    assert list(written.files) == [
        *DOCUMENTS[:5],
        "SRP1/metadata_SRP1.tsv",
        "SRP2/metadata_SRP2.tsv",
    ]
    found = json.loads((tmp_path / "aggregated_metadata.json").read_text())
    samples, experiments = found.pop("samples"), found.pop("experiments")
    assert found == {
        "compendium_version": 2,
        "created_at": "2026-11-21T10:30:05",
        "num_experiments": 2,
        "num_samples": 2,
        "quant_sf_only": True,
    }
    assert (list(samples), list(experiments)) == (["SRR1", "SRR3"], ["SRP1", "SRP2"])
    assert experiments["SRP1"]["sample_accession_codes"] == ["SRR1"]
    (row,) = _rows(tmp_path / "SRP1/metadata_SRP1.tsv")
    assert (row["refinebio_accession_code"], row["tissue"]) == ("SRR1", "fin")
    assert len(_rows(tmp_path / "filtered_samples_metadata.tsv")) == 2


def test_the_readme_of_rnaseq(tmp_path: Path) -> None:
    write_rnaseq_documents(rnaseq(), RNASEQ, tmp_path)
    text = (tmp_path / "README.md").read_text()
    for words in (
        "# RNA-seq sample compendium of DANIO_RERIO, release 2\n",
        "2 samples (2 RNA-SEQ) of 2 experiments.",
        "| Ensembl 109 | 1 |",
        "Samples of different transcriptomes have different transcripts",
        "| It has no quant.sf. | 1 |",
        "**Warning**: Mind \\<this\\>.",
        "Salmon: Patro",
    ):
        assert words in text, words
    assert "Troyanskaya" not in text
    one = replace(RNASEQ, references={"Ensembl 110": 2})
    write_rnaseq_documents(rnaseq(), one, tmp_path)
    assert "different transcriptomes" not in (tmp_path / "README.md").read_text()


def test_the_ways_to_read_rnaseq_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rnaseq_documents(rnaseq(), RNASEQ, tmp_path)
    header = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
    (tmp_path / "SRP1/SRR1_quant.sf").write_text(f"{header}t1\t100\t50.5\t1.5\t3.0\n")
    monkeypatch.chdir(tmp_path)
    codes = re.findall(r"```python\n(.*?)\n```", (tmp_path / "README.md").read_text(), re.DOTALL)
    values, samples = (eval(each, {"polars": pl, "pandas": pd}) for each in codes)  # noqa: S307
    assert values["file"].to_list() == ["SRP1/SRR1_quant.sf"]
    assert samples["refinebio_accession_code"].to_list() == ["SRR1"]


def test_what_is_not_an_rnaseq_compendium_is_refused(tmp_path: Path) -> None:
    whole = rnaseq().recipe
    for changed in (
        {"compendium_version": None},
        {"recipe": replace(whole, aggregate_by="SPECIES")},
        {"recipe": replace(whole, quant_sf_only=False)},
    ):
        with pytest.raises(ValueError, match="not the metadata"):
            write_rnaseq_documents(rnaseq(**changed), RNASEQ, tmp_path)
    assert not list(tmp_path.iterdir())


def test_whole_folders_are_told_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rnaseq_documents(rnaseq(), replace(RNASEQ, whole_folders=True), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "`<EXPERIMENT>/<SAMPLE>/`" in text
    assert "_quant.sf" not in text
    (tmp_path / "SRP1/SRR1").mkdir()
    header = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
    (tmp_path / "SRP1/SRR1/quant.sf").write_text(f"{header}t1\t100\t50.5\t1.5\t3.0\n")
    monkeypatch.chdir(tmp_path)
    [code, _] = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    values = eval(code, {"polars": pl})  # noqa: S307
    assert values["file"].to_list() == ["SRP1/SRR1/quant.sf"]
