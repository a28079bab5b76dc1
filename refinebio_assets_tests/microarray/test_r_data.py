"""R's data frames: as R itself writes them in every form, and as nobody should."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidProbeAnnotation
from refinebio_assets.microarray import r_data as reader
from refinebio_assets.microarray.r_data import is_r_data, read_frame
from refinebio_assets_tests.microarray.damage import survive_damage
from refinebio_assets_tests.microarray.r_files import r_data

COLUMNS = ("sequence", "x", "y", "Probe.Set.Name", "Probe.Interrogation.Position")
FRAME: dict[str, list[str | int | None]] = {
    "sequence": ["ACGT" * 6 + "A", "TTTTT" * 5, "ACGTN" * 5],
    "x": [1, 2, 3],
    "y": [0, 700, 1],
    "Probe.Set.Name": ["1_at", "ENSG00000000003_at", None],
    "Probe.Interrogation.Position": [5, None, 7],
}

R_SCRIPT = """
folder <- commandArgs(TRUE)[1]
frame <- data.frame(
  sequence = c(strrep("ACGT", 6), strrep("TTTTT", 5), strrep("ACGTN", 5)), x = 1:3,
  y = c(0, 700, 1), Probe.Set.Name = c("1_at", "ENSG00000000003_at", NA),
  Probe.Interrogation.Position = c(5L, NA, 7L),
  Target.Strandedness = factor(rep("Antisense", 3)), stringsAsFactors = FALSE)
frame$sequence[1] <- paste0(frame$sequence[1], "A")
factors <- frame
factors$Probe.Set.Name <- factor(factors$Probe.Set.Name)
factors <- factors[factors$x > 0, ]
sequences <- frame
sequences$x <- seq_len(3)
attr(sequences, "comment") <- as.character(1:20)
other <- list(1, "two", quote(a + b))
for (version in 2:3) {
  for (form in c("gzip", "bzip2", "xz")) {
    save(frame, file = file.path(folder, paste0("frame.", version, ".", form)),
         version = version, compress = form)
  }
  save(frame, file = file.path(folder, paste0("frame.", version, ".plain")),
       version = version, compress = FALSE)
  save(factors, file = file.path(folder, paste0("factors.", version)), version = version)
  save(sequences, file = file.path(folder, paste0("sequences.", version)), version = version)
}
few <- data.frame(x = 1:3)
save(few, frame, file = file.path(folder, "second"))
save(other, file = file.path(folder, "other"))
fun <- function(x) x
save(fun, file = file.path(folder, "function"))
environment <- new.env()
save(environment, file = file.path(folder, "environment"))
save(frame, file = file.path(folder, "ascii"), ascii = TRUE)
saveRDS(frame, file.path(folder, "rds"))
"""


@pytest.fixture(scope="module")
def of_r(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that R wrote."""
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("R is not installed")
    folder = tmp_path_factory.mktemp("of_r")
    script = folder / "write.R"
    script.write_text(R_SCRIPT)
    subprocess.run([program, "--vanilla", str(script), str(folder)], check=True)
    return folder


def wanted() -> pl.DataFrame:
    return pl.DataFrame(FRAME).select(COLUMNS)


def assert_same(frame: pl.DataFrame) -> None:
    assert frame.with_columns(pl.col("x", "y").cast(pl.Int64)).equals(wanted())


def an_archive(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz", "plain"])
def test_every_form_that_r_writes(of_r: Path, version: int, form: str) -> None:
    path = of_r / f"frame.{version}.{form}"
    assert_same(read_frame(path, COLUMNS))
    package = an_archive(
        of_r / f"package.{version}.{form}",
        {"testprobe/DESCRIPTION": b"Package: testprobe", "testprobe/data/p.rda": path.read_bytes()},
    )
    assert_same(read_frame(package, COLUMNS))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["factors", "sequences"])
def test_factors_and_compact_vectors(of_r: Path, version: int, name: str) -> None:
    assert_same(read_frame(of_r / f"{name}.{version}", COLUMNS))


def test_the_first_frame_with_the_columns_is_taken(of_r: Path) -> None:
    assert_same(read_frame(of_r / "second", COLUMNS))
    assert read_frame(of_r / "second", ["x"]).to_dict(as_series=False) == {"x": [1, 2, 3]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "an object of type 6"),
        ("function", "an object of type"),
        ("environment", "an object of type 4"),
        ("ascii", "binary form"),
        ("rds", "binary form"),
    ],
)
def test_other_things_of_r(of_r: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_frame(of_r / name, COLUMNS)


@given(
    st.lists(
        st.tuples(
            st.none() | st.text(max_size=5), st.none() | st.integers(-(1 << 31) + 1, 1 << 30)
        ),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([2, 3]),
)
def test_any_frame(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str | None, int | None]],
    version: int,
) -> None:
    columns = {"a": ["x", *(text for text, _ in rows)], "b": [1, *(number for _, number in rows)]}
    path = tmp_path_factory.mktemp("r") / "frame.rda"
    path.write_bytes(r_data("frame", columns, version))
    found = read_frame(path, ["b", "a"])
    assert found["b"].to_list() == columns["b"]
    assert [None if text is None else text.encode("latin-1").decode() for text in found["a"]] == (
        columns["a"]
    )


