"""FASTQ files and streams: real ones, generated ones, and damaged ones."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinebio_assets.errors import (
    EmptyReads,
    InvalidFastq,
    RawFileMissing,
    RefinebioError,
    TruncatedFastq,
    UnequalMates,
    UnsupportedRawFile,
)
from refinebio_assets.rnaseq import fastq as fastq_module
from refinebio_assets.rnaseq.pairing import MateCounts, MateFiles, assign_mates, demultiplex
from refinebio_assets.rnaseq.reads import (
    ReadFormat,
    ReadStatistics,
    detect_format,
    index_length,
    scan_fastq,
    scan_pair,
)
from refinebio_assets_tests.conftest import shared_data

Record = tuple[str, str, str]  # name, bases, qualities

TWO_READS = b"@a\nACGT\n+\nIIII\n@b\nAC\n+a comment\nII\n"
FASTQ_DUMP = ["--stdout", "--split-spot", "--skip-technical"]
SHORT_NAMES = ["--defline-seq", "@$si.$ri", "--defline-qual", "+"]


def fastq(records: list[Record], line_end: str = "\n") -> bytes:
    return "".join(
        f"@{name}{line_end}{bases}{line_end}+{line_end}{qualities}{line_end}"
        for name, bases, qualities in records
    ).encode()


def statistics(records: list[Record]) -> ReadStatistics:
    lengths = [len(bases) for _, bases, _ in records]
    return ReadStatistics(len(lengths), sum(lengths), min(lengths), max(lengths))


def write(folder: Path, text: bytes, name: str = "reads.fastq") -> Path:
    path = folder / name
    path.write_bytes(text)
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a Hypothesis test."""
    return tmp_path_factory.mktemp("reads")


@st.composite
def record(draw: st.DrawFn, min_bases: int = 0) -> Record:
    name = draw(st.text("aZ19:/.#_ @+", max_size=12))
    bases = draw(st.text("ACGTNacgt.", min_size=min_bases, max_size=20))
    quality = st.characters(min_codepoint=33, max_codepoint=126)
    return name, bases, draw(st.text(quality, min_size=len(bases), max_size=len(bases)))


RECORDS = st.lists(record(), min_size=1, max_size=8)
CHUNKS = st.integers(1, 300)


# --- detect_format --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("rnaseq/ggal/gut_1.fq.gz", ReadFormat.FASTQ_GZ),
        ("sra/mini_humanX.sra", ReadFormat.SRA),
        ("sra/SRR599578.sralite", ReadFormat.SRA),
    ],
)
def test_real_files_are_recognised(relative: str, expected: ReadFormat) -> None:
    assert detect_format(shared_data(relative)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TWO_READS, ReadFormat.FASTQ),
        (gzip.compress(TWO_READS), ReadFormat.FASTQ_GZ),
        (gzip.compress(b"") + gzip.compress(TWO_READS), ReadFormat.FASTQ_GZ),
        (b"NCBI.sra\x05\x03\x19\x88", ReadFormat.SRA),
    ],
)
def test_the_content_decides_not_the_name(
    tmp_path: Path, text: bytes, expected: ReadFormat
) -> None:
    assert detect_format(write(tmp_path, text, "page.html")) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "an empty file"),
        (gzip.compress(b""), "an empty file"),
        (b"\n <!DOCTYPE HTML><html>", "an HTML page"),
        (b"<HTML><body>404</body>", "an HTML page"),
        (b"<?xml version='1.0'?><Error/>", "an XML document"),
        (b'{"error": "not found"}', "a JSON document"),
        (b">chr1\nACGT\n", "FASTA"),
        (gzip.compress(b">chr1\nACGT\n"), "FASTA"),
        (gzip.compress(b"BAM\x01\x00\x00"), "BAM"),
        (b"@HD\tVN:1.6\n", "SAM"),
        (gzip.compress(b"NCBI.sra\x05"), "inside gzip"),
        (gzip.compress(gzip.compress(TWO_READS)), "gzip inside gzip"),
        (b"PK\x03\x04\x00", "a ZIP archive"),
        (b"\x00\x01\x02\xff", "binary data"),
        (b" \n\n", "blank"),
        (b"sample\tfile\n", "some other text"),
    ],
)
def test_other_content_is_named(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(UnsupportedRawFile, match=message):
        detect_format(write(tmp_path, text, "reads.fastq.gz"))


@pytest.mark.parametrize("length", [1, 2, 5, 9, 10])
def test_gzip_cut_in_its_header(tmp_path: Path, length: int) -> None:
    path = write(tmp_path, gzip.compress(TWO_READS)[:length])
    with pytest.raises(TruncatedFastq):
        detect_format(path)
    with pytest.raises(TruncatedFastq):
        scan_fastq(path)


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RawFileMissing):
        detect_format(tmp_path / "absent.fastq")
    with pytest.raises(UnsupportedRawFile, match="folder"):
        detect_format(tmp_path)


