"""Small made-up transcriptomes and reads, the same every time, for tests with real tools."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BASES = np.frombuffer(b"ACGT", dtype=np.uint8)
COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")


@dataclass(frozen=True)
class Transcriptome:
    """Transcript id -> sequence, and transcript id -> gene id."""

    organism: str
    sequences: dict[str, bytes]
    genes: dict[str, str]


def make_transcriptome(organism: str, genes: int = 40, seed: int = 1) -> Transcriptome:
    """Random genes of one to three transcripts of 500 to 1,500 bases."""
    random = np.random.default_rng(seed)
    sequences, gene_of = {}, {}
    for gene in range(genes):
        for isoform in range(int(random.integers(1, 4))):
            name = f"ENST{seed:03d}{gene:05d}{isoform}"
            sequences[name] = BASES[
                random.integers(0, 4, int(random.integers(500, 1500)))
            ].tobytes()
            gene_of[name] = f"ENSG{seed:03d}{gene:05d}"
    return Transcriptome(organism, sequences, gene_of)


def write_catalogue(folder: Path, *transcriptomes: Transcriptome) -> Path:
    """FASTA, gene map and a reference catalogue over them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["organisms:"]
    for each in transcriptomes:
        fasta, gene_map = folder / f"{each.organism}.fa.gz", folder / f"{each.organism}.tsv"
        with gzip.open(fasta, "wb") as file:
            for name, sequence in each.sequences.items():
                file.write(b">" + name.encode() + b"\n" + sequence + b"\n")
        gene_map.write_text("".join(f"{tx}\t{gene}\n" for tx, gene in each.genes.items()))
        lines += [
            f"  {each.organism}:",
            "    database: Synthetic",
            "    release: '1'",
            "    assembly: made-up",
            f"    transcripts: {fasta.name}",
            f"    gene_map: {gene_map.name}",
        ]
    catalogue = folder / "reference.yaml"
    catalogue.write_text("\n".join(lines) + "\n")
    return catalogue


def make_pairs(
    transcriptome: Transcriptome, pairs: int, length: int = 76, seed: int = 7
) -> tuple[list[bytes], list[bytes]]:
    """Reads of fragments of 200 to 400 bases, from transcripts of unequal abundance."""
    random = np.random.default_rng(seed)
    sequences = list(transcriptome.sequences.values())
    share = random.lognormal(0, 1.5, len(sequences))
    chosen = random.choice(len(sequences), pairs, p=share / share.sum())
    sizes = random.integers(200, 400, pairs)
    first, second = [], []
    for which, size in zip(chosen, sizes, strict=True):
        sequence = sequences[which]
        start = int(random.integers(0, len(sequence) - size))
        fragment = sequence[start : start + size]
        first.append(fragment[:length])
        second.append(fragment.translate(COMPLEMENT)[::-1][:length])
    return first, second


def write_fastq(path: Path, reads: list[bytes], mate: int | None = None) -> Path:
    """Write reads as FASTQ; gzip where the name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = b"" if mate is None else b"/%d" % mate
    records = b"".join(
        b"@read%d%s\n%s\n+\n%s\n" % (number, suffix, read, b"I" * len(read))
        for number, read in enumerate(reads)
    )
    path.write_bytes(gzip.compress(records, 1) if path.suffix == ".gz" else records)
    return path


def write_pair(
    folder: Path, name: str, transcriptome: Transcriptome, pairs: int, **options: int
) -> str:
    """Write two mate files and return them as a sample sheet names them."""
    first, second = make_pairs(transcriptome, pairs, **options)
    files = [
        write_fastq(folder / f"{name}_1.fastq.gz", first, 1),
        write_fastq(folder / f"{name}_2.fastq.gz", second, 2),
    ]
    return ";".join(file.name for file in files)


def write_sheet(path: Path, rows: list[dict[str, str]]) -> Path:
    """A sample sheet of RNA-seq samples; each row needs experiment, sample, organism, files."""
    names = list(dict.fromkeys(["technology", *(key for row in rows for key in row)]))
    lines = ["\t".join(names)]
    lines += ["\t".join({"technology": "RNA-SEQ", **row}.get(n, "") for n in names) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path
