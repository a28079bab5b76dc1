"""Salmon (Patro et al. 2017, Nature Methods): building an index, quantifying a sample."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from refinebio_assets.errors import InvalidReference, ReadsDoNotMatchReference, ToolFailed
from refinebio_assets.resources.process import run_tool
from refinebio_assets.resources.tool import Tool

_PROCESSED = re.compile(r"processed ([\d,]+) fragments")
_STAMP = re.compile(r"^\[[-\d :.]+\] \[\w+\] ")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WORTH_TELLING = re.compile(r"^\[(warning|error|critical)\]|Mapping rate")
_IN_METADATA = re.compile(r"burn-in fragments|NOTE: Read Lib")  # the rates and checks say it better
_REFUSED = re.compile(
    r"only able to assign|very bad sample|no (?:reads|fragments|alignments)", re.I
)


class Salmon(Tool):
    """The `salmon` program, run locally."""

    title: ClassVar[str] = "Salmon"
    minimum: ClassVar[tuple[int, ...]] = (1, 4)
    debian_packages: ClassVar[str] = "salmon"

    program: str = Field(default="salmon", description="Command or path of salmon.")
    threads: int = Field(
        default=os.cpu_count() or 1, ge=1, description="Threads of one Salmon process."
    )
    timeout_hours: float = Field(
        default=3, gt=0, description="A sample that takes longer has failed."
    )

    def command(self) -> str:
        """The program that is asked for its version."""
        return self.program

    def build_index(
        self, transcripts: Path, index: Path, k: int, on_line: Callable[[str], None]
    ) -> None:
        """Index a transcript FASTA (plain or gzip) into the folder `index`.

        Raises
        ------
        InvalidReference
            If Salmon refuses the transcripts.
        """

        def watch(line: str) -> None:
            if _STAMP.search(line):
                on_line(plain(line))

        arguments: list[str | Path] = [
            "-t",
            transcripts,
            "-i",
            index,
            "-k",
            str(k),
            "-p",
            str(self.threads),
        ]
        try:
            run_tool(
                [self.program, "--no-version-check", "index", *arguments],
                on_line=watch,
            )
        except ToolFailed as failed:
            raise InvalidReference(f"Salmon refused the transcripts. {failed}") from failed

    def quantify(
        self,
        index: Path,
        reads: list[str | Path],
        output: Path,
        on_line: Callable[[str], None],
        on_progress: Callable[[int], None],
    ) -> None:
        """Run `salmon quant` into the folder `output`.

        Parameters
        ----------
        reads
            Read files and options, from `rnaseq.quantification.read_arguments`.
        on_progress
            Called with the number of fragments processed so far.

        Raises
        ------
        ReadsDoNotMatchReference
            If (almost) no fragment could be assigned.
        ToolFailed, ToolTimedOut
        """

        def watch(line: str) -> None:
            text = plain(line)
            processed = _PROCESSED.search(text)
            if processed:
                on_progress(int(processed.group(1).replace(",", "")))
            elif _WORTH_TELLING.search(text) and not _IN_METADATA.search(text):
                on_line(text)

        command: list[str | Path] = [
            self.program,
            "--no-version-check",
            "quant",
            "-i",
            index,
            "-o",
            output,
        ]
        try:
            run_tool(
                [*command, *reads, "-p", str(self.threads)],
                on_line=watch,
                timeout=self.timeout_hours * 3600,
            )
        except ToolFailed as failed:
            refused = [plain(line) for line in failed.tail if _REFUSED.search(line)]
            if refused:
                raise ReadsDoNotMatchReference(refused[0]) from failed
            raise


def plain(line: str) -> str:
    """A line of Salmon's output without colours and time stamp."""
    return _STAMP.sub("", _COLOUR.sub("", line)).strip()