def test_what_it_is(tmp_path: Path) -> None:
    content = r_data("frame", FRAME)
    archive = an_archive(tmp_path / "a.tar", {"p/data/p.rda": content}, "w").read_bytes()
    for head in (content, lzma.compress(content), bz2.compress(content), archive):
        assert is_r_data(head)
    assert not is_r_data(b"Probe Set Name\tProbe X")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"p/R/zzz.R": b""}, "without an R data set"),
        ({"p/data/../../x.rda": b""}, "without an R data set"),
        ({"/p/data/x.rda": b""}, "without an R data set"),
        ({"p/data/a.rda": b"", "p/data/b.rda": b""}, "more than one"),
        ({"p/data/a.rda": b"nothing"}, "binary form"),
        ({"p/data/a.rda": b""}, "binary form"),
    ],
)
def test_archives(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(InvalidProbeAnnotation, match=message):
        read_frame(an_archive(tmp_path / "p.tar.gz", members), COLUMNS)


def test_a_link_is_no_data_set(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        info = tarfile.TarInfo("p/data/a.rda")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(InvalidProbeAnnotation, match="without an R data set"):
        read_frame(tmp_path / "p.tar", COLUMNS)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_inflates_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(reader, "_MOST_BYTES", 1 << 20)
    bomb = pack(b"RDX3\nX\n" + bytes(5 << 20))
    assert len(bomb) < 10_000
    (tmp_path / "a.rda").write_bytes(bomb)
    for path in (tmp_path / "a.rda", an_archive(tmp_path / "p.tar", {"p/data/a.rda": bomb}, "w")):
        with pytest.raises(InvalidProbeAnnotation, match=r"larger than 1 MiB|more than 1 MiB"):
            read_frame(path, COLUMNS)
    large = an_archive(tmp_path / "q.tar", {"p/data/a.rda": bytes(2 << 20)}, "w")
    with pytest.raises(InvalidProbeAnnotation, match="data set of 2097152 bytes"):
        read_frame(large, COLUMNS)


HEAD = b"RDX3\nX\n" + struct.pack(">iii", 3, 0x40202, 0x20300) + struct.pack(">i", 5) + b"UTF-8"


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">ii", 16, (1 << 31) - 1),  # strings that are not there
        struct.pack(">ii", 13, (1 << 31) - 1),
        struct.pack(">ii", 13, -5),
        struct.pack(">ii", 19, 1000) * 200,  # lists within lists
        struct.pack(">i", 238) * 300,
        struct.pack(">i", 2) * 5000,
        struct.pack(">ii", 21, (1 << 31) - 1),  # byte code
        struct.pack(">i", (7 << 8) | 255),  # a reference to nothing
        b"",
    ],
)
def test_absurd_content(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "a.rda"
    for content in (HEAD + body, HEAD + struct.pack(">i", 2) + body):
        path.write_bytes(content)
        with pytest.raises(InvalidProbeAnnotation):
            read_frame(path, COLUMNS)


def test_a_compact_vector_of_any_length(tmp_path: Path, of_r: Path) -> None:
    """R stores 1:3 as its first, its step and its length: a length that must not be believed."""
    path = of_r / "sequences.3"
    content = bytearray(gzip.decompress(path.read_bytes()))
    at = content.index(struct.pack(">ddd", 3, 1, 1))
    content[at : at + 8] = struct.pack(">d", 1e12)
    (tmp_path / "a.rda").write_bytes(content)
    with pytest.raises(InvalidProbeAnnotation, match="sequence of 1000000000000"):
        read_frame(tmp_path / "a.rda", COLUMNS)


@pytest.mark.parametrize("form", ["rda", "tar"])
def test_damaged_files(tmp_path: Path, form: str) -> None:
    path, content = tmp_path / "a", r_data("frame", FRAME)
    if form == "tar":
        content = an_archive(
            tmp_path / "t", {"p/D": b"x", "p/data/p.rda": content}, "w"
        ).read_bytes()
    times = 400
    assert survive_damage(content, path, lambda: read_frame(path, COLUMNS), times=times) > times / 4