# --- scan_fastq -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("ggal/gut_1.fq.gz", (2937, 105)),
        ("mini_humanX/reads_1.fq.gz", (20898, 75)),
        ("yeast/yeast_RNASeq_excerpt.fastq.gz", (24999, 36)),
    ],
)
def test_real_fastq(relative: str, expected: tuple[int, int]) -> None:
    path = shared_data(f"rnaseq/{relative}")
    with gzip.open(path, "rt") as file:
        lengths = [len(line) - 1 for line in itertools.islice(file, 1, None, 4)]
    found = scan_fastq(path)
    assert found == ReadStatistics(len(lengths), sum(lengths), min(lengths), max(lengths))
    assert (found.reads, found.max_length) == expected


def test_statistics(tmp_path: Path) -> None:
    found = scan_fastq(write(tmp_path, TWO_READS))
    assert found == ReadStatistics(reads=2, bases=6, min_length=2, max_length=4)
    assert found.mean_length == 3.0


@given(records=RECORDS, line_end=st.sampled_from(["\n", "\r\n"]), chunk=CHUNKS, data=st.data())
def test_round_trip(
    scratch: Path, records: list[Record], line_end: str, chunk: int, data: st.DataObject
) -> None:
    text = fastq(records, line_end)
    if data.draw(st.booleans(), "no last line feed"):
        text = text[:-1]
    members = data.draw(st.lists(st.integers(0, len(text)), max_size=3), "member ends")
    edges = [0, *sorted(members), len(text)]
    parts = [gzip.compress(text[a:b]) for a, b in itertools.pairwise(edges)]
    padding = bytes(data.draw(st.integers(0, 3), "padding"))
    assert scan_fastq(write(scratch, text), chunk_bytes=chunk) == statistics(records)
    path = write(scratch, b"".join(parts) + padding)
    assert scan_fastq(path, chunk_bytes=chunk) == statistics(records)


@given(records=st.lists(record(min_bases=1), min_size=1, max_size=5), chunk=CHUNKS, data=st.data())
def test_plain_text_cut_anywhere(
    scratch: Path, records: list[Record], chunk: int, data: st.DataObject
) -> None:
    sizes = list(itertools.accumulate(len(fastq([one])) for one in records))
    cut = data.draw(st.integers(0, sizes[-1]))
    path = write(scratch, fastq(records)[:cut])
    whole = sum(size - 1 <= cut for size in sizes)  # the last line feed may be missing
    if cut == 0:
        with pytest.raises(EmptyReads):
            scan_fastq(path, chunk_bytes=chunk)
    elif whole and cut in (sizes[whole - 1] - 1, sizes[whole - 1]):
        assert scan_fastq(path, chunk_bytes=chunk) == statistics(records[:whole])
    else:
        with pytest.raises(TruncatedFastq, match=f"read {whole + 1}\\."):
            scan_fastq(path, chunk_bytes=chunk)


