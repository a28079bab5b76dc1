"""What Salmon is asked for, and what its output folder says.

The options are those of the reference system (`-l A --seqBias`, and `--gcBias` for
paired reads); the output folder is kept as Salmon wrote it, so that tximeta can read it.
Not here: starting Salmon.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refinebio_assets.errors import InvalidQuantification, InvalidReference

QUANT_COLUMNS = b"Name\tLength\tEffectiveLength\tTPM\tNumReads\n"
K_OF_INDEX = {"short": 23, "long": 31}
MOST_MISFITS = 0.05  # share of fragments that may contradict the library type
ONE_STRANDED = 0.7  # share on one strand from which 'unstranded' is doubtful


@dataclass(frozen=True)
class SalmonOptions:
    """The options that change what Salmon computes or keeps; defaults as refine.bio's."""

    gc_bias_of_paired: bool = True
    equivalence_classes: bool = True
    unmapped_names: bool = False


@dataclass(frozen=True)
class SalmonResult:
    """Rates and library type, from `meta_info.json` and `lib_format_counts.json`.

    `strand_bias` is the share of compatible fragments on the commoner strand (0.5 … 1);
    `disagreement` says in words what does not fit the library type, or is None.
    """

    num_processed: int
    num_mapped: int
    percent_mapped: float
    library_type: str
    compatible_fragment_ratio: float
    strand_bias: float
    index_sha256: str
    salmon_version: str
    command: str

    @property
    def disagreement(self) -> str | None:
        """What in the reads contradicts the detected library type, in words."""
        if self.compatible_fragment_ratio < 1 - MOST_MISFITS:
            share = 100 * (1 - self.compatible_fragment_ratio)
            return f"{share:.0f} % of fragments do not fit library type {self.library_type}"
        if "U" in self.library_type and self.strand_bias > ONE_STRANDED:
            share = 100 * self.strand_bias
            return f"called unstranded, but {share:.0f} % of fragments are on one strand"
        return None


def read_arguments(reads: Sequence[Path], layout: str, options: SalmonOptions) -> list[str | Path]:
    """The arguments of `salmon quant` that follow from the reads and the options."""
    arguments: list[str | Path] = ["-l", "A", "--seqBias"]
    if layout == "PAIRED":
        arguments += ["-1", reads[0], "-2", reads[1]]
        if options.gc_bias_of_paired:
            arguments += ["--gcBias", "--biasSpeedSamp", "5"]
    else:
        arguments += ["-r", reads[0]]
    if options.equivalence_classes:
        arguments.append("--dumpEq")
    if options.unmapped_names:
        arguments.append("--writeUnmappedNames")
    return arguments


def read_salmon_output(folder: Path) -> SalmonResult:
    """Read and check a Salmon output folder.

    Raises
    ------
    InvalidQuantification
        If a file is missing, truncated or not what Salmon writes.
    """
    meta = _json(folder / "aux_info" / "meta_info.json")
    library = _json(folder / "lib_format_counts.json")
    command = _json(folder / "cmd_info.json")
    lines = _lines_of_quant_file(folder / "quant.sf")
    try:
        if lines != 1 + int(meta["num_valid_targets"]):
            raise InvalidQuantification(f"quant.sf of {folder} does not hold every transcript.")
        bias = float(library.get("strand_mapping_bias", 0.5))
        return SalmonResult(
            num_processed=int(meta["num_processed"]),
            num_mapped=int(meta["num_mapped"]),
            percent_mapped=float(meta["percent_mapped"]),
            library_type=str(library["expected_format"]),
            compatible_fragment_ratio=float(library["compatible_fragment_ratio"]),
            strand_bias=max(bias, 1 - bias),
            index_sha256=str(meta["index_seq_hash"]),
            salmon_version=str(meta["salmon_version"]),
            command=json.dumps(command, sort_keys=True),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidQuantification(f"{folder} lacks what Salmon writes: {error!r}.") from error


def index_sha256(index: Path) -> str:
    """Salmon's digest of the sequences of an index (also in every quantification made with it).

    Raises
    ------
    InvalidReference
        If the folder is not a complete Salmon index.
    """
    try:
        return str(json.loads((index / "info.json").read_text())["SeqHash"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidReference(f"{index} is not a complete Salmon index.") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidQuantification(f"{path.name} is missing or cut.") from error
    if not isinstance(content, dict):
        raise InvalidQuantification(f"{path.name} is not Salmon's.")
    return content


def _lines_of_quant_file(path: Path) -> int:
    try:
        with path.open("rb") as file:
            header, *lines = file
    except (OSError, ValueError) as error:
        raise InvalidQuantification(f"{path.name} is missing or empty.") from error
    last = lines[-1] if lines else b""
    if header != QUANT_COLUMNS or last.count(b"\t") != 4 or not last.endswith(b"\n"):
        raise InvalidQuantification(f"{path.name} is truncated or not Salmon's.")
    return 1 + len(lines)
