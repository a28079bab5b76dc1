"""CEL files: against R's affyio on real files, made files in all formats, and damage."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import InvalidCel, RawFileMissing, TruncatedCel
from refinebio_assets.microarray.cel import (
    MOST_CELLS,
    Cel,
    Values,
    is_cel,
    read_cel,
    read_cel_header,
    write_cel_v4,
)
from refinebio_assets_tests.conftest import shared_data

CHIP = "HG-U133_Plus_2"
DAT_HEADER = (
    "[0..46160]  a 1sq. name, of.1sq:CLS=4733 RWS=4733 XIN=3  YIN=3  VE=17        "
    "2.0 08/24/01 15:28:22    \x14  \x14 {}.1sq \x14  \x14 6"
)

# Bytes of these two were changed before they were compressed: a cell or more has no value.
DAMAGED_TEXT = {
    "GSM317650.CEL.gz": "cell number 247,632 does not have the five columns",
    "GSM317653.CEL.gz": "an intensity is not a number",
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cel") / "array.CEL"


def written(target: Path, content: bytes) -> Path:
    target.write_bytes(content)
    return target


def real_cels() -> list[Path]:
    """Every CEL file of the shared data that is whole and of an array."""
    folder = shared_data("affymetrix")
    found = [path for path in sorted(folder.rglob("*")) if ".cel" in path.name.lower()]
    return [path for path in found if path.parent.name not in ("broken", "tiny")]


# --- made files -----------------------------------------------------------------------


@dataclass(frozen=True)
class Array:
    """What a made file is to hold; the texts are the intensities as a text file has them."""

    columns: int
    rows: int
    texts: tuple[str, ...]
    outliers: int = 0
    masked: int = 0
    chip: str = CHIP

    @property
    def values(self) -> Values:
        return np.array([float(text) for text in self.texts])

    @property
    def single(self) -> Values:
        return self.values.astype(np.float32).astype(np.float64)

    def with_text(self, text: str) -> Array:
        """The same array with another first intensity."""
        return replace(self, texts=(text, *self.texts[1:]))


SMALL = Array(3, 2, ("167.0", "11155.3", "191.5", "0.0", "101.25", "65535"), outliers=2, masked=1)


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    columns, rows = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    decimals = st.builds(
        "{:.{}f}".format, st.floats(0, 70_000, allow_subnormal=False), st.integers(0, 6)
    )
    unusual = st.one_of(
        st.floats(0, 1e30).map(repr), st.from_regex(r"[0-9]{1,20}(\.[0-9]{0,20})?", fullmatch=True)
    )
    one = st.one_of(decimals, decimals, unusual)
    texts = draw(st.lists(one, min_size=columns * rows, max_size=columns * rows))
    chips = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
    listed = st.integers(0, columns * rows)
    return Array(columns, rows, tuple(texts), draw(listed), draw(listed), draw(chips))


def as_text(array: Array, *, newline: str = "\r\n", lists: bool = True) -> bytes:
    lines = ["[CEL]", "Version=3", "", "[HEADER]", f"Cols={array.columns}", f"Rows={array.rows}"]
    lines += [f"GridCorner{corner}=1 1" for corner in ("UL", "UR", "LR", "LL")]
    lines += [f"DatHeader={DAT_HEADER.format(array.chip)}", "Algorithm=Percentile"]
    lines += ["AlgorithmParameters=Percentile:75", ""]
    lines += ["[INTENSITY]", f"NumberCells={len(array.texts)}"]
    lines += ["CellHeader=X\tY\tMEAN\tSTDV\tNPIXELS"]
    for cell, text in enumerate(array.texts):
        y, x = divmod(cell, array.columns)
        lines.append(f"{x:3}\t{y:3}\t{text}\t-1.#IND\t 25")
    for name, count in (("MASKS", array.masked), ("OUTLIERS", array.outliers), ("MODIFIED", 0)):
        if lists:
            lines += ["", f"[{name}]", f"NumberCells={count}", "CellHeader=X\tY"]
            lines += [f"{cell % array.columns}\t{cell // array.columns}" for cell in range(count)]
    return (newline.join(lines) + newline).encode("latin-1")


def as_binary(array: Array, *, sub_grids: int = 0) -> bytes:
    header = f"Cols={array.columns}\nRows={array.rows}\nDatHeader={DAT_HEADER.format(array.chip)}\n"
    content = struct.pack("<5I", 64, 4, array.columns, array.rows, len(array.texts))
    for part in (header.encode("latin-1"), b"Percentile", b"Percentile:75"):
        content += struct.pack("<I", len(part)) + part
    content += struct.pack("<4I", 2, array.outliers, array.masked, sub_grids)
    for value in array.single:
        content += struct.pack("<2fh", value, 1.5, 25)
    return content + bytes(4 * (array.outliers + array.masked) + 56 * sub_grids)


def wide(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode("utf-16-be")


def counted(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def parameter(name: str, value: str | int | float | bytes) -> bytes:
    if isinstance(value, bytes):
        content, kind = value, "text/ascii"
    elif isinstance(value, int):
        content, kind = struct.pack(">I12x", value), "text/x-calvin-integer-32"
    elif isinstance(value, float):
        content, kind = struct.pack(">f12x", value), "text/x-calvin-float"
    else:
        content, kind = value.encode("utf-16-be") + bytes(20), "text/plain"
    return wide(name) + counted(content) + wide(kind)


def generic_header(kind: str, parameters: list[bytes], parents: list[bytes]) -> bytes:
    content = counted(kind.encode()) + counted(b"0000065535-1131390298") + wide("") + wide("en-US")
    content += struct.pack(">I", len(parameters)) + b"".join(parameters)
    return content + struct.pack(">I", len(parents)) + b"".join(parents)


def data_set(at: int, name: str, columns: list[tuple[str, int, int]], data: bytes) -> bytes:
    described = wide(name) + struct.pack(">2I", 0, len(columns))
    for column, code, size in columns:
        described += wide(column) + struct.pack(">BI", code, size)
    rows = len(data) // sum(size for _, _, size in columns)
    described += struct.pack(">I", rows)
    begin = at + 8 + len(described)
    return struct.pack(">2I", begin, begin + len(data) + 1) + described + data + b"\0"


def as_generic(
    array: Array,
    *,
    integers: bool = False,
    type_in_parent: bool = False,
    intensities: int = 1,
    kind: str = "affymetrix-calvin-intensity",
) -> bytes:
    own = [parameter("affymetrix-cel-cols", array.columns)]
    own += [parameter("affymetrix-cel-rows", array.rows)]
    of_array = [parameter("affymetrix-array-type", array.chip)]
    own += [parameter("affymetrix-algorithm-name", "Percentile")]
    for name in ("Percentile", "CellMargin", "OutlierHigh", "OutlierLow"):
        own.append(parameter(f"affymetrix-algorithm-param-{name}", b"2"))
    for corner in ("ULX", "ULY", "URX", "URY", "LRX", "LRY", "LLX", "LLY"):
        own.append(parameter(f"affymetrix-algorithm-param-Grid{corner}", 1.0))
    scan = [parameter("affymetrix-scan-date", "2010-02-04T11:19:15Z")]
    scan += [parameter("affymetrix-dat-header", DAT_HEADER.format(array.chip))]
    own += [parameter("affymetrix-array-type", "")] if type_in_parent else of_array
    scan += of_array if type_in_parent else []
    parent = generic_header("affymetrix-calvin-scan-acquisition", scan, [])
    header = generic_header(kind, own, [parent])
    content = b"\x3b\x01" + struct.pack(">2I", 1, 10 + len(header)) + header
    name = wide("Default Group")
    content += struct.pack(">3I", 0, len(content) + 12 + len(name), 4 + intensities) + name
    code, size, type_ = (3, 2, ">u2") if integers else (6, 4, ">f4")
    for _ in range(intensities):
        data = array.single.astype(type_).tobytes()
        content += data_set(len(content), "Intensity", [("Intensity", code, size)], data)
    n = len(array.texts)
    content += data_set(len(content), "StdDev", [("StdDev", 6, 4)], bytes(4 * n))
    content += data_set(len(content), "Pixel", [("Pixel", 2, 2)], bytes(2 * n))
    pairs = [("X", 2, 2), ("Y", 2, 2)]
    content += data_set(len(content), "Outlier", pairs, bytes(4 * array.outliers))
    return content + data_set(len(content), "Mask", pairs, bytes(4 * array.masked))[:-1]


def assert_holds(cel: Cel, array: Array, values: Values) -> None:
    np.testing.assert_array_equal(cel.intensities, values)
    assert cel.intensities.dtype == np.float64
    header = cel.header
    assert (header.columns, header.rows) == (array.columns, array.rows)
    assert header.chip_type == array.chip
    assert (cel.n_outliers, cel.n_masked) == (array.outliers, array.masked)


FIRST = struct.pack("<f", SMALL.values[0])
MADE = {"text": as_text(SMALL), "binary": as_binary(SMALL), "generic": as_generic(SMALL)}


# --- against affyio -------------------------------------------------------------------

AFFYIO = """
arguments <- commandArgs(TRUE)
library(affyio)
files <- readLines(arguments[1])
values <- file(arguments[2], "wb")
for (file in files) {
  cel <- read.celfile(file, intensity.means.only = TRUE)
  writeBin(as.double(cel$INTENSITY$MEAN), values)
  cat(cel$HEADER$cdfName, cel$HEADER$`CEL dimensions`, "\\n", sep = "\\t")
}
close(values)
"""


@pytest.fixture(scope="module")
def affyio() -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("no Rscript")
    check = ["Rscript", "-e", "library(affyio)"]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        pytest.skip("R has no package affyio")


def read_with_affyio(paths: list[Path], folder: Path) -> list[tuple[str, int, int, Values]]:
    """Chip, columns, rows and intensities; all files in one process, which it may crash."""
    script, listed, binary = folder / "read.R", folder / "files.txt", folder / "values.bin"
    script.write_text(AFFYIO)
    listed.write_text("".join(f"{path}\n" for path in paths))
    said = subprocess.run(
        ["Rscript", "--vanilla", script, listed, binary],
        check=True,
        capture_output=True,
        encoding="latin-1",
    )
    values, found, at = np.fromfile(binary), [], 0
    for line in said.stdout.splitlines():
        chip, columns, rows, *_ = line.split("\t")
        end = at + int(columns) * int(rows)
        found.append((chip, int(columns), int(rows), values[at:end]))
        at = end
    assert at == len(values)
    assert len(found) == len(paths)
    return found


@pytest.mark.usefixtures("affyio")
class TestAgainstAffyio:
    def test_every_real_file(self, tmp_path: Path) -> None:
        paths = [path for path in real_cels() if path.name not in DAMAGED_TEXT]
        assert len(paths) >= 20
        read = read_with_affyio(paths, tmp_path)
        for path, (chip, columns, rows, values) in zip(paths, read, strict=True):
            cel = read_cel(path)
            header = cel.header
            assert (header.chip_type, header.columns, header.rows) == (chip, columns, rows), path
            np.testing.assert_array_equal(cel.intensities, values, err_msg=str(path))
            assert read_cel_header(path) == header

    def test_made_files(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(5)
        drawn = rng.lognormal(6, 1.5, 35)
        array = Array(7, 5, tuple(f"{value:.1f}" for value in drawn), outliers=3, masked=2)
        awkward = [0.1, 1 / 3, 123456.7890123456789, 1e-5, 2**53 + 1.0, *rng.random(30) * 1e5]
        precise = Array(7, 5, tuple(f"{value:.17g}" for value in awkward))
        contents = {
            "text": as_text(array),
            "precise": as_text(precise),
            "binary": as_binary(array),
            "generic": as_generic(array),
        }
        paths = [written(tmp_path / f"{name}.CEL", made) for name, made in contents.items()]
        simulated = tmp_path / "simulated.CEL"
        write_cel_v4(simulated, chip_type=CHIP, columns=7, rows=5, intensities=drawn)
        paths.append(simulated)
        for path, (chip, columns, rows, values) in zip(
            paths, read_with_affyio(paths, tmp_path), strict=True
        ):
            # affyio takes the columns of a v4 file for its rows; its order of cells is the same.
            swapped = path.stem in ("binary", "simulated")
            assert (chip, columns, rows) == (CHIP, *((5, 7) if swapped else (7, 5))), path
            cel = read_cel(path)
            assert (cel.header.columns, cel.header.rows) == (7, 5)
            np.testing.assert_array_equal(cel.intensities, values, err_msg=path.name)
        np.testing.assert_array_equal(values, drawn.astype(np.float32))


# --- real files -----------------------------------------------------------------------


class TestRealFiles:
    def test_gzip_without_its_suffix(self) -> None:
        header = read_cel_header(shared_data("affymetrix/single/CL2001032020AA.cel"))
        assert header.is_gzip
        assert header.format == "CEL v3 text"
        assert header.scanned == "2001-03-20T16:13:24"
        assert header.algorithm == "Percentile"

    def test_command_console(self) -> None:
        cel = read_cel(shared_data("affymetrix/single/97_(Mouse430_2).CEL.gz"))
        header = cel.header
        assert (header.chip_type, header.columns, header.rows) == ("Mouse430_2", 1002, 1002)
        assert header.scanned == "2010-02-04T11:19:15Z"
        assert header.algorithm == "Feature Extraction Cell Generation"
        assert (cel.n_outliers, cel.n_masked) == (310, 0)

    @pytest.mark.parametrize(("name", "message"), DAMAGED_TEXT.items())
    def test_text_with_changed_bytes(self, name: str, message: str) -> None:
        path = shared_data(f"affymetrix/GSE12654/{name}")
        with pytest.raises(InvalidCel, match=f"^{name}: {message}"):
            read_cel(path)
        assert read_cel_header(path).chip_type == "HG_U95Av2"

    @pytest.mark.parametrize(
        ("name", "chip"),
        [("GSM306831.part.CEL.gz", "Zebrafish"), ("GSM239803.CEL.gz", "RN_U34")],
    )
    def test_cut_after_the_header(self, name: str, chip: str) -> None:
        path = shared_data(f"affymetrix/broken/{name}")
        assert read_cel_header(path).chip_type == chip
        with pytest.raises(TruncatedCel, match=name):
            read_cel(path)

    def test_biopythons_examples_are_not_sound(self) -> None:
        with pytest.raises(InvalidCel, match="cell number 6 is given a second time"):
            read_cel(shared_data("affymetrix/tiny/affy_v3_example.CEL"))
        with pytest.raises(InvalidCel, match="claims 1,948,283,753 bytes"):
            read_cel_header(shared_data("affymetrix/tiny/affy_v4_example.CEL"))

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("annotation/Test3.xda.CDF", "CDF"),
            ("annotation/Test3.ascii.CDF.gz", "CDF"),
            ("annotation/RN-U34_probe_tab.zip", "ZIP"),
            ("annotation/hgu95av2_ID", "begins with"),
        ],
    )
    def test_other_files(self, name: str, what: str) -> None:
        with pytest.raises(InvalidCel, match=f"not a CEL file.*{what}"):
            read_cel_header(shared_data(f"affymetrix/{name}"))


# --- round trips ----------------------------------------------------------------------


class TestMadeFiles:
    @given(array=arrays(), newline=st.sampled_from(["\r\n", "\n"]), compressed=st.booleans())
    def test_text(self, target: Path, array: Array, newline: str, compressed: bool) -> None:
        content = as_text(array, newline=newline)
        cel = read_cel(written(target, gzip.compress(content) if compressed else content))
        assert_holds(cel, array, array.values)
        assert cel.header.is_gzip == compressed

    @given(array=arrays(), sub_grids=st.integers(0, 1))
    def test_binary(self, target: Path, array: Array, sub_grids: int) -> None:
        cel = read_cel(written(target, as_binary(array, sub_grids=sub_grids)))
        assert_holds(cel, array, array.single)

    @given(array=arrays(), type_in_parent=st.booleans())
    def test_generic(self, target: Path, array: Array, type_in_parent: bool) -> None:
        content = as_generic(array, type_in_parent=type_in_parent)
        assert_holds(read_cel(written(target, content)), array, array.single)

    def test_generic_with_integers(self, target: Path) -> None:
        cel = read_cel(written(target, as_generic(SMALL, integers=True)))
        np.testing.assert_array_equal(cel.intensities, np.floor(SMALL.values))

    @given(array=arrays())
    def test_simulated(self, target: Path, array: Array) -> None:
        write_cel_v4(
            target,
            chip_type=array.chip,
            columns=array.columns,
            rows=array.rows,
            intensities=array.values,
        )
        cel = read_cel(target)
        assert_holds(cel, replace(array, outliers=0, masked=0), array.single)
        assert cel.header.algorithm == "Simulation"
        assert cel.header.scanned is None

    @pytest.mark.parametrize(
        "changed",
        [
            {"columns": 4},
            {"intensities": np.array([1.0, -1, 1, 1, 1, 1])},
            {"intensities": np.array([1.0, np.nan, 1, 1, 1, 1])},
            {"intensities": np.array([1.0, 1e39, 1, 1, 1, 1])},
            {"chip_type": "two words"},
            {"chip_type": "two\nlines"},
            {"chip_type": ""},
        ],
    )
    def test_what_cannot_be_written(self, target: Path, changed: dict[str, object]) -> None:
        sound = {"chip_type": CHIP, "columns": 3, "rows": 2, "intensities": np.ones(6)}
        with pytest.raises(ValueError, match=r"columns|intensity|type"):
            write_cel_v4(target, **{**sound, **changed})  # type: ignore[arg-type]

    @pytest.mark.parametrize("content", MADE.values(), ids=MADE)
    def test_64_bytes_tell(self, content: bytes) -> None:
        assert is_cel(content[:64])
        assert not is_cel(content[1:65])
        assert not is_cel(b"")

    def test_order_of_the_cells_does_not_matter(self, target: Path) -> None:
        before, lines, after = split_cells(as_text(SMALL))
        content = before + b"".join(reversed(lines)) + after
        assert_holds(read_cel(written(target, content)), SMALL, SMALL.values)

    def test_a_text_file_may_end_with_its_cells(self, target: Path) -> None:
        cel = read_cel(written(target, as_text(SMALL, lists=False).rstrip()))
        np.testing.assert_array_equal(cel.intensities, SMALL.values)
        assert (cel.n_outliers, cel.n_masked) == (None, None)

    def test_more_text_than_one_piece(self, target: Path) -> None:
        texts = tuple(f"{value:.1f}" for value in np.random.default_rng(3).random(300 * 200) * 6e4)
        array = Array(300, 200, texts, outliers=5)
        assert len(as_text(array)) > 1.2 * 2**20
        assert_holds(read_cel(written(target, as_text(array))), array, array.values)


def split_cells(content: bytes) -> tuple[bytes, list[bytes], bytes]:
    """What is before the lines of the cells, the lines, and what is after them."""
    before, header, rest = content.partition(b"NPIXELS\r\n")
    lines, blank, after = rest.partition(b"\r\n\r\n")
    return before + header, (lines + b"\r\n").splitlines(keepends=True), blank + after


# --- damage ---------------------------------------------------------------------------


class TestDamage:
    @pytest.mark.parametrize("name", ["binary", "generic"])
    def test_every_cut_of_a_binary_file(self, target: Path, name: str) -> None:
        content = MADE[name]
        for size in range(64, len(content)):
            with pytest.raises(TruncatedCel):
                read_cel(written(target, content[:size]))

    def test_every_cut_of_a_text_file(self, target: Path) -> None:
        content = MADE["text"]
        cells_end = content.index(b"\r\n\r\n[MASKS]") - 1  # the last digit is of its pixels
        for size in range(len(b"[CEL]"), cells_end):
            with pytest.raises(TruncatedCel):
                read_cel(written(target, content[:size]))
        for size in range(cells_end, len(content)):
            # From here on nothing that is used can be lost, and it is not always seen.
            try:
                cel = read_cel(written(target, content[:size]))
            except InvalidCel:
                continue
            np.testing.assert_array_equal(cel.intensities, SMALL.values)

    @pytest.mark.parametrize("content", MADE.values(), ids=MADE)
    def test_every_cut_of_a_compressed_file(self, target: Path, content: bytes) -> None:
        compressed = gzip.compress(content)
        for size in range(len(compressed)):
            with pytest.raises(InvalidCel):
                read_cel(written(target, compressed[:size]))

    @pytest.mark.parametrize("content", MADE.values(), ids=MADE)
    @pytest.mark.parametrize("rest", [b"garbage", b"\0" * 100, b"[garbage]"])
    def test_something_after_the_data(self, target: Path, content: bytes, rest: bytes) -> None:
        for file in (content + rest, gzip.compress(content + rest)):
            with pytest.raises(InvalidCel) as raised:
                read_cel(written(target, file))
            assert not isinstance(raised.value, TruncatedCel)

    @given(
        name=st.sampled_from(sorted(MADE)),
        changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    )
    @settings(max_examples=600)
    def test_changed_bytes(self, target: Path, name: str, changes: list[tuple[float, int]]) -> None:
        content = bytearray(MADE[name])
        for where, byte in changes:
            content[int(where * (len(content) - 1))] = byte
        self.assert_read_or_refused(written(target, bytes(content)))

    @given(name=st.sampled_from(sorted(MADE)), at=st.floats(0, 1), inserted=st.binary(max_size=20))
    @settings(max_examples=300)
    def test_bytes_put_in(self, target: Path, name: str, at: float, inserted: bytes) -> None:
        content = MADE[name]
        where = int(at * len(content))
        content = content[:where] + inserted + content[where + len(inserted) // 2 :]
        self.assert_read_or_refused(written(target, content))

    @given(head=st.sampled_from([made[:80] for made in MADE.values()]), rest=st.binary())
    def test_noise_after_a_beginning(self, target: Path, head: bytes, rest: bytes) -> None:
        with pytest.raises(InvalidCel):
            read_cel(written(target, head + rest))

    @pytest.mark.parametrize(
        "name",
        [
            "HuEx_32x32/huex_heart.CEL",
            "HG-Focus/HG-Focus-1-121502.CEL",
            "Test3/TestA1.CEL",
            "single/SG2_u34a.CEL.gz",
        ],
    )
    def test_changed_bytes_of_real_files(self, target: Path, name: str) -> None:
        content = shared_data(f"affymetrix/{name}").read_bytes()
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        rng = np.random.default_rng(11)
        for round_ in range(30):
            changed = np.frombuffer(content, np.uint8).copy()
            reach = 5_000 if round_ % 2 else len(changed)  # mostly the header, or anywhere
            where = rng.integers(0, reach, rng.integers(1, 20))
            changed[where] = rng.integers(0, 256, len(where))
            self.assert_read_or_refused(written(target, changed.tobytes()))

    @staticmethod
    def assert_read_or_refused(path: Path) -> None:
        tracemalloc.start()
        try:
            cel = read_cel(path)
            assert len(cel.intensities) == cel.header.cells
            assert np.isfinite(cel.intensities).all()
            assert cel.intensities.min() >= 0
        except InvalidCel as error:
            assert str(error).startswith(path.name)  # noqa: PT017
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < (1 << 22) + 6 * path.stat().st_size


class TestText:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("5.", 5.0),
            (".5", 0.5),
            ("+1.5", 1.5),
            ("1.5e+04", 15_000.0),
            ("0.1000000000000000055511151231257827", 0.1),
            ("123456789012345678", 123456789012345678.0),
            ("9007199254740993", 9007199254740992.0),
        ],
    )
    def test_decimals(self, target: Path, text: str, value: float) -> None:
        cel = read_cel(written(target, as_text(SMALL.with_text(text))))
        assert cel.intensities[0] == value
        np.testing.assert_array_equal(cel.intensities[1:], SMALL.values[1:])

    @pytest.mark.parametrize("text", ["1,5", "nan", "inf", "-", ".", "0x10", "1_0", "1.2.3", "1e"])
    def test_no_decimals(self, target: Path, text: str) -> None:
        with pytest.raises(InvalidCel, match="an intensity is not a number"):
            read_cel(written(target, as_text(SMALL.with_text(text))))

    @pytest.mark.parametrize("text", ["-1.0", "-0.001", "1e999"])
    def test_impossible_intensities(self, target: Path, text: str) -> None:
        with pytest.raises(InvalidCel, match="negative or not a number"):
            read_cel(written(target, as_text(SMALL.with_text(text))))

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            (b"", "cell number 6 is missing"),
            (
                b"1\t1\t5.0\t1.0\t25\r\n",
                "cell number 5 is given a second time|cell number 6 is giv",
            ),
            (b"3\t1\t5.0\t1.0\t25\r\n", "cell number 5 lies outside"),
            (b"1\t2\t5.0\t1.0\t25\r\n", "cell number 5 lies outside"),
            (b"99999999999999999999\t1\t5.0\t1.0\t25\r\n", "cell number 5 does not have the five"),
            (b"-1\t1\t5.0\t1.0\t25\r\n", "cell number 5 does not have the five columns"),
            (b"1\t1\t5.0\t1.0\r\n", "cell number 5 does not have the five columns"),
            (b"1\t1\t5.0\t1.0\t25\t1\r\n", "cell number 5 does not have the five columns"),
            (b"1\t1\r\n", "cell number 5 does not have the five columns"),
            (b"x" * 10_000 + b"\r\n", "cell number 5 does not have the five columns"),
        ],
    )
    def test_lines(self, target: Path, line: bytes, error: str) -> None:
        before, lines, after = split_cells(as_text(SMALL))
        lines[4] = line
        if b"second" in error.encode():
            lines[3:5] = [line, line]
        content = before + b"".join(lines) + after
        with pytest.raises(InvalidCel, match=error):
            read_cel(written(target, content))

    @pytest.mark.parametrize(
        ("old", "new", "error"),
        [
            (b"NumberCells=6", b"NumberCells=7", "7 of 6 cells"),
            (b"Cols=3", b"Cols=three", "no number as Cols"),
            (b"Rows=2\r\n", b"", "no number as Rows"),
            (b"Cols=3", b"Cols=0", "claims 0 × 2 cells"),
            (CHIP.encode() + b".1sq", CHIP.encode(), "does not name the array's type"),
            (b"X\tY\tMEAN", b"Y\tX\tMEAN", "other columns"),
            (b"NumberCells=6\r\n", b"\r\n" * 200, "does not say how many cells"),
        ],
    )
    def test_headers(self, target: Path, old: bytes, new: bytes, error: str) -> None:
        content = as_text(SMALL)
        assert content.count(old) == 1
        with pytest.raises(InvalidCel, match=error):
            read_cel_header(written(target, content.replace(old, new)))

    @pytest.mark.parametrize(
        ("dat_header", "chip", "scanned"),
        [
            (f"x:CLS=1 02/30/99 10:00:00 \x14 {CHIP}.1sq \x14", CHIP, None),
            (f"x:CLS=1 02/25/ 0 10:35:25 \x14 {CHIP}.1sq", CHIP, "2000-02-25T10:35:25"),
            (f"11/11/11 x:CLS=1 12/31/99 23:59:59 {CHIP}.1sq 6", CHIP, "1999-12-31T23:59:59"),
            (f"Müller 1.1sq \x14 {CHIP}.1sq \x14", CHIP, None),
        ],
    )
    def test_scan(self, target: Path, dat_header: str, chip: str, scanned: str | None) -> None:
        content = as_text(SMALL).replace(
            DAT_HEADER.format(CHIP).encode("latin-1"), dat_header.encode("latin-1")
        )
        header = read_cel_header(written(target, content))
        assert (header.chip_type, header.scanned) == (chip, scanned)


class TestHostileFiles:
    @pytest.mark.parametrize(("columns", "rows"), [(100_000, 100_000), (MOST_CELLS, 2)])
    def test_absurd_dimensions(self, target: Path, columns: int, rows: int) -> None:
        claims = f"claims {columns:,} × {rows:,} cells"
        huge = replace(SMALL, columns=columns, rows=rows)
        for content in (
            as_text(replace(SMALL, texts=()))
            .replace(b"Cols=3", b"Cols=%d" % columns)
            .replace(b"Rows=2", b"Rows=%d" % rows),
            as_binary(huge),
            as_generic(huge),
        ):
            with pytest.raises(InvalidCel, match=claims):
                read_cel(written(target, content))

    def test_a_claim_alone_allocates_nothing(self, target: Path) -> None:
        most = replace(SMALL, columns=MOST_CELLS // 2, rows=2)
        text = as_text(SMALL).replace(b"Cols=3", b"Cols=%d" % (MOST_CELLS // 2))
        binary = as_binary(most)
        for content in (
            text.replace(b"NumberCells=6", b"NumberCells=%d" % MOST_CELLS),
            binary[:16] + struct.pack("<I", MOST_CELLS) + binary[20:],
            as_generic(most),
        ):
            tracemalloc.start()
            with pytest.raises(InvalidCel):
                read_cel(written(target, content))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 1 << 22

    @pytest.mark.parametrize("content", MADE.values(), ids=MADE)
    def test_a_bomb(self, target: Path, content: bytes) -> None:
        written(target, gzip.compress(content + bytes(1 << 27)))
        tracemalloc.start()
        with pytest.raises(InvalidCel):
            read_cel(target)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 26

    @pytest.mark.parametrize("content", MADE.values(), ids=MADE)
    def test_a_header_without_an_end(self, target: Path, content: bytes) -> None:
        header_end = {b"[": 150, b"@": 24, b";": 600}[content[:1]]
        written(target, content[:header_end] + b"=" * (1 << 21))
        with pytest.raises(InvalidCel):
            read_cel_header(target)

    @pytest.mark.parametrize("word", ["a", "a.1sq", "01/01/01 ", "\x14"])
    def test_a_long_dat_header(self, target: Path, word: str) -> None:
        # An expression that goes back and forth in it would need minutes.
        chip = word * (900_000 // len(word)) + "\x14x"
        with pytest.raises(InvalidCel, match=r"absurd|does not name"):
            read_cel_header(written(target, as_text(replace(SMALL, chip=f"{chip}\x14"))))

    def test_data_sets_that_point_back(self, target: Path) -> None:
        content = as_generic(SMALL)
        (first,) = [at for at in range(len(content)) if content[at:].startswith(wide("Intensity"))][
            :1
        ]
        for pointer in (0, 10, first - 8):
            changed = bytearray(content)
            changed[first - 4 : first] = struct.pack(">I", pointer)
            with pytest.raises(InvalidCel, match="read before"):
                read_cel(written(target, bytes(changed)))

    def test_headers_nested_without_end(self, target: Path) -> None:
        header = generic_header("affymetrix-calvin-intensity", [], [])
        for _ in range(500):
            header = generic_header("affymetrix-calvin-intensity", [], [header])
        content = b"\x3b\x01" + struct.pack(">2I", 1, 10 + len(header)) + header
        with pytest.raises(InvalidCel, match="nested too deeply"):
            read_cel_header(written(target, content))

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (as_generic(SMALL, intensities=2), "2 data sets of intensities"),
            (as_generic(SMALL, intensities=0), "0 data sets of intensities"),
            (as_generic(SMALL, kind="affymetrix-calvin-genotypes"), "does not hold intensities"),
            (as_generic(replace(SMALL, texts=SMALL.texts[:5])), "5 intensities for 6 cells"),
            (as_generic(SMALL).replace(b"\x06\0\0\0\4", b"\x05\0\0\0\4"), "neither float32"),
            (as_binary(replace(SMALL, texts=SMALL.texts[:5])), "and 5 in all"),
            (as_binary(replace(SMALL, masked=7)), "too many masked cells"),
            (as_binary(SMALL.with_text("nan")), "negative or not a number"),
            (as_binary(SMALL.with_text("inf")), "negative or not a number"),
            (as_binary(SMALL).replace(FIRST, b"\0\0\xa0\x7f"), "negative or not a number"),
            (as_generic(SMALL.with_text("-1")), "negative or not a number"),
            (as_generic(replace(SMALL, chip="\x07" * 3)), "absurd type of array"),
            (b"", "it is empty"),
            (b"<html>", "HTML"),
            (b"\x1f\x8b", "ends too early"),
            (gzip.compress(gzip.compress(MADE["text"])), "gzip inside gzip"),
        ],
    )
    def test_contradictions(self, target: Path, content: bytes, error: str) -> None:
        with pytest.raises(InvalidCel, match=error):
            read_cel(written(target, content))

    def test_no_file(self, tmp_path: Path) -> None:
        for read in (read_cel, read_cel_header):
            with pytest.raises(RawFileMissing):
                read(tmp_path / "absent.CEL")
            with pytest.raises(InvalidCel, match="folder"):
                read(tmp_path)