@given(records=RECORDS, chunk=CHUNKS, data=st.data())
def test_gzip_cut_anywhere(
    scratch: Path, records: list[Record], chunk: int, data: st.DataObject
) -> None:
    packed = gzip.compress(fastq(records))
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(TruncatedFastq):
        scan_fastq(write(scratch, packed[:cut]), chunk_bytes=chunk)


def test_cut_gzip_of_a_real_file(tmp_path: Path) -> None:
    packed = shared_data("rnaseq/ggal/gut_1.fq.gz").read_bytes()
    with pytest.raises(TruncatedFastq, match=r"gzip stream ends .* read \d{3,}"):
        scan_fastq(write(tmp_path, packed[: len(packed) // 2]))


@given(
    text=st.binary(max_size=200)
    | st.binary(max_size=100).map(lambda junk: b"@" + junk)
    | st.binary(max_size=100).map(lambda junk: TWO_READS + junk)
    | st.binary(max_size=100).map(lambda junk: gzip.compress(TWO_READS) + junk)
    | st.text("@+ACI\n\r", max_size=60).map(str.encode)
    | st.text("@+ACI\n\r", max_size=60).map(lambda text: gzip.compress(text.encode())),
    chunk=CHUNKS,
)
def test_any_bytes_give_statistics_or_a_typed_error(scratch: Path, text: bytes, chunk: int) -> None:
    path = write(scratch, text)
    for scan in (
        lambda: scan_fastq(path, chunk_bytes=chunk),
        lambda: scan_pair(path, path, chunk_bytes=chunk),
        lambda: demultiplex(io.BytesIO(text), io.BytesIO(), io.BytesIO(), chunk_bytes=chunk),
    ):
        try:
            scan()
        except RefinebioError as error:
            assert str(error)  # noqa: PT017  # either outcome is right, nothing else is


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_damaged_gzip(scratch: Path, at: int, bit: int) -> None:
    packed = bytearray(gzip.compress(TWO_READS * 20, mtime=0))
    packed[at % len(packed)] ^= 1 << bit
    try:
        found = scan_fastq(write(scratch, bytes(packed)))
    except (InvalidFastq, UnsupportedRawFile):
        return
    assert found.reads == 40  # damage that does not touch the text: time, name, flags


@pytest.mark.parametrize("garbage", [b"x", b"\x1fx", b"garbage", b"\0\0x", TWO_READS])
def test_garbage_after_gzip(tmp_path: Path, garbage: bytes) -> None:
    with pytest.raises(InvalidFastq) as caught:
        scan_fastq(write(tmp_path, gzip.compress(TWO_READS) + garbage))
    assert not isinstance(caught.value, TruncatedFastq)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"@a\nACGT\nACGT\n+\nIIIIIIII\n@b\n", "read 1 has a third line .* wrapped"),
        (TWO_READS + b"c\nA\n+\nI\n", "read 3 does not begin with '@'"),
        (TWO_READS + b"junk", "read 3 does not begin with '@'"),
        (TWO_READS + b"@c\nACG\n+\nII\n", "read 3 has 3 bases but 2 qualities"),
        (TWO_READS + b"@c\nACG\n+\nIIII", "read 3 has 3 bases but 4 qualities"),
        (b"@a\nT0123\n+\nIIIII\n", "colour-space"),
        (b"@a\nAC T\n+\nIIII\n", "other than letters"),
        (b"@a\nACGT\n+\nII I\n", "quality"),
        (b"@a\nAC\rT\n+\nIIII\n", "other than letters"),
        (b"@a\rACGT\r+\rIIII\r", "ends in the middle of read 1"),
    ],
)
def test_faulty_records(tmp_path: Path, text: bytes, message: str) -> None:
    for chunk in (1, 7, 1 << 20):
        with pytest.raises(InvalidFastq, match=message):
            scan_fastq(write(tmp_path, text), chunk_bytes=chunk)


