"""Salmon's output folder: as Salmon really writes it, and damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidQuantification, InvalidReference
from refinebio_assets.resources.salmon import Salmon
from refinebio_assets.rnaseq.quantification import (
    SalmonOptions,
    SalmonResult,
    index_sha256,
    read_arguments,
    read_salmon_output,
)
from refinebio_assets_tests.synthetic import make_transcriptome, write_catalogue, write_pair

PAIRS = 400
SMALL = make_transcriptome("HOMO_SAPIENS", genes=5, seed=3)
RESULT = SalmonResult(
    num_processed=100,
    num_mapped=90,
    percent_mapped=90.0,
    library_type="IU",
    compatible_fragment_ratio=1.0,
    strand_bias=0.5,
    index_sha256="0",
    salmon_version="1.10.1",
    command="{}",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    write_catalogue(folder, SMALL)
    Salmon(threads=1).build_index(
        folder / "HOMO_SAPIENS.fa.gz", folder / "index", 23, on_line=lambda _: None
    )
    return folder / "index"


@pytest.fixture(scope="module")
def salmon_folder(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of Salmon for pairs of reads of which mate 1 is on the transcript's strand."""
    folder = tmp_path_factory.mktemp("quantified")
    names = write_pair(folder, "s", SMALL, PAIRS).split(";")
    reads = read_arguments([folder / name for name in names], "PAIRED", SalmonOptions())
    progress: list[int] = []
    Salmon(threads=1).quantify(index, reads, folder / "out", lambda _: None, progress.append)
    assert progress == sorted(progress)
    return folder / "out"


@pytest.fixture
def copy(salmon_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(salmon_folder, tmp_path / "out")


def test_what_salmon_wrote_is_understood(salmon_folder: Path, index: Path) -> None:
    result = read_salmon_output(salmon_folder)
    assert result.num_processed == PAIRS
    assert result.num_mapped == PAIRS
    assert result.percent_mapped == 100
    assert result.library_type in ("IU", "ISF")  # "IU" as long as Salmon has seen few reads
    assert result.compatible_fragment_ratio == 1
    assert result.strand_bias == 1
    assert result.index_sha256 == index_sha256(index)
    assert result.salmon_version == Salmon().version()
    command = json.loads(result.command)
    assert command["seqBias"] == command["gcBias"] == command["dumpEq"] == []


# --- damage ---------------------------------------------------------------------------

FILES = ("quant.sf", "aux_info/meta_info.json", "lib_format_counts.json", "cmd_info.json")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(InvalidQuantification, match=Path(name).name):
        read_salmon_output(copy)


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_seen(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    end = len(whole.rstrip(b"\n")) if name.endswith("json") else len(whole)
    for length in range(0, end, max(1, end // 200)):
        (copy / name).write_bytes(whole[:length])
        with pytest.raises(InvalidQuantification):
            read_salmon_output(copy)


def test_a_quant_file_that_ends_after_a_whole_line(copy: Path) -> None:
    lines = (copy / "quant.sf").read_text().splitlines(keepends=True)
    (copy / "quant.sf").write_text("".join(lines[:-1]))
    with pytest.raises(InvalidQuantification, match="does not hold every transcript"):
        read_salmon_output(copy)


@pytest.mark.parametrize("key", ["num_processed", "percent_mapped", "index_seq_hash"])
def test_a_missing_key(copy: Path, key: str) -> None:
    path = copy / "aux_info" / "meta_info.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidQuantification, match=key):
        read_salmon_output(copy)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = ("num_processed", "num_mapped", "percent_mapped", "num_valid_targets")
LIBRARY_KEYS = ("expected_format", "compatible_fragment_ratio", "strand_mapping_bias")


@given(
    meta=JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, JSON)),
    library=JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(LIBRARY_KEYS, JSON)),
)
def test_any_json_gives_a_result_or_one_kind_of_error(
    salmon_folder: Path, tmp_path_factory: pytest.TempPathFactory, meta: Any, library: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-json"
    if not folder.exists():
        shutil.copytree(salmon_folder, folder)
    for name, changed in (("aux_info/meta_info.json", meta), ("lib_format_counts.json", library)):
        content = json.loads((salmon_folder / name).read_text())
        found = {**content, **changed} if isinstance(changed, dict) else changed
        (folder / name).write_text(json.dumps(found))
    try:
        result = read_salmon_output(folder)
    except InvalidQuantification:
        return
    assert isinstance(result.num_processed, int)


def test_an_unfinished_index(index: Path, tmp_path: Path) -> None:
    text = (index / "info.json").read_text()
    for content in ("", text[: len(text) // 2], "[]", "{}"):
        (tmp_path / "info.json").write_text(content)
        with pytest.raises(InvalidReference, match="not a complete Salmon index"):
            index_sha256(tmp_path)


# --- what Salmon is asked for ---------------------------------------------------------

ONE, TWO = Path("1.fq"), Path("2.fq")


def test_arguments_for_single_reads() -> None:
    expected = ["-l", "A", "--seqBias", "-r", ONE, "--dumpEq"]
    assert read_arguments([ONE], "SINGLE", SalmonOptions()) == expected


def test_arguments_for_pairs() -> None:
    expected = ["-l", "A", "--seqBias", "-1", ONE, "-2", TWO]
    gc_bias = ["--gcBias", "--biasSpeedSamp", "5"]
    assert read_arguments([ONE, TWO], "PAIRED", SalmonOptions()) == [
        *expected,
        *gc_bias,
        "--dumpEq",
    ]
    plain = SalmonOptions(gc_bias_of_paired=False, equivalence_classes=False, unmapped_names=True)
    assert read_arguments([ONE, TWO], "PAIRED", plain) == [*expected, "--writeUnmappedNames"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"compatible_fragment_ratio": 0.96}, None),
        ({"compatible_fragment_ratio": 0.9}, "10 % of fragments do not fit library type IU"),
        ({"strand_bias": 0.69}, None),
        ({"strand_bias": 0.95}, "called unstranded, but 95 % of fragments are on one strand"),
        ({"strand_bias": 0.95, "library_type": "ISF"}, None),
    ],
)
def test_disagreement_with_the_library_type(changed: dict[str, Any], words: str | None) -> None:
    assert SalmonResult(**{**vars(RESULT), **changed}).disagreement == words
