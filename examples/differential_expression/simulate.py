"""An experiment whose truth is known: a small transcriptome, and reads of two conditions.

Of 400 genes, 20 have four times and 20 a quarter of the transcripts in `treated`. Another 12
switch: as many transcripts as before, but of an isoform four times as long, so that four
times as many reads come from them. All others are alike, but for what replicates differ by.

Usage: simulate.py FOLDER
Writes transcripts.fa.gz, transcripts.gtf, reference.yaml, samples.tsv, truth.tsv, *.fastq.gz
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

GENES, UP, DOWN, SWITCHED = 400, 20, 20, 12
FOLD = 4.0
REPLICATES = 3
DISPERSION = 0.02  # of replicates: their coefficient of variation is its square root
READS, READ_LENGTH = 80_000, 76  # of a sample, within a third; the long index's reads
FRAGMENT, SPREAD = 250, 25  # bases; what Salmon assumes of single reads
ORGANISM = "EXEMPLI_GRATIA"
BASES = np.frombuffer(b"ACGT", np.uint8)


def main() -> None:
    """Write everything into the folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20140)
    genes = [f"EXG{number:05d}" for number in range(GENES)]
    role = np.repeat(
        ["up", "down", "switched", "same"],
        [UP, DOWN, SWITCHED, GENES - UP - DOWN - SWITCHED],
    )
    random.shuffle(role)

    gene_of, lengths, usage = [], [], {"control": [], "treated": []}
    for gene, what in enumerate(role):
        if what == "switched":
            of_gene, control, treated = [700, 2050], [0.9, 0.1], [0.1, 0.9]
        else:
            of_gene = random.integers(500, 2500, random.integers(1, 4)).tolist()
            control = treated = random.dirichlet(np.full(len(of_gene), 3.0)).tolist()
        gene_of += [gene] * len(of_gene)
        lengths += of_gene
        usage["control"] += control
        usage["treated"] += treated
    sequences = [BASES[random.integers(0, 4, length)] for length in lengths]
    write_transcripts(folder, genes, gene_of, sequences)

    usual = random.lognormal(3.0, 0.8, GENES)  # transcripts of a gene
    fold = np.select([role == "up", role == "down"], [FOLD, 1 / FOLD], 1.0)
    sheet = ["experiment\tsample\torganism\ttechnology\tfiles\tcondition"]
    for condition in ("control", "treated"):
        for replicate in range(1, REPLICATES + 1):
            noise = random.gamma(1 / DISPERSION, DISPERSION, GENES)
            molecules = usual * noise * (fold if condition == "treated" else 1.0)
            of_transcript = molecules[gene_of] * np.array(usage[condition])
            sample = f"{condition}-{replicate}"
            reads = int(READS * random.uniform(2 / 3, 4 / 3))
            write_reads(folder / f"{sample}.fastq.gz", sequences, of_transcript, reads, random)
            named = f"{sample}\tExempli gratia\tRNA-SEQ\t{sample}.fastq.gz\t{condition}"
            sheet.append(f"SIMULATED-READS\t{named}")
    (folder / "samples.tsv").write_text("\n".join(sheet) + "\n")
    truth = [
        f"{gene}\t{what}\t{np.log2(by):g}" for gene, what, by in zip(genes, role, fold, strict=True)
    ]
    (folder / "truth.tsv").write_text("\n".join(["gene\trole\tlog2_fold_change", *truth]) + "\n")


def write_transcripts(
    folder: Path, genes: list[str], gene_of: list[int], sequences: list[np.ndarray]
) -> None:
    """FASTA, GTF (each transcript one exon of a made-up chromosome), reference catalogue."""
    start = 1
    with (
        gzip.open(folder / "transcripts.fa.gz", "wb", 6) as fasta,
        (folder / "transcripts.gtf").open("w") as gtf,
    ):
        for number, (gene, sequence) in enumerate(zip(gene_of, sequences, strict=True)):
            name, end = f"EXT{number:05d}", start + len(sequence) - 1
            fasta.write(b">" + name.encode() + b"\n" + sequence.tobytes() + b"\n")
            said = f'gene_id "{genes[gene]}"; transcript_id "{name}"; gene_name "eg{gene}";'
            for feature in ("transcript", "exon"):
                gtf.write(f"chrE\tmade_up\t{feature}\t{start}\t{end}\t.\t+\t.\t{said}\n")
            start = end + 101
    (folder / "reference.yaml").write_text(
        f"organisms:\n  {ORGANISM}:\n    database: MadeUp\n    release: '1'\n"
        "    assembly: eg1\n    transcripts: transcripts.fa.gz\n    gene_map: transcripts.gtf\n"
    )


def write_reads(
    path: Path,
    sequences: list[np.ndarray],
    molecules: np.ndarray,
    reads: int,
    random: np.random.Generator,
) -> None:
    """Single reads: the first bases of fragments, which begin anywhere in their transcripts."""
    lengths = np.array([len(sequence) for sequence in sequences])
    share = molecules * (lengths - FRAGMENT)
    chosen = random.choice(len(sequences), reads, p=share / share.sum())
    size = np.clip(random.normal(FRAGMENT, SPREAD, reads).astype(int), READ_LENGTH, None)
    begins = (random.random(reads) * (lengths[chosen] - size + 1)).astype(int)
    offsets = np.cumsum(lengths) - lengths
    at = (offsets[chosen] + begins)[:, None] + np.arange(READ_LENGTH)
    text = np.concatenate(sequences)[at]
    quality = b"\n+\n" + b"I" * READ_LENGTH + b"\n"
    with gzip.open(path, "wb", 1) as file:
        for number, read in enumerate(text):
            file.write(b"@read%d\n" % number + read.tobytes() + quality)


if __name__ == "__main__":
    main()