def test_blank_lines_at_the_end_are_accepted(tmp_path: Path) -> None:
    for blank in (b"\n", b"\n\n\n", b"\r\n"):
        assert scan_fastq(write(tmp_path, TWO_READS + blank)).reads == 2


def test_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastq_module, "MAX_RECORD_BYTES", 1000)
    path = write(tmp_path, TWO_READS + b"@c\n" + b"A" * 5000)
    with pytest.raises(InvalidFastq, match="read 3 is longer"):
        scan_fastq(path, chunk_bytes=64)


def test_sra_is_not_scanned_as_fastq() -> None:
    with pytest.raises(UnsupportedRawFile, match=r"\.sra file"):
        scan_fastq(shared_data("sra/ERR3487613.sra"))


def test_messages_name_the_mate_and_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    scan_fastq(write(tmp_path, TWO_READS), progress=told.append, chunk_bytes=1)
    assert told == [1, 2]
    with pytest.raises(TruncatedFastq, match=r"mate 2 \(reads.fastq\)"):
        scan_fastq(write(tmp_path, TWO_READS[:-4]), mate=2)


# --- scan_pair ------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["ggal/gut", "mini_humanX/reads"])
def test_real_pairs(folder: str) -> None:
    path1, path2 = (shared_data(f"rnaseq/{folder}_{mate}.fq.gz") for mate in (1, 2))
    one, other = scan_fastq(path1), scan_fastq(path2)
    both = scan_pair(path1, path2)
    assert (both.reads, both.bases) == (one.reads, one.bases + other.bases)
    assert both.mean_length == pytest.approx((one.mean_length + other.mean_length) / 2)


@pytest.mark.parametrize(
    ("name1", "name2", "agree"),
    [
        ("run.1", "run.1", True),
        ("run.1/1", "run.1/2", True),
        ("run.7.1 x length=3", "run.7.2 x length=2", True),
        ("x 1:N:0:ATC", "x 2:N:0:ATC", True),
        ("x\t1", "x\t2", True),
        ("x/1", "x", True),
        ("", "", True),
        ("run.1.1", "run.2.2", False),
        ("run.1", "run.11", False),
        ("run.3", "run.4", False),
        ("x.1", "x/2", False),
        ("x", "", False),
    ],
)
def test_names_of_mates(tmp_path: Path, name1: str, name2: str, agree: bool) -> None:
    sound = ("before", "ACG", "III")
    path1 = write(tmp_path, fastq([sound, (name1, "ACG", "III")]), "1.fq")
    path2 = write(tmp_path, fastq([sound, (name2, "AC", "II")]), "2.fq")
    if agree:
        assert scan_pair(path1, path2) == ReadStatistics(2, 11, 2, 3, mates=2)
    else:
        with pytest.raises(UnequalMates, match="Pair 2 ") as caught:
            scan_pair(path1, path2)
        assert f"'{name1}' and '{name2}'" in str(caught.value)


@given(lengths=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30))), chunk=CHUNKS)
def test_pairs_of_unlike_lengths(scratch: Path, lengths: list[tuple[int, int]], chunk: int) -> None:
    mates: list[list[Record]] = [
        [(f"r{i}/{mate}", "A" * pair[mate - 1], "I" * pair[mate - 1]) for i, pair in rows]
        for mate in (1, 2)
        for rows in [list(enumerate(lengths))]
    ]
    path1, path2 = (write(scratch, fastq(rows), f"{i}.fq") for i, rows in enumerate(mates))
    if not lengths:
        with pytest.raises(EmptyReads):
            scan_pair(path1, path2, chunk_bytes=chunk)
        return
    told: list[int] = []
    found = scan_pair(path1, path2, chunk_bytes=chunk, progress=told.append)
    assert (found.reads, found.bases) == (len(lengths), sum(map(sum, lengths)))
    assert (found.min_length, found.max_length) == (min(map(min, lengths)), max(map(max, lengths)))
    assert told == sorted(told)
    assert told[-1] == found.reads


