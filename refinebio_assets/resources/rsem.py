"""RSEM, of which one program is used: it cuts transcripts out of a genome."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from refinebio_assets.errors import InvalidReference, ToolFailed
from refinebio_assets.resources.process import run_tool
from refinebio_assets.resources.tool import Tool


class Rsem(Tool):
    """`rsem-prepare-reference`, run locally."""

    title: ClassVar[str] = "RSEM"
    minimum: ClassVar[tuple[int, ...]] = (1, 3)
    debian_packages: ClassVar[str] = "rsem"

    prepare_reference: str = Field(
        default="rsem-prepare-reference", description="Command or path of rsem-prepare-reference."
    )
    calculate_expression: str = Field(
        default="rsem-calculate-expression",
        description="Command or path of rsem-calculate-expression; only asked for the version.",
    )
    threads: int = Field(default=os.cpu_count() or 1, ge=1)

    def command(self) -> str:
        """The program that is asked for its version."""
        return self.calculate_expression

    def transcripts(
        self,
        genome: Path,
        annotation: Path,
        gene_map: Path,
        folder: Path,
        on_line: Callable[[str], None],
    ) -> Path:
        """Write the spliced transcripts of a genome as FASTA and return its path.

        Parameters
        ----------
        genome, annotation
            Uncompressed FASTA and GTF.
        gene_map
            TSV without header: gene, transcript.
        folder
            Empty folder to work in.

        Raises
        ------
        InvalidReference
            If RSEM refuses the genome or the annotation.
        """
        prefix = folder / "rsem"
        self.version()
        try:
            run_tool(
                [
                    self.prepare_reference,
                    "--num-threads",
                    str(self.threads),
                    "--gtf",
                    annotation,
                    "--transcript-to-gene-map",
                    gene_map,
                    genome,
                    prefix,
                ],
                on_line=on_line,
            )
        except ToolFailed as failed:
            raise InvalidReference(f"RSEM refused the genome and annotation. {failed}") from failed
        return prefix.with_name("rsem.transcripts.fa")
