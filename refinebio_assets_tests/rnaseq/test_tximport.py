"""Gene-level estimates: against R's tximport, against the formulas in plain loops, and refusals.

The tolerance is 1e-9 relative everywhere: both sides add the same float64 numbers in
another order, which moves a result by about 1e-15 per thousand terms.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidQuantification, InvalidReference
from refinebio_assets.rnaseq.tximport import (
    GeneQuantification,
    Matrix,
    find_quant_files,
    gene_level,
    read_gene_map,
    write_tsv,
)
from refinebio_assets_tests.conftest import shared_data

HEADER = "Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
R_EXAMPLES = Path("/usr/lib/R/site-library/IsoformSwitchAnalyzeR/extdata")

Row = tuple[str, int, float, float, float]  # name, length, effective length, TPM, reads


def write_quant(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def a_map(**genes: str) -> pl.DataFrame:
    return pl.DataFrame({"transcript": list(genes), "gene": list(genes.values())})


def assert_close(ours: Matrix, wanted: Matrix) -> None:
    np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=0)


def arrays_of(quantification: GeneQuantification) -> dict[str, Matrix]:
    return {
        "no.abundance": quantification.abundance,
        "no.counts": quantification.counts,
        "no.length": quantification.length,
        "scaledTPM.counts": quantification.scaled_tpm(),
        "lengthScaledTPM.counts": quantification.length_scaled_tpm(),
    }


def assert_equals_r(quantification: GeneQuantification, folder: Path, suffix: str) -> None:
    """Compare with R's five tables, by gene: R's order of genes depends on its locale."""
    for name, ours in arrays_of(quantification).items():
        table = pl.read_csv(folder / f"tximport.{name}{suffix}", separator="\t", infer_schema=False)
        table = table.sort(table.columns[0])
        assert table.columns[1:] == quantification.samples
        assert table.to_series(0).to_list() == quantification.genes
        assert_close(ours, table[:, 1:].cast(pl.Float64).to_numpy())


# --- against R ------------------------------------------------------------------------


def test_real_yeast_runs_equal_the_stored_result_of_r() -> None:
    folder = shared_data("salmon/yeast")
    quantification = gene_level(
        find_quant_files(folder), read_gene_map(folder / "tx2gene.tsv"), threads=2
    )
    assert len(quantification.samples) == 9
    assert quantification.unmapped_transcripts == 0
    missing = quantification.abundance == 0
    assert missing.all(axis=1).any()  # so that both ways to fill a length are met
    assert (missing.any(axis=1) & ~missing.all(axis=1)).any()
    assert_equals_r(quantification, folder / "R-tximport", ".tsv.gz")


R_SCRIPT = """
arguments <- commandArgs(TRUE)  # the gene map, the result folder, then the samples
folder <- arguments[2]
files <- setNames(arguments[-(1:2)], basename(dirname(arguments[-(1:2)])))
suppressMessages(library(tximport))
genes <- read.delim(arguments[1], header = FALSE, colClasses = "character", quote = "")
for (how in c("no", "scaledTPM", "lengthScaledTPM")) {
  result <- suppressMessages(tximport(files, type = "salmon", tx2gene = genes,
    countsFromAbundance = how, dropInfReps = TRUE,
    importer = function(x) read.delim(x, quote = "", comment.char = "")))
  for (what in if (how == "no") c("abundance", "counts", "length") else "counts") {
    table <- result[[what]]
    table[] <- sprintf("%.17g", table)
    write.table(table, file.path(folder, sprintf("tximport.%s.%s.tsv", how, what)),
      sep = "\\t", quote = FALSE, col.names = NA)
  }
}
"""


def has_tximport() -> bool:
    if shutil.which("Rscript") is None:
        return False
    check = ["Rscript", "-e", "library(tximport)"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def live_r() -> None:
    if not has_tximport():
        pytest.skip("R has no package tximport")


needs_rscript = pytest.mark.skipif(shutil.which("Rscript") is None, reason="no Rscript")


def run_tximport(gene_map: Path, files: Mapping[str, Path], result: Path) -> Path:
    result.mkdir()
    script = result / "tximport.R"
    script.write_text(R_SCRIPT)
    subprocess.run(
        ["Rscript", script, gene_map, result, *files.values()],
        check=True,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        capture_output=True,
    )
    return result


def generated_rows(rng: np.random.Generator, names: list[str]) -> list[Row]:
    tpm = rng.lognormal(1, 2, len(names)) * (rng.random(len(names)) < 0.4)
    length = rng.integers(50, 9000, len(names))
    effective = np.maximum(1, length - rng.normal(180, 40, len(names)))
    reads = tpm * effective / 700
    return [
        (name, int(n), round(float(e), 3), round(float(a), 6), round(float(c), 3))
        for name, n, e, a, c in zip(names, length, effective, tpm, reads, strict=True)
    ]


@needs_rscript
@pytest.mark.usefixtures("live_r")
def test_generated_samples_equal_r_run_now(tmp_path: Path) -> None:
    rng = np.random.default_rng(20151230)
    names = [f"T{number}.{rng.integers(1, 5)}" for number in range(600)]
    files = {
        f"s{number}": write_quant(tmp_path / f"in/s{number}/quant.sf", generated_rows(rng, names))
        for number in range(4)
    }
    # Some transcripts are missing from the map, one is there twice, some are not quantified.
    lines = [f"{name}\tg-{rng.integers(200)}" for name in names[20:]]
    lines += [f"{names[30]}\tsecond", "X1\tunseen"]
    gene_map = tmp_path / "map.tsv"
    gene_map.write_text("\n".join(lines) + "\n")

    result = run_tximport(gene_map, files, tmp_path / "out")
    quantification = gene_level(files, read_gene_map(gene_map))
    assert quantification.unmapped_transcripts == 20
    assert (quantification.abundance == 0).all(axis=1).any()
    assert_equals_r(quantification, result, ".tsv")
    with (result / "tximport.no.counts.tsv").open() as table:  # R sorts so in the C locale
        assert [line.split("\t")[0] for line in table][1:] == quantification.genes


@needs_rscript
@pytest.mark.usefixtures("live_r")
@pytest.mark.skipif(not R_EXAMPLES.is_dir(), reason="IsoformSwitchAnalyzeR is not installed")
def test_human_example_runs_equal_r_run_now(tmp_path: Path) -> None:
    files = find_quant_files(R_EXAMPLES)
    assert len(files) == 6
    with gzip.open(R_EXAMPLES / "example.gtf.gz", "rt") as gtf:
        pairs = re.findall(r'transcript_id "([^"]+)"; gene_id "([^"]+)"', gtf.read())
    gene_map = tmp_path / "map.tsv"
    gene_map.write_text("".join(f"{t}\t{g}\n" for t, g in dict.fromkeys(pairs)))
    result = run_tximport(gene_map, files, tmp_path / "out")
    quantification = gene_level(files, read_gene_map(gene_map))
    assert_equals_r(quantification, result, ".tsv")


# --- against the formulas -------------------------------------------------------------


def restated(
    tables: Mapping[str, Sequence[Row]], gene_of: Mapping[str, str]
) -> tuple[list[str], dict[str, list[list[float]]]]:
    """The definition in loops, one gene and one sample at a time."""
    genes = sorted({gene_of[row[0]] for row in next(iter(tables.values())) if row[0] in gene_of})
    result: dict[str, list[list[float]]] = {
        "no.abundance": [],
        "no.counts": [],
        "no.length": [],
        "lengthScaledTPM.counts": [],
    }
    for gene in genes:
        mine = [[row for row in rows if gene_of.get(row[0]) == gene] for rows in tables.values()]
        abundance = [math.fsum(tpm for *_, tpm, _ in rows) for rows in mine]
        weighted = [math.fsum(tpm * length for *_, length, tpm, _ in rows) for rows in mine]
        known = [w / a for w, a in zip(weighted, abundance, strict=True) if a > 0]
        if not known:
            every = [length for rows in mine for *_, length, _, _ in rows]
            filler = math.fsum(every) / len(every)
        elif 0.0 in known:
            filler = 0.0
        else:
            filler = math.exp(math.fsum(map(math.log, known)) / len(known))
        length = [w / a if a > 0 else filler for w, a in zip(weighted, abundance, strict=True)]
        mean_length = math.fsum(length) / len(length)
        result["no.abundance"].append(abundance)
        result["no.counts"].append([math.fsum(reads for *_, reads in rows) for rows in mine])
        result["no.length"].append(length)
        result["lengthScaledTPM.counts"].append([a * mean_length for a in abundance])
    result["scaledTPM.counts"] = [list(row) for row in result["no.abundance"]]
    for name in ("scaledTPM.counts", "lengthScaledTPM.counts"):
        for sample in range(len(tables)):
            wanted = math.fsum(row[sample] for row in result["no.counts"])
            found = math.fsum(row[sample] for row in result[name])
            for row in result[name]:
                row[sample] *= wanted / found if found > 0 else 0.0
    return genes, result


def decimal(low: float, high: float, digits: int) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda number: round(number, digits))


@st.composite
def experiments(draw: st.DrawFn) -> tuple[dict[str, list[Row]], dict[str, str]]:
    transcripts = draw(st.lists(st.sampled_from("abcdefghijkl"), min_size=1, unique=True))
    gene = st.sampled_from(["G10", "G2", "g1", "é", "G-1", None])
    drawn = {name: draw(gene) for name in transcripts}
    gene_of = {name: of for name, of in drawn.items() if of is not None} or {transcripts[0]: "G"}
    positive = decimal(1, 50_000, 6)
    silent = draw(st.sets(st.sampled_from(transcripts)))  # in every sample

    def row(name: str) -> Row:
        effective = draw(st.one_of(decimal(1, 5000, 3), st.just(0.0)))
        expressed = name not in silent and draw(st.booleans())
        tpm, reads = (draw(positive), draw(positive)) if expressed else (0.0, 0.0)
        return name, 1000, effective, tpm, reads

    count = draw(st.integers(1, 4))
    return {f"s{n}": [row(name) for name in transcripts] for n in range(count)}, gene_of


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(experiments(), st.integers(1, 3))
def test_generated_experiments_follow_the_formulas(
    experiment: tuple[dict[str, list[Row]], dict[str, str]], threads: int
) -> None:
    tables, gene_of = experiment
    with tempfile.TemporaryDirectory() as folder:
        files = {
            sample: write_quant(Path(folder) / f"{sample}_quant.sf", rows)
            for sample, rows in tables.items()
        }
        quantification = gene_level(files, a_map(**gene_of), threads=threads)
    genes, wanted = restated(tables, gene_of)
    assert quantification.genes == genes
    assert quantification.samples == list(tables)
    for name, ours in arrays_of(quantification).items():
        assert ours.flags.c_contiguous
        assert ours.dtype == np.float64
        assert_close(ours, np.array(wanted[name]))


def test_values_are_the_same_bits_with_any_number_of_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = [f"T{number}" for number in range(300)]
    files = {
        f"s{n}": write_quant(tmp_path / f"s{n}_quant.sf", generated_rows(rng, names))
        for n in range(7)
    }
    gene_map = a_map(**{name: f"g{index // 3}" for index, name in enumerate(names)})
    alone = arrays_of(gene_level(files, gene_map, threads=1))
    for name, ours in arrays_of(gene_level(files, gene_map, threads=8)).items():
        assert np.array_equal(ours, alone[name])


def test_the_order_of_the_samples_is_kept(tmp_path: Path) -> None:
    files = {
        name: write_quant(tmp_path / f"{name}.sf", [("a", 9, 5, tpm, tpm)])
        for name, tpm in (("z", 1.0), ("a", 2.0), ("m", 3.0))
    }
    quantification = gene_level(files, a_map(a="G"))
    assert quantification.samples == ["z", "a", "m"]
    assert quantification.abundance.tolist() == [[1, 2, 3]]


def test_a_sample_without_reads_stays_zero(tmp_path: Path) -> None:
    files = {
        "full": write_quant(tmp_path / "1", [("a", 9, 5, 1, 10), ("b", 9, 7, 3, 30)]),
        "empty": write_quant(tmp_path / "2", [("a", 9, 5, 0, 0), ("b", 9, 7, 0, 0)]),
    }
    quantification = gene_level(files, a_map(a="G", b="H"))
    assert quantification.scaled_tpm()[:, 1].tolist() == [0, 0]
    assert quantification.length_scaled_tpm()[:, 1].tolist() == [0, 0]
    assert_close(quantification.length, np.array([[5.0, 5.0], [7.0, 7.0]]))


# --- transcript names -----------------------------------------------------------------


def counts_by_gene(
    tmp_path: Path, transcripts: Sequence[str], gene_map: pl.DataFrame, *, ignore: bool
) -> tuple[dict[str, float], int]:
    rows: list[Row] = [(name, 9, 5, 1, 10**n) for n, name in enumerate(transcripts)]
    path = write_quant(tmp_path / "quant.sf", rows)
    quantification = gene_level({"s": path}, gene_map, ignore_transcript_version=ignore)
    counts = quantification.counts[:, 0].tolist()
    return dict(zip(quantification.genes, counts, strict=True)), quantification.unmapped_transcripts


def test_versions_are_part_of_a_name_unless_ignored(tmp_path: Path) -> None:
    names = ["A.1", "B.2", "C.3"]
    gene_map = pl.DataFrame({"transcript": ["A", "B.7", "C.3"], "gene": ["a", "b", "c"]})
    strict = counts_by_gene(tmp_path, names, gene_map, ignore=False)
    assert strict == ({"c": 100}, 2)
    relaxed = counts_by_gene(tmp_path, names, gene_map, ignore=True)
    assert relaxed == ({"a": 1, "b": 10, "c": 100}, 0)


def test_a_name_that_is_not_one_gene_without_its_version_stays_unmapped(tmp_path: Path) -> None:
    gene_map = pl.DataFrame({"transcript": ["F12.1", "F12.2", "Y"], "gene": ["x", "y", "z"]})
    names = ["F12.1", "F12.2", "F12.3", "Y.1"]
    found = counts_by_gene(tmp_path, names, gene_map, ignore=True)
    assert found == ({"x": 1, "y": 10, "z": 1000}, 1)


def test_no_transcript_in_the_map_shows_examples_of_both(tmp_path: Path) -> None:
    path = write_quant(tmp_path / "quant.sf", [(f"t{n}.1", 9, 5, 1, 1) for n in range(5)])
    with pytest.raises(InvalidReference, match=r"t0\.1, t1\.1, t2\.1, ….*u1, u2, u3, …"):
        gene_level({"s": path}, a_map(u1="a", u2="a", u3="a", u4="a"))


def test_a_map_without_the_columns_is_refused(tmp_path: Path) -> None:
    path = write_quant(tmp_path / "quant.sf", [("a", 9, 5, 1, 1)])
    with pytest.raises(InvalidReference, match="column"):
        gene_level({"s": path}, pl.DataFrame({"tx": ["a"], "gene": ["g"]}))


# --- samples that do not fit together -------------------------------------------------


def test_no_file_is_refused() -> None:
    with pytest.raises(InvalidQuantification, match=r"No quant\.sf"):
        gene_level({}, a_map(a="g"))


@pytest.mark.parametrize(
    "other", [["b", "a", "c"], ["a", "b"], ["a", "b", "c", "d"], ["a", "b", "x"]]
)
def test_other_transcripts_name_both_samples(tmp_path: Path, other: list[str]) -> None:
    lists = {"one": ["a", "b", "c"], "two": ["a", "b", "c"], "odd": other}
    files = {
        sample: write_quant(tmp_path / sample / "quant.sf", [(t, 9, 5, 1, 1) for t in transcripts])
        for sample, transcripts in lists.items()
    }
    with pytest.raises(InvalidQuantification, match="one and odd were made with different ind"):
        gene_level(files, a_map(a="g"))


# --- damaged quant.sf -----------------------------------------------------------------

GOOD = HEADER + "a\t900\t700.5\t1.5\t3\nb\t800\t600.25\t0\t0\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (HEADER, "no transcript"),
        (HEADER.rstrip("\n"), "no transcript"),
        (HEADER.replace("TPM", "FPKM") + "a\t9\t5\t1\t1\n", "header"),
        (HEADER.replace("\n", "\tMore\n") + "a\t9\t5\t1\t1\t1\n", "header"),
        (HEADER.replace("\t", ",") + "a,9,5,1,1\n", "header"),
        (HEADER.replace("\n", "\r\n") + "a\t9\t5\t1\t1\r\n", "header"),
        ("a\t9\t5\t1\t1\n", "header"),
        ("<!DOCTYPE html>\n<html></html>\n", "header"),
        (GOOD.rstrip("\n"), "truncated"),
        (GOOD + "c\t90", "truncated"),
        (GOOD + "c\t900\t700\n", "Line 4 .* has no TPM"),
        (GOOD + "\n", "Line 4 .* has no Name"),
        (GOOD + "\t900\t700\t1\t1\n", "Line 4 .* has no Name"),
        (GOOD + "c\t900\t\t1\t1\n", "Line 4 .* has no EffectiveLength"),
        (GOOD + "c\t900\t700\t1\t1\t1\n", "malformed"),
        (GOOD + "c\t900\tNA\t1\t1\n", "malformed"),
        (GOOD + "c\tlong\t700\t1\t1\n", "malformed"),
        (GOOD + "c\t900\t700\t-1\t1\n", r"TPM of c as -1\.0"),
        (GOOD + "c\t900\t700\t1\t-0.001\n", r"NumReads of c as -0\.001"),
        (GOOD + "c\t900\t-700\t1\t1\n", "EffectiveLength of c"),
        (GOOD + "c\t-9\t700\t1\t1\n", "Length of c"),
        (GOOD + "c\t900\t700\tnan\t1\n", "TPM of c as nan"),
        (GOOD + "c\t900\t700\t1\tinf\n", "NumReads of c as inf"),
        (GOOD + "c\t900\t1e999\t1\t1\n", "EffectiveLength of c as inf"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_named(
    tmp_path: Path, content: str, message: str, compressed: bool
) -> None:
    good = write_quant(tmp_path / "good.sf", [("a", 900, 700, 1.0, 3), ("b", 800, 600, 0.0, 0)])
    bad = tmp_path / "bad.sf"
    bad.write_bytes(gzip.compress(content.encode()) if compressed else content.encode())
    for files in ({"bad": bad}, {"good": good, "bad": bad}):
        with pytest.raises(InvalidQuantification, match=message) as caught:
            gene_level(files, a_map(a="g", b="g"))
        assert str(bad) in caught.value.message


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "quant.sf"
    path.write_bytes(GOOD.encode() + b"c\xff\t900\t700\t1\t1\n")
    with pytest.raises(InvalidQuantification, match="malformed"):
        gene_level({"s": path}, a_map(a="g"))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.sf", tmp_path):
        with pytest.raises(InvalidQuantification, match=re.escape(str(path))):
            gene_level({"s": path}, a_map(a="g"))


def test_every_truncation_of_a_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(GOOD.encode(), mtime=0)
    path = tmp_path / "quant.sf.gz"
    path.write_bytes(whole)
    assert gene_level({"s": path}, a_map(a="g")).counts.tolist() == [[3]]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(InvalidQuantification):
            gene_level({"s": path}, a_map(a="g"))
    path.write_bytes(whole[:10] + b"\xff\xff\xff\xff" + whole[14:])
    with pytest.raises(InvalidQuantification, match="cannot be read"):
        gene_level({"s": path}, a_map(a="g"))


def test_every_truncation_of_a_plain_file_is_refused_except_between_lines(tmp_path: Path) -> None:
    path = tmp_path / "quant.sf"
    for size in range(len(GOOD)):
        path.write_text(GOOD[:size])
        if GOOD[:size].count("\n") >= 2 and GOOD[:size].endswith("\n"):
            continue  # only the other samples tell: test_other_transcripts_name_both_samples
        with pytest.raises(InvalidQuantification):
            gene_level({"s": path}, a_map(a="g"))


# --- the gene map ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "t1\tg1\nt2\tg2\n",
        "t1\tg1\nt2\tg2",
        "t1\tg1\nt2\tg2\n\n",
        "t1\tg1\r\nt2\tg2\r\n",
        "t1,g1\nt2,g2\n",
        '"TXNAME","GENEID"\n"t1","g1"\n"t2","g2"\n',
        "transcript\tgene\nt1\tg1\nt2\tg2\n",
        "transcript_id\tgene_id\tgene_name\nt1\tg1\tX\nt2\tg2\tY\n",
        "Transcript stable ID,Gene stable ID\nt1,g1\nt2,g2\n",
        "target_id\tlocus\nt1\tg1\nt2\tg2\n",
        "Name\tgene symbol\nt1\tg1\nt2\tg2\n",
        "gene_id\ttranscript_id\ng1\tt1\ng2\tt2\n",
        "t1\tg1\tprotein_coding\nt2\tg2\tlncRNA\nt1\tlater\tlncRNA\n",
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_gene_map_forms(tmp_path: Path, content: str, compressed: bool) -> None:
    path = tmp_path / "map"
    path.write_bytes(gzip.compress(content.encode()) if compressed else content.encode())
    table = read_gene_map(path)
    assert table.columns == ["transcript", "gene"]
    assert table.rows() == [("t1", "g1"), ("t2", "g2")]


def test_numbers_as_identifiers_stay_text_and_symbols_are_no_header(tmp_path: Path) -> None:
    path = tmp_path / "map.tsv"
    path.write_text("007\ttx\n1e3\tgene\n")  # `tx` is a gene of the fruit fly
    assert read_gene_map(path).rows() == [("007", "tx"), ("1e3", "gene")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "two columns"),
        (b"t1\nt2\n", "two columns"),
        (b"t1\tg1\nt2\n", "Row 2 .* lacks"),
        (b"t1\tg1\n\tg2\n", "Row 2 .* lacks"),
        (b"t1\tg1\nt2\tg2\tmore\n", "malformed"),
        (b"t1\tg\xff\n", "malformed"),
        (b"transcript\tgene\n", "no transcript"),
        (b"gene_id\tgene_name\ng1\tX\n", "not transcript and gene"),
        (b"transcript_id\ttranscript_name\nt1\tX\n", "not transcript and gene"),
        (gzip.compress(b"t1\tg1\n")[:-9], "cannot be read"),
    ],
)
def test_a_malformed_gene_map_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "map.tsv"
    path.write_bytes(content)
    with pytest.raises(InvalidReference, match=message) as caught:
        read_gene_map(path)
    assert str(path) in caught.value.message


def test_a_missing_gene_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidReference, match="cannot be read"):
        read_gene_map(tmp_path / "none.tsv")


# --- finding the files ----------------------------------------------------------------


def test_quant_files_are_found_in_both_layouts(tmp_path: Path) -> None:
    wanted = {
        "A": tmp_path / "A/quant.sf",
        "B": tmp_path / "B_quant.sf.gz",
        "a": tmp_path / "a_quant.sf",
        "b": tmp_path / "b/quant.sf.gz",
    }
    others = ["c/other.sf", ".hidden/quant.sf", "_quant.sf", "d/e/quant.sf", "quant.sf"]
    for path in (*reversed(wanted.values()), *(tmp_path / name for name in others)):
        write_quant(path, [])
    found = find_quant_files(tmp_path)
    assert found == wanted
    assert list(found) == ["A", "B", "a", "b"]


@pytest.mark.parametrize("second", ["s_quant.sf", "s_quant.sf.gz", "s/quant.sf.gz"])
def test_two_quantifications_of_one_sample_are_refused(tmp_path: Path, second: str) -> None:
    write_quant(tmp_path / "s/quant.sf", [])
    write_quant(tmp_path / second, [])
    with pytest.raises(InvalidQuantification, match="Sample s has two"):
        find_quant_files(tmp_path)


def test_a_folder_without_quantifications_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidQuantification, match="neither"):
        find_quant_files(tmp_path)
    with pytest.raises(InvalidQuantification, match="no folder"):
        find_quant_files(tmp_path / "none")


# --- the written matrix ---------------------------------------------------------------


def read_tsv(path: Path) -> tuple[list[str], list[str], Matrix]:
    header, *lines = path.read_text().splitlines()
    cells = [line.split("\t") for line in lines]
    values = np.array([[float(cell) for cell in row[1:]] for row in cells])
    return header.split("\t"), [row[0] for row in cells], values


def test_a_written_matrix_reads_back_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinebio_assets.rnaseq.tximport.CELLS_PER_BLOCK", 7)
    rng = np.random.default_rng(8)
    matrix = rng.lognormal(0, 20, (50, 3))
    matrix[:4, 0] = [0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]
    genes = [f'g"{number}' for number in range(50)]
    path = tmp_path / "matrix.tsv"
    path.write_text("an older one")
    write_tsv(path, genes, ["s1", "Gene", "0"], matrix)
    header, rows, values = read_tsv(path)
    assert header == ["Gene", "s1", "Gene", "0"]
    assert rows == genes
    assert np.array_equal(values, matrix)
    assert [entry.name for entry in tmp_path.iterdir()] == ["matrix.tsv"]


def test_a_failed_write_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "matrix.tsv"
    path.write_text("an older one")
    monkeypatch.setattr("refinebio_assets.rnaseq.tximport._write_rows", fail)
    with pytest.raises(OSError, match="No space"):
        write_tsv(path, ["g"], ["s"], np.zeros((1, 1)))
    assert path.read_text() == "an older one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["matrix.tsv"]


def test_a_matrix_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "matrix.tsv"
    with pytest.raises(ValueError, match="1 genes, 2 samples"):
        write_tsv(path, ["g"], ["s", "t"], np.zeros((2, 1)))
    for genes, samples in ((["g\t"], ["s"]), (["g"], ["s\n"])):
        with pytest.raises(ValueError, match="tab or line break"):
            write_tsv(path, genes, samples, np.zeros((1, 1)))
    assert not path.exists()
