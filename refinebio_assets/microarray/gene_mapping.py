"""A gene map made here: which gene's transcripts a probe spells, and only one gene's.

BrainArray's rules, on an organism's transcripts instead of its genome: a probe counts where all
its 25 bases occur in transcripts of one gene and of no other, and a gene needs three such
probes. Source: Dai et al., Nucleic Acids Research 33:e175 (2005).

How a probe is written differs. 3' arrays bind antisense targets, so their probes read as the
transcript does; whole-transcript (ST) arrays bind sense targets, so theirs are its reverse
complement, and a PGF writes them from the 3' end, so that they are its complement. Which of
the four ways it is, is told by the transcripts: the one in which most of a sample of the
probes are found. (1,092 human transcripts hold 2,772 of the HG-U95Av2 probes as written, 241 as
reverse complements, none the other ways.) Not here: where transcripts come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from refinebio_assets import compression
from refinebio_assets.errors import InvalidProbeAnnotation, InvalidReference
from refinebio_assets.microarray.probes import PROBE_LENGTH, GeneMap, ProbeTable, gene_map

Orientation = Literal["as written", "reversed", "complement", "reverse complement"]
ORIENTATIONS: Final[tuple[Orientation, ...]] = (
    "as written",
    "reversed",
    "complement",
    "reverse complement",
)
FEWEST_PROBES: Final = 3  # of a gene; BrainArray's

_SAMPLE: Final = 20_000  # probes by which the orientation is told
_MOST_NAME_BYTES: Final = 1 << 20
_NONE, _SEVERAL = -1, -2  # instead of a gene

_SKIP, _OTHER = 4, 5  # line ends and blanks; what is no base, and no base of a probe
_BASE: Final = np.full(256, _OTHER, dtype=np.uint8)
_BASE[np.frombuffer(b"\r\n\t ", dtype=np.uint8)] = _SKIP
for _letters in (b"ACGT", b"acgt", b"ACGU", b"acgu"):
    _BASE[np.frombuffer(_letters, dtype=np.uint8)] = np.arange(4)

_MASK: Final = np.uint64((1 << 2 * PROBE_LENGTH) - 1)
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


@dataclass(frozen=True)
class MappedProbes:
    """A gene map, how it came about, and which probes are not in it, by the reason."""

    genes: GeneMap
    orientation: Orientation
    not_found: int
    of_several_genes: int
    of_small_genes: int


def map_probes_to_transcripts(
    probes: ProbeTable,
    transcripts: Path,
    gene_of_transcript: Mapping[str, str],
    *,
    fewest_probes: int = FEWEST_PROBES,
) -> GeneMap:
    """As `map_probes`, the gene map alone."""
    return map_probes(probes, transcripts, gene_of_transcript, fewest_probes=fewest_probes).genes


def map_probes(
    probes: ProbeTable,
    transcripts: Path,
    gene_of_transcript: Mapping[str, str],
    *,
    fewest_probes: int = FEWEST_PROBES,
) -> MappedProbes:
    """Assign each probe to the one gene whose transcripts hold it.

    The transcripts are read twice, a MiB at a time.

    Parameters
    ----------
    probes
        Of one platform.
    transcripts
        FASTA, plain or gzip. An id ends at the first white space; its version (a last `.` and
        what follows) is left out where only the id without it has a gene.
    gene_of_transcript
        Transcripts without a gene are passed over.
    fewest_probes
        A gene with fewer is left out.

    Raises
    ------
    InvalidReference
        The transcripts cannot be read, are not FASTA, or none has a gene.
    InvalidProbeAnnotation
        No gene has enough probes.
    """
    names = sorted(set(gene_of_transcript.values()))
    codes = {name: code for code, name in enumerate(names)}
    genes = {transcript: codes[gene] for transcript, gene in gene_of_transcript.items()}
    orientation = _orientation(probes.sequence, transcripts, genes)
    gene = _genes_of(_keys(probes.sequence, orientation), transcripts, genes)
    rows = (
        pl.DataFrame({"x": probes.x, "y": probes.y, "gene": gene})
        .filter(pl.col("gene") >= 0)
        .unique()
    )
    kept = rows.filter(pl.len().over("gene") >= fewest_probes)
    if kept.is_empty():
        raise InvalidProbeAnnotation(
            f"No gene of {transcripts.name} has {fewest_probes} probes of its own; "
            f"{len(rows)} of {len(probes.x)} probes are found in one gene only."
        )
    named = kept.with_columns(gene=pl.Series(names, dtype=pl.String).gather(kept["gene"]))
    return MappedProbes(
        genes=gene_map(transcripts.name, named),
        orientation=orientation,
        not_found=int((gene == _NONE).sum()),
        of_several_genes=int((gene == _SEVERAL).sum()),
        of_small_genes=len(rows) - len(kept),
    )


def _orientation(
    sequence: NDArray[np.uint8], transcripts: Path, genes: Mapping[str, int]
) -> Orientation:
    step = -(-len(sequence) // _SAMPLE)
    each = [_keys(sequence[::step], orientation) for orientation in ORIENTATIONS]
    found = _genes_of(np.concatenate(each), transcripts, genes) != _NONE
    counts = found.reshape(len(ORIENTATIONS), -1).sum(axis=1)
    if not counts.any():
        raise InvalidProbeAnnotation(
            f"None of {len(each[0])} probes is found in {transcripts.name}, whichever way they "
            "are written.",
            remedy="Check that the transcripts are those of the array's organism.",
        )
    return ORIENTATIONS[int(counts.argmax())]


def _keys(sequence: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint64]:
    """Each probe as one number, two bits a base, as it would read in a transcript."""
    read = 3 - sequence if "complement" in orientation else sequence
    if orientation.startswith("reverse"):
        read = read[:, ::-1]
    keys = np.zeros(len(read), dtype=np.uint64)
    for column in read.T:
        keys = (keys << np.uint64(2)) | column
    return keys


def _genes_of(
    keys: NDArray[np.uint64], transcripts: Path, genes: Mapping[str, int]
) -> NDArray[np.int32]:
    """For each key the gene that holds it, _NONE or _SEVERAL."""
    bits = max(10, (2 * len(keys)).bit_length())
    table = np.zeros(1 << bits, dtype=np.uint64)  # holds key + 1; 0 is free
    present = np.zeros(1 << bits, dtype=np.uint8)  # eight bits a slot: says no to most, and soon
    slots = np.empty(len(keys), dtype=np.int64)
    shift = np.uint64(64 - 3 - bits)
    _fill(keys, table, present, shift, slots)
    gene_of_slot = np.full(len(table), _NONE, dtype=np.int32)
    state = np.zeros(2, dtype=np.uint64)
    for text, begins, ends, of_stretch in _stretches(transcripts, genes):
        _scan(text, begins, ends, of_stretch, state, table, present, shift, gene_of_slot)
    return gene_of_slot[slots]


def _stretches(
    path: Path, genes: Mapping[str, int]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]]:
    """Pieces of a FASTA, and the parts of each that are bases, with their genes.

    The first part goes on with the transcript of the piece before; a gene of _NONE is unknown.
    """
    gene, known, transcripts = _NONE, 0, 0
    rest, line_begins = b"", True
    for piece in _pieces(path):
        text = rest + piece
        marks = np.frombuffer(text, dtype=np.uint8)
        heads = np.flatnonzero(marks == ord(">"))
        heads = heads[np.where(heads == 0, line_begins, marks[heads - 1] == ord("\n"))]
        rest = b""
        if len(heads) and text.find(b"\n", heads[-1]) < 0:  # a name that goes on
            rest, marks, heads = text[heads[-1] :], marks[: heads[-1]], heads[:-1]
            if len(rest) > _MOST_NAME_BYTES:
                raise InvalidReference(f"{path.name} is not FASTA: a name does not end.")
        line_begins = bool(rest) or text.endswith(b"\n")
        begins, ends, of_stretch = [0], [], [gene]
        for head in heads.tolist():
            end = text.index(b"\n", head)
            gene = _gene_of(text[head + 1 : end], genes)
            known += gene != _NONE
            ends.append(head)
            begins.append(end + 1)
            of_stretch.append(gene)
        ends.append(len(marks))
        if not transcripts and text[: ends[0]].strip():
            raise InvalidReference(f"{path.name} is not FASTA: it does not begin with '>'.")
        transcripts += len(heads)
        yield marks, np.array(begins), np.array(ends), np.array(of_stretch, dtype=np.int32)
    if not known:
        raise InvalidReference(
            f"None of the {transcripts} transcripts in {path.name} has a gene in the gene map."
        )


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        yield from compression.pieces(path)
    except OSError as error:
        raise InvalidReference(f"{path.name} cannot be read: {error.strerror}.") from error
    except compression.DamagedGzip as error:
        raise InvalidReference(f"{path.name} is damaged: {error}.") from error


def _gene_of(name: bytes, genes: Mapping[str, int]) -> int:
    transcript = (name.decode("utf-8", "replace").split(maxsplit=1) or [""])[0]
    if transcript in genes:
        return genes[transcript]
    return genes.get(transcript.rpartition(".")[0], _NONE)


# --- the kernels ----------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _fill(
    keys: NDArray[np.uint64],
    table: NDArray[np.uint64],
    present: NDArray[np.uint8],
    shift: np.uint64,
    slots: NDArray[np.int64],
) -> None:
    """Put keys into a table of open addressing; note the slot of each."""
    last = len(table) - 1
    for number in range(len(keys)):
        key = keys[number]
        place = (key * _SPREAD) >> shift
        present[place >> np.uint64(3)] |= np.uint8(1 << (place & np.uint64(7)))
        slot = np.int64(place >> np.uint64(3))
        while table[slot] != 0 and table[slot] != key + np.uint64(1):
            slot = np.int64((slot + 1) & last)
        table[slot] = key + np.uint64(1)
        slots[number] = slot


@njit(cache=True, nogil=True)
def _scan(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    genes: NDArray[np.int32],
    state: NDArray[np.uint64],
    table: NDArray[np.uint64],
    present: NDArray[np.uint8],
    shift: np.uint64,
    gene_of_slot: NDArray[np.int32],
) -> None:
    """Look every 25 bases up; `state` holds the last bases, and how many, between pieces."""
    last = len(table) - 1
    key, run = state[0], np.int64(state[1])
    for stretch in range(len(begins)):
        if stretch > 0:
            run = np.int64(0)
        gene = genes[stretch]
        if gene < 0:
            continue
        for at in range(begins[stretch], ends[stretch]):
            base = _BASE[text[at]]
            if base == _SKIP:
                continue
            if base == _OTHER:
                run = np.int64(0)
                continue
            key = ((key << np.uint64(2)) | np.uint64(base)) & _MASK
            run += np.int64(1)
            if run < PROBE_LENGTH:
                continue
            place = (key * _SPREAD) >> shift
            if not (present[place >> np.uint64(3)] >> np.uint8(place & np.uint64(7))) & 1:
                continue
            slot = np.int64(place >> np.uint64(3))
            while table[slot] != 0:
                if table[slot] == key + np.uint64(1):
                    if gene_of_slot[slot] == _NONE:
                        gene_of_slot[slot] = gene
                    elif gene_of_slot[slot] != gene:
                        gene_of_slot[slot] = _SEVERAL
                    break
                slot = np.int64((slot + 1) & last)
    state[0], state[1] = key, np.uint64(run)
