"""NCBI's sra-toolkit: checking an .sra file and streaming its reads without writing them.

The reads of an .sra file go from `fastq-dump` through `rnaseq.mates` into named pipes
that Salmon opens as if they were FASTQ files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ElementTree
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar, Literal

from pydantic import Field

from refinebio_assets.errors import InvalidRun, ToolFailed
from refinebio_assets.resources.process import TAIL_LINES, run_tool, started
from refinebio_assets.resources.tool import Tool

Layout = Literal["SINGLE", "PAIRED"]
DUMP_ARGUMENTS = (
    "--stdout",
    "--split-spot",
    "--skip-technical",
    "--defline-seq",
    "@$si.$ri",
    "--defline-qual",
    "+",
    "--ncbi_error_report",
    "never",
)


@dataclass(frozen=True)
class RunStatistics:
    """What `sra-stat` says of a run."""

    spots: int
    bases: int
    layout: Layout
    mean_length: float


@dataclass
class DumpedReads:
    """Pipes to read from, and, once they are drained, what went through them."""

    pipes: list[Path]
    pairs: int | None = None
    unmated: int = 0
    said: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))


class SraToolkit(Tool):
    """`fastq-dump`, `sra-stat` and `vdb-validate`, run locally."""

    title: ClassVar[str] = "sra-toolkit"
    minimum: ClassVar[tuple[int, ...]] = (2, 9)
    debian_packages: ClassVar[str] = "sra-toolkit"

    fastq_dump: str = Field(default="fastq-dump", description="Command or path of fastq-dump.")
    sra_stat: str = Field(default="sra-stat", description="Command or path of sra-stat.")
    vdb_validate: str = Field(
        default="vdb-validate", description="Command or path of vdb-validate."
    )

    def command(self) -> str:
        """The program that is asked for its version."""
        return self.fastq_dump

    def check_whole(self, run: Path) -> None:
        """Read the whole file and check every checksum in it.

        Raises
        ------
        InvalidRun
        """
        try:
            run_tool([self.vdb_validate, run])
        except ToolFailed as failed:
            raise InvalidRun(f"{run.name} is damaged: {_errors(failed)}") from failed

    def statistics(self, run: Path) -> RunStatistics:
        """Spots, bases, layout and mean read length of an .sra file.

        PAIRED where at least one spot has two biological reads that are not empty; technical
        reads are not counted.

        Raises
        ------
        InvalidRun
        """
        try:
            lines = run_tool_whole([self.sra_stat, "-x", "--statistics", run])
            return _parse_statistics(lines)
        except ToolFailed as failed:
            raise InvalidRun(f"{run.name} cannot be read: {_errors(failed)}") from failed
        except (ElementTree.ParseError, KeyError, ValueError, AttributeError) as error:
            raise InvalidRun(f"sra-stat's answer on {run.name} is not understood.") from error

    @contextmanager
    def reads(self, run: Path, layout: Layout) -> Iterator[DumpedReads]:
        """Named pipes that give the run's reads: one for SINGLE, two mates for PAIRED.

        The pipes must be read inside the block. When it is left without an error, the dump
        is checked to have come to its end.

        Raises
        ------
        InvalidRun
            If fastq-dump failed: what was read from the pipes is then not the whole run.
        """
        with tempfile.TemporaryDirectory(prefix="refinebio-reads-") as folder:
            names = ["reads"] if layout == "SINGLE" else ["mate1", "mate2"]
            pipes = [Path(folder) / name for name in names]
            for pipe in pipes:
                os.mkfifo(pipe)
            dumped = DumpedReads(pipes)
            dump: list[str | Path] = [self.fastq_dump, *DUMP_ARGUMENTS, run.absolute()]
            forward: list[str | Path] = ["dd", "bs=1M", "status=none", f"of={pipes[0]}"]
            if layout == "PAIRED":
                forward = [sys.executable, "-m", "refinebio_assets.rnaseq.mates", *pipes]
            with (
                started(dump, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dumper,
                started(
                    forward, stdin=dumper.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                ) as forwarder,
            ):
                _close(dumper.stdout)
                listening = _listen(dumper.stderr, dumped.said)
                complaints: deque[str] = deque(maxlen=TAIL_LINES)
                complaining = _listen(forwarder.stderr, complaints)
                yield dumped
                counts = forwarder.stdout.read() if forwarder.stdout else b""
                codes = (dumper.wait(), forwarder.wait())
                listening.join()
                complaining.join()
            if any(codes):
                said = "\n".join([*dumped.said, *complaints])
                raise InvalidRun(f"The reads of {run.name} could not be dumped whole:\n{said}")
            if layout == "PAIRED":
                found = json.loads(counts)
                dumped.pairs, dumped.unmated = found["pairs"], found["unmated"]


def run_tool_whole(command: list[str | Path]) -> str:
    """Like `run_tool`, for a program whose whole standard output is a document."""
    lines: list[str] = []
    run_tool(command, on_line=lines.append)
    return "\n".join(lines)


def _parse_statistics(text: str) -> RunStatistics:
    document = ElementTree.fromstring(text[text.index("<Run") :])  # noqa: S314  # our own child's
    statistics = document.find("Statistics")
    bases = document.find("Bases")
    if statistics is None or bases is None:
        raise ValueError("no statistics")
    spots, total = int(statistics.attrib["nspots"]), int(bases.attrib["count"])
    mates = int(document.attrib["spot_count_mates"])
    if not (spots and total):
        raise ValueError("no reads")
    return RunStatistics(
        spots=spots,
        bases=total,
        layout="PAIRED" if mates else "SINGLE",
        mean_length=total / (spots + mates),
    )


def _errors(failed: ToolFailed) -> str:
    errors = [line.split("err: ")[-1] for line in failed.tail if " err: " in line]
    return "; ".join(errors[:3]) or failed.message


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()


def _listen(stream: IO[bytes] | None, into: deque[str]) -> threading.Thread:
    def listen() -> None:
        for line in stream or ():
            into.append(line.decode("utf-8", "replace").rstrip())

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    return thread
