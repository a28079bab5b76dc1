"""Which of a person's files are of one run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import UnsupportedRawFile
from refinebio_assets.rnaseq.pairing import RunFiles, assign_mates, runs_of


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/x_2.fq.gz", "a/x_1.fq.gz"], [("x", ["a/x_2.fq.gz", "a/x_1.fq.gz"])]),
        (["x_R1_001.fastq", "y.fq", "x_R2_001.fastq"],
         [("x", ["x_R1_001.fastq", "x_R2_001.fastq"]), ("y", ["y.fq"])]),
        (["x_1.fq", "x.fq", "x_2.fq"], [("x", ["x_1.fq", "x.fq", "x_2.fq"])]),
        (["a/x_1.fq", "b/x_2.fq"], [("x_1", ["a/x_1.fq"]), ("x_2", ["b/x_2.fq"])]),
        (["x_1.fq", "x.fq"], [("x_1", ["x_1.fq"]), ("x", ["x.fq"])]),
        (["x_1.fq", "x_1.fastq.gz"], [("x_1", ["x_1.fq"]), ("x_1", ["x_1.fastq.gz"])]),
        (["SRR1.sra", "d/SRR2.SRALITE", "SRR3"],
         [("SRR1", ["SRR1.sra"]), ("SRR2", ["d/SRR2.SRALITE"]), ("SRR3", ["SRR3"])]),
        (["x_1.sra", "x_2.sra"], [("x_1", ["x_1.sra"]), ("x_2", ["x_2.sra"])]),
        (["x_S1_L001_R1_001.fq", "x_S1_L002_R1_001.fq", "x_S1_L002_R2_001.fq"],
         [("x_S1_L001_R1_001", ["x_S1_L001_R1_001.fq"]),
          ("x_S1_L002", ["x_S1_L002_R1_001.fq", "x_S1_L002_R2_001.fq"])]),
    ],
)  # fmt: skip
def test_by_folder_and_name(paths: list[str], expected: list[tuple[str, list[str]]]) -> None:
    assert runs_of(paths) == [RunFiles(name, tuple(files)) for name, files in expected]


def test_each_alone() -> None:
    found = runs_of(["x_1.fq", "x_2.fq"], each_alone=True)
    assert found == [RunFiles("x_1", ("x_1.fq",)), RunFiles("x_2", ("x_2.fq",))]


def test_too_many_mates_are_not_guessed() -> None:
    [run] = runs_of(["x_1.fq", "x_2.fq", "x_2.fastq"])
    with pytest.raises(UnsupportedRawFile):
        assign_mates(run.files)


NAMES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "a/", "b/"]),
    st.sampled_from(["x", "y", "x_1"]),
    st.sampled_from(["", "_1", "_2", "_R1", "_R2_001", ".2"]),
    st.sampled_from([".fq", ".fastq.gz", ".sra", ""]),
)


@given(st.lists(NAMES, unique=True))
def test_every_file_is_in_one_run(paths: list[str]) -> None:
    found = runs_of(paths)
    assert sorted(path for run in found for path in run.files) == sorted(paths)
    for run in found:
        if len(run.files) == 2:
            mates = assign_mates(run.files)
            assert {mates.mate1, mates.mate2} == set(run.files)
    alone = runs_of(paths, each_alone=True)
    assert [run.files for run in alone] == [(path,) for path in paths]
