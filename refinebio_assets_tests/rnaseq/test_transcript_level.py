"""Transcripts side by side, held to R's tximport with `txOut = TRUE`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from refinebio_assets.errors import InvalidQuantification
from refinebio_assets.rnaseq.tximport import TranscriptQuantification, transcript_level
from refinebio_assets_tests.rnaseq.test_tximport import generated_rows, has_tximport, write_quant

R_SCRIPT = """
library(tximport)
arguments <- commandArgs(trailingOnly = TRUE)
for (how in c("no", "lengthScaledTPM")) {
  found <- tximport(arguments[-1], type = "salmon", txOut = TRUE, countsFromAbundance = how,
    dropInfReps = TRUE, importer = function(x) read.delim(x, quote = "", comment.char = ""))
  for (what in c("abundance", "counts", "length")) {
    write.table(format(found[[what]], digits = 17), file.path(arguments[1], paste0(how, what)),
      sep = "\\t", quote = FALSE, col.names = FALSE)
  }
}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(71)
    names = [f"T{number}.{rng.integers(1, 5)}" for number in range(500)]
    rng.shuffle(names)
    return {
        each: write_quant(tmp_path / each / "quant.sf", generated_rows(rng, names))
        for each in ("b", "a", "c")
    }


def read(path: Path) -> tuple[list[str], np.ndarray]:
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [row[0] for row in rows], np.array([row[1:] for row in rows], float)


def test_equals_r(files: dict[str, Path], tmp_path: Path) -> None:
    if not has_tximport():
        pytest.skip("R has no package tximport")
    script = tmp_path / "tximport.R"
    script.write_text(R_SCRIPT)
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    command = ["Rscript", script, tmp_path, *files.values()]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    found = transcript_level(files)
    assert found.samples == ["b", "a", "c"]
    assert (found.abundance == 0).any()
    for name, matrix in {
        "noabundance": found.abundance,
        "nocounts": found.counts,
        "nolength": found.length,
        "lengthScaledTPMcounts": found.length_scaled_tpm(),
    }.items():
        transcripts, expected = read(tmp_path / name)
        assert transcripts == found.transcripts
        np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-12)


def test_one_sample_alone_is_scaled_to_its_reads(files: dict[str, Path]) -> None:
    alone = transcript_level({"a": files["a"]})
    assert isinstance(alone, TranscriptQuantification)
    assert alone.length_scaled_tpm().sum() == pytest.approx(alone.counts.sum())


def test_what_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidQuantification):
        transcript_level({})
    header, first, second, *rest = files["c"].read_text().splitlines(keepends=True)
    files["c"].write_text("".join([header, second, first, *rest]))
    with pytest.raises(InvalidQuantification, match="Samples b and c were made with different"):
        transcript_level(files)