def test_unequal_counts(tmp_path: Path) -> None:
    long = write(tmp_path, fastq([(f"r{i}", "A", "I") for i in range(50)]), "long.fq")
    short = write(tmp_path, fastq([(f"r{i}", "A", "I") for i in range(30)]), "short.fq")
    for chunk in (1, 40, 1 << 20):
        with pytest.raises(UnequalMates, match=r"long\.fq has 50 reads, but short\.fq has 30"):
            scan_pair(long, short, chunk_bytes=chunk)
        with pytest.raises(UnequalMates, match=r"short\.fq has 30 reads, but long\.fq has 50"):
            scan_pair(short, long, chunk_bytes=chunk)


def test_truncation_is_told_before_unequal_counts(tmp_path: Path) -> None:
    text = fastq([(f"r{i}", "A", "I") for i in range(50)])
    whole = write(tmp_path, text, "whole.fq.gz")
    cut = write(tmp_path, gzip.compress(text)[:-20], "cut.fq.gz")
    for paths in ((whole, cut), (cut, whole)):
        with pytest.raises(TruncatedFastq, match=r"cut\.fq\.gz"):
            scan_pair(*paths)


# --- demultiplex ----------------------------------------------------------------------

SPOTS = st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=4), max_size=9)


@given(spots=SPOTS, chunk=CHUNKS, comment=st.sampled_from(["", " x length=3"]))
def test_any_mixture_of_spots(spots: list[list[tuple[int, int]]], chunk: int, comment: str) -> None:
    stream, expected1, expected2, unmated = b"", b"", b"", 0
    for number, spot in enumerate(spots, start=1):
        records: list[Record] = [
            (f"run.{number}.{read}{comment}", "ACG"[:bases], "@+I"[:bases]) for read, bases in spot
        ]
        stream += fastq(records).replace(b"\n+\n", b"\n+repeated\n")
        filled = [one for one in records if one[1]]
        paired = len(filled) > 1
        expected1 += fastq(filled[:1]) if paired else b""
        expected2 += fastq(filled[1:2]) if paired else b""
        unmated += len(filled) - 2 * paired
    mate1, mate2 = io.BytesIO(), io.BytesIO()
    counts = demultiplex(io.BytesIO(stream), mate1, mate2, chunk_bytes=chunk)
    assert (mate1.getvalue(), mate2.getvalue()) == (expected1, expected2)
    assert counts == MateCounts(len(expected1.splitlines()) // 4, unmated)


def test_stream_without_read_numbers() -> None:
    stream = fastq([(f"run.{spot}", "ACG", "III") for spot in range(1, 30)])
    with pytest.raises(InvalidFastq, match=r"Read 10 .*'run\.10'"):
        demultiplex(io.BytesIO(stream), io.BytesIO(), io.BytesIO())


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_cut_stream(chunk: int) -> None:
    stream = fastq([(f"run.1.{mate}", "ACG", "III") for mate in (1, 2)])[:-3]
    mate1, mate2 = io.BytesIO(), io.BytesIO()
    with pytest.raises(TruncatedFastq, match=r"read 2\."):
        demultiplex(io.BytesIO(stream), mate1, mate2, chunk_bytes=chunk)
    assert mate1.getvalue() == mate2.getvalue() == b""


def fastq_dump(run: Path, *arguments: str, folder: Path | None = None) -> bytes:
    if shutil.which("fastq-dump") is None:
        pytest.skip("sra-toolkit is not installed")
    done = subprocess.run(
        ["fastq-dump", *arguments, str(run)], cwd=folder, check=True, capture_output=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("mini_humanX.sra", MateCounts(20898, 0)),
        ("SRR6336806.sra", MateCounts(785, 1822)),
        ("ERR3487613.sra", MateCounts(10, 0)),
        ("SRR599578.sralite", MateCounts(29, 0)),
        ("yeast_htseq_se.sra", MateCounts(0, 24999)),
        ("SRR053990.sra", MateCounts(0, 2690)),
        ("SRR139146.sra", MateCounts(0, 3896)),
    ],
)
@pytest.mark.parametrize("naming", [SHORT_NAMES, ["-I"]], ids=["short", "-I"])
def test_real_runs_as_split_3_does(
    tmp_path: Path, run: str, expected: MateCounts, naming: list[str]
) -> None:
    path = shared_data(f"sra/{run}")
    fastq_dump(path, "--split-3", "--skip-technical", *naming, folder=tmp_path)
    mate1, mate2 = io.BytesIO(), io.BytesIO()
    stream = io.BytesIO(fastq_dump(path, *FASTQ_DUMP, *naming))
    assert demultiplex(stream, mate1, mate2, chunk_bytes=10_000) == expected
    for mate, found in ((1, mate1), (2, mate2)):
        split3 = tmp_path / f"{path.stem}_{mate}.fastq"
        text = split3.read_bytes() if split3.exists() else b""
        lines = [b"+" if n % 4 == 2 else line for n, line in enumerate(text.splitlines())]
        assert found.getvalue().splitlines() == lines
    if expected.pairs:
        paths = [write(tmp_path, found.getvalue(), f"{found is mate2}") for found in (mate1, mate2)]
        assert scan_pair(*paths).reads == expected.pairs


# --- the command `mates` --------------------------------------------------------------


def start_mates(folder: Path) -> tuple[subprocess.Popen[bytes], list[Path]]:
    pipes = [folder / "mate1", folder / "mate2"]
    for pipe in pipes:
        os.mkfifo(pipe)
    command = [sys.executable, "-m", "refinebio_assets.rnaseq.mates", *map(str, pipes)]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return process, pipes


def interleaved(spots: int, bases: int = 100) -> bytes:
    return fastq(
        [(f"{n}.{mate}", "A" * bases, "I" * bases) for n in range(1, spots + 1) for mate in (1, 2)]
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_reader_in_lockstep_that_wants_one_mate_first(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    """One reader, as Salmon: opens both pipes, and waits for one mate before the other."""
    process, pipes = start_mates(tmp_path)
    texts: dict[int, list[bytes]] = {0: [], 1: []}

    def read() -> None:
        files = {mate: pipes[mate].open("rb", buffering=0) for mate in order}
        while sum(read_exactly(files[mate], texts[mate]) for mate in order):
            pass
        for file in files.values():
            file.close()

    def read_exactly(file: io.FileIO, into: list[bytes], size: int = 700_000) -> int:
        found = 0
        while found < size and (data := file.read(size - found)):
            into.append(data)
            found += len(data)
        return found

    reader = threading.Thread(target=read)
    reader.start()
    output, errors = process.communicate(interleaved(60_000), timeout=60)
    reader.join(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert json.loads(output) == {"pairs": 60_000, "unmated": 0}
    for mate, number in ((0, b"1"), (1, b"2")):
        names = b"".join(texts[mate]).splitlines()[::4]
        assert names == [b"@%d.%s" % (n, number) for n in range(1, 60_001)]


@pytest.mark.parametrize("slow", [(True, False), (False, True)])
def test_two_readers_of_uneven_speed(tmp_path: Path, slow: tuple[bool, bool]) -> None:
    """One mate is read to its end before the other is read at all."""
    process, pipes = start_mates(tmp_path)
    fast_is_done = threading.Event()
    sizes: dict[str, int] = {}

    def read(pipe: Path, wait: bool) -> None:
        with pipe.open("rb") as file:
            if wait:
                assert fast_is_done.wait(60)
            sizes[pipe.name] = len(file.read())
        fast_is_done.set()

    threads = [
        threading.Thread(target=read, args=(pipe, wait))
        for pipe, wait in zip(pipes, slow, strict=True)
    ]
    for thread in threads:
        thread.start()
    output, _ = process.communicate(interleaved(10_000), timeout=60)
    for thread in threads:
        thread.join(timeout=60)
    assert process.returncode == 0
    assert json.loads(output)["pairs"] == 10_000
    assert sizes["mate1"] == sizes["mate2"]


@pytest.mark.parametrize("mate_that_leaves", [0, 1])
def test_reader_that_goes_away(tmp_path: Path, mate_that_leaves: int) -> None:
    """It never opens the other pipe either."""
    process, pipes = start_mates(tmp_path)

    def read() -> None:
        with pipes[mate_that_leaves].open("rb") as file:
            file.read(10)

    reader = threading.Thread(target=read)
    reader.start()
    output, errors = process.communicate(interleaved(60_000), timeout=60)
    reader.join(timeout=60)
    assert (process.returncode, output, errors) == (141, b"", b"")


def test_cut_stream_fails_and_frees_the_readers(tmp_path: Path) -> None:
    process, pipes = start_mates(tmp_path)
    threads = [threading.Thread(target=pipe.read_bytes) for pipe in pipes]
    for thread in threads:
        thread.start()
    output, errors = process.communicate(interleaved(100)[:-20], timeout=60)
    for thread in threads:
        thread.join(timeout=60)
    assert process.returncode == 1
    assert output == b""
    assert b"in the middle of read 200" in errors
    assert not any(thread.is_alive() for thread in threads)


def test_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "refinebio_assets.rnaseq.mates", "one"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"usage" in done.stderr


# --- assign_mates, index_length -------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x.sra"], MateFiles("x.sra")),
        (["x_2.fastq.gz"], MateFiles("x_2.fastq.gz")),
        (["x_2.fastq.gz", "x_1.fastq.gz"], MateFiles("x_1.fastq.gz", "x_2.fastq.gz")),
        (["b/x_R2.fq", "a/x_R1.fq"], MateFiles("a/x_R1.fq", "b/x_R2.fq")),
        (["x.2.fq.gz", "x.1.fq.gz"], MateFiles("x.1.fq.gz", "x.2.fq.gz")),
        (
            ["x_S1_L001_R2_001.fastq.gz", "x_S1_L001_R1_001.fastq.gz"],
            MateFiles("x_S1_L001_R1_001.fastq.gz", "x_S1_L001_R2_001.fastq.gz"),
        ),
        (["late.fq", "early.fq"], MateFiles("late.fq", "early.fq")),
        (["b_1.fq", "a_1.fq"], MateFiles("b_1.fq", "a_1.fq")),
        (
            ["x.fastq.gz", "x_2.fastq.gz", "x_1.fastq.gz"],
            MateFiles("x_1.fastq.gz", "x_2.fastq.gz", ("x.fastq.gz",)),
        ),
    ],
)
def test_mates_by_name(names: list[str], expected: MateFiles) -> None:
    assert assign_mates(names) == expected


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["x_1.fq", "x_1.fq"],
        ["x.sra", "y.sra"],
        ["a.fq", "b.fq", "c.fq"],
        ["x_1.fq", "y_2.fq", "z.fq"],
        ["x_1.fq", "x_2.fq", "y_1.fq", "y_2.fq"],
    ],
)
def test_other_sets_of_files_are_refused(names: list[str]) -> None:
    with pytest.raises(UnsupportedRawFile, match="Name one file, or two mates"):
        assign_mates(names)


@pytest.mark.parametrize(
    ("mean", "expected"), [(-1, "short"), (36, "short"), (75, "short"), (76, "long"), (250, "long")]
)
def test_index_length(mean: float, expected: str) -> None:
    assert index_length(mean) == expected
