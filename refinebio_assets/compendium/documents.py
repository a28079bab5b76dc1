"""The texts and metadata files of compendia's zips.

Of a normalized compendium: README.md, LICENSE.TXT, the comparability card, and metadata as
datasets have them, with one table and one document in the primary organism's folder for all
samples, also those of other organisms of its genus. Of an RNA-seq sample compendium: a folder
and a table for each experiment. Where refine.bio gives every submitted key a column, the
tables have the 2,000 that most samples have; the JSON files have all. Written sample by
sample, so that memory is that of the records. Not here: values, and the zip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from refinebio_assets.compendium.assembly import ORIGINS
from refinebio_assets.compendium.card import Card
from refinebio_assets.compendium.rules import Rules
from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.publish.archive import MANIFEST
from refinebio_assets.publish.markdown import count, said, table
from refinebio_assets.publish.metadata_files import (
    AGGREGATED,
    FILTERED,
    DatasetMetadata,
    WrittenMetadata,
    file_name,
    write_metadata,
)
from refinebio_assets.publish.readme import (
    TargetUsed,
    checks_section,
    columns_section,
    left_out_section,
    license_text,
)

README: Final = "README.md"
LICENSE: Final = "LICENSE.TXT"
CARD: Final = "comparability"
MOST_SUBMITTED: Final = 2000

_MOST_LISTED: Final = 50
_KINDS: Final = ("organism", "platform", "processor")
_MEANINGS: Final = {
    "measured": "the sample's own value",
    "imputed": "the sample has none: it was estimated from the other samples and genes",
    "zero restored": "an RNA-seq count of 0",
    "missing": "the sample has none, and nothing was imputed",
}
_PUBLICATIONS: Final = {
    "Affymetrix SCAN": "SCAN: Piccolo et al., Genomics 100:337 (2012)",
    "Illumina SCAN": "SCAN: Piccolo et al., Genomics 100:337 (2012)",
    "Tximport": "tximport: Soneson et al., F1000Research 4:1521 (2015)",
    "Salmon": "Salmon: Patro et al., Nature Methods 14:417 (2017)",
}
_IMPUTATION: Final = "IterativeSVD: Troyanskaya et al., Bioinformatics 17:520 (2001)"
_NORMALISATION: Final = "quantile normalisation: Bolstad et al., Bioinformatics 19:185 (2003)"


@dataclass(frozen=True)
class CompendiumContents:
    """What the README of a normalized compendium tells beside the metadata.

    Attributes
    ----------
    organism
        The primary one, after which folder and matrix are called.
    software
        What made it, with version.
    genes
        Of the matrix.
    genes_seen, genes_considered, genes_with_low_counts, dropped_genes
        As `assembly.JoinedMatrix` has them.
    share_imputed
        Of all values; with engine `none`, the share that is missing.
    share_zeros
        Of all values.
    iterations
        Of the imputation; None where there was none, or it wasn't counted.
    converged
        Whether they came to an end by themselves.
    target
        None where values were not normalised.
    files
        Name in the zip -> what is in it: the matrix, and others that come beside the
        documents.
    beside
        The same of files of the release that are not in the zip.
    references
        Transcriptomes and probe annotations, one in words each.
    warnings
        Sentences for whoever uses it.
    """

    organism: str
    software: str
    rules: Rules
    genes: int
    genes_seen: int
    genes_considered: int
    genes_with_low_counts: int
    dropped_genes: Mapping[str, int]
    share_imputed: float
    share_zeros: float
    iterations: int | None = None
    converged: bool = True
    target: TargetUsed | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    references: Sequence[str] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class RnaseqContents:
    """What the README of an RNA-seq sample compendium tells beside the metadata.

    `references` are the transcriptome releases that were quantified against, in words, and
    how many samples each has; with `whole_folders`, all that Salmon wrote is there, a folder a
    sample.
    """

    organism: str
    software: str
    references: Mapping[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    whole_folders: bool = False


def write_compendium_documents(
    metadata: DatasetMetadata, contents: CompendiumContents, card: Card | None, folder: Path
) -> WrittenMetadata:
    """Write all of a normalized compendium's zip but the matrix.

    Parameters
    ----------
    metadata
        Its recipe is aggregated by SPECIES and not scaled; `groups` has the primary organism
        with all samples in the order of the matrix, `compendium_version` the release.
    folder
        Where the files go, under the names that they have in the zip.

    Raises
    ------
    ValueError
        The metadata are not of a normalized compendium.
    """
    if (
        metadata.compendium_version is None
        or metadata.recipe.aggregate_by != "SPECIES"
        or metadata.recipe.scale_by != "NONE"
        or metadata.recipe.quantile_normalize != contents.rules.quantile_normalize
        or list(metadata.groups) != [contents.organism]
    ):
        raise ValueError("These are not the metadata of a normalized compendium.")
    written = write_metadata(metadata, folder, most_submitted=MOST_SUBMITTED)
    sections = [
        _head("Normalized compendium", contents.organism, contents.software, metadata),
        _files(metadata, contents, card),
        _making(metadata, contents),
        _origins(contents),
        _comparability(card),
        left_out_section(metadata),
        checks_section(metadata.check, [*contents.warnings, *written.warnings]),
        _who(metadata),
        columns_section(),
        _reading(contents),
        _citing(metadata, contents.rules),
    ]
    texts = {
        README: _joined(sections),
        LICENSE: license_text(),
        **{f"{CARD}/{name}": text for name, text in (card.files() if card else {}).items()},
    }
    return WrittenMetadata({**_write(texts, folder), **written.files}, written.warnings)


def write_rnaseq_documents(
    metadata: DatasetMetadata, contents: RnaseqContents, folder: Path
) -> WrittenMetadata:
    """Write all of an RNA-seq sample compendium's zip but the quant.sf files.

    Experiments without a delivered sample are left out.

    Parameters
    ----------
    metadata
        Its recipe is aggregated by EXPERIMENT and `quant_sf_only`; `groups` has, for each
        experiment, the samples whose files are delivered, `compendium_version` the release.
    folder
        Where the files go, under the names that they have in the zip.

    Raises
    ------
    ValueError
        The metadata are not of an RNA-seq sample compendium.
    """
    recipe = metadata.recipe
    is_rnaseq = recipe.aggregate_by == "EXPERIMENT" and recipe.quant_sf_only
    if metadata.compendium_version is None or not is_rnaseq:
        raise ValueError("These are not the metadata of an RNA-seq sample compendium.")
    there = [each for each in metadata.experiments if metadata.groups.get(each.accession)]
    metadata = replace(metadata, experiments=there)
    written = write_metadata(metadata, folder, most_submitted=MOST_SUBMITTED)
    sections = [
        _head("RNA-seq sample compendium", contents.organism, contents.software, metadata),
        _rnaseq_files(metadata, contents),
        _rnaseq_making(contents),
        left_out_section(metadata),
        checks_section(None, [*contents.warnings, *written.warnings]),
        columns_section(),
        _rnaseq_reading(metadata, contents),
        _citing(metadata, None),
    ]
    texts = {README: _joined(sections), LICENSE: license_text()}
    return WrittenMetadata({**_write(texts, folder), **written.files}, written.warnings)


def _joined(sections: Iterable[str]) -> str:
    return "\n".join(section.rstrip() + "\n" for section in sections if section)


def _write(texts: Mapping[str, str], folder: Path) -> dict[str, Path]:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return {name: folder / name for name in texts}


def _head(kind: str, organism: str, software: str, metadata: DatasetMetadata) -> str:
    technologies = Counter(each.technology for each in metadata.samples)
    kinds = ", ".join(f"{number:,} {name}" for name, number in sorted(technologies.items()))
    return f"""\
# {kind} of {said(organism)}, release {metadata.compendium_version}

{count(len(metadata.samples), "sample")} ({kinds}) of \
{count(len(metadata.experiments), "experiment")}. Its newest values are of {metadata.created()} \
UTC. Made by {said(software)}.
"""


# --- normalized compendia ---------------------------------------------------------------


def _files(metadata: DatasetMetadata, contents: CompendiumContents, card: Card | None) -> str:
    group = file_name(contents.organism)
    rows = [(f"`{name}`", said(text)) for name, text in contents.files.items()]
    rows += [
        (f"`{group}/metadata_{group}.tsv`", "a line for each sample, of all organisms"),
        (f"`{group}/metadata_{group}.json`", "the same, with all that was submitted"),
        (f"`{AGGREGATED}`", "all samples and experiments, and how the compendium was made"),
    ]
    if metadata.filtered:
        rows.append((f"`{FILTERED}.tsv`, `.json`", "samples that are left out, with reasons"))
    if card is not None:
        rows.append((f"[{CARD}]({CARD}/README.md)", "whether its samples can be compared"))
    rows += [
        (f"`{LICENSE}`", "terms of use"),
        (f"`{MANIFEST}`", "size, SHA-256, rows and columns of every file"),
    ]
    text = "## Files\n\n" + table(("file", "what is in it"), rows)
    if contents.beside:
        beside = [(f"`{name}`", said(words)) for name, words in contents.beside.items()]
        text += "\nIn the release, and not in this zip:\n\n"
        text += table(("file", "what is in it"), beside)
    return text


def _making(metadata: DatasetMetadata, contents: CompendiumContents) -> str:
    steps = "".join(
        f"{number}. {step}\n" for number, step in enumerate(_steps(metadata, contents), 1)
    )
    dropped = [(said(reason), f"{number:,}") for reason, number in contents.dropped_genes.items()]
    text = f"## How it was made\n\n{steps}"
    if dropped:
        text += "\n" + table(("genes that are not in it, because", "genes"), dropped)
    if contents.target is not None:
        used = contents.target
        cells = (used.organism, str(used.version), str(used.num_samples), str(used.num_genes))
        header = ("target of", "version", "samples", "genes", "SHA-256 of its numbers")
        text += "\n" + table(header, [(*map(said, cells), f"`{used.sha256}`")])
    if contents.references:
        text += "\nReferences:\n\n" + "".join(f"- {said(each)}\n" for each in contents.references)
    return text


def _steps(metadata: DatasetMetadata, contents: CompendiumContents) -> Iterable[str]:
    rules = contents.rules
    has_rnaseq = any(each.technology == RNA_SEQ for each in metadata.samples)
    yield (
        "Samples that were processed from raw data were put together: "
        f"{len(metadata.samples):,} are in the matrix, {len(metadata.filtered):,} are left out. "
        "Array values are on the log2 scale; where a file had a value above 100, its log2 was "
        "taken."
    )
    yield (
        f"Of {contents.genes_seen:,} genes, the {contents.genes_considered:,} were considered that "
        f"more than {_percent(rules.gene_presence)} of the samples have."
    )
    if has_rnaseq:
        yield (
            f"RNA-seq values are tximport's lengthScaledTPM. {contents.genes_with_low_counts:,} "
            f"genes whose sum over all of them is below percentile {rules.low_count_percentile:g} "
            "of the genes' sums were taken out of the RNA-seq samples. Then log2(x + 1) was taken."
        )
    zeros = ", counts of 0 among them," if has_rnaseq else ""
    yield (
        f"Genes that are missing{zeros} in more than {_percent(rules.most_missing_per_gene)} of "
        "the samples were dropped, then samples that lack more than "
        f"{_percent(rules.most_missing_per_sample)} of the genes. {contents.genes:,} genes stay."
    )
    if has_rnaseq:
        yield (
            f"Counts of 0 were put back as 0 and not imputed: {_percent(contents.share_zeros)} of "
            "all values."
        )
    yield _imputation(contents)
    if rules.quantile_normalize:
        yield (
            "Every sample was quantile normalised to the organism's target, imputed values "
            "among the others, so that all have one distribution."
        )
    else:
        yield "Samples were not quantile normalised."
    yield "Genes were not scaled."


def _imputation(contents: CompendiumContents) -> str:
    share = _percent(contents.share_imputed)
    if contents.rules.engine == "none":
        return f"Nothing was imputed: {share} of all values are missing."
    how = "" if contents.rules.engine == "svd" else ", by the original program fancyimpute"
    text = (
        f"What was missing, {share} of all values, was imputed by IterativeSVD of rank "
        f"{contents.rules.rank}{how}"
    )
    if contents.iterations is not None:
        text += f", in {count(contents.iterations, 'iteration')}"
    return f"{text}." if contents.converged else f"{text}, which stopped before it converged."


def _origins(contents: CompendiumContents) -> str:
    absent = "imputed" if contents.rules.engine == "none" else "missing"
    rows = [
        (str(number), name, _MEANINGS[name])
        for number, name in enumerate(ORIGINS)
        if name != absent
    ]
    return (
        "## What each value is\n\nThe layer `origin` of the AnnData file says of every value "
        "whether the sample has it itself. A test that counts imputed values as measured ones "
        "finds too much.\n\n" + table(("origin", "", "meaning"), rows)
    )


def _comparability(card: Card | None) -> str:
    if card is None:
        return ""
    careful = card.careful()
    lines = "".join(f"- **{each.about}**: {each.words}\n" for each in careful)
    return (
        f"## What to be careful with\n\n{lines or 'Nothing was found.'}\n"
        f"All numbers are in [{CARD}]({CARD}/README.md).\n"
    )


def _who(metadata: DatasetMetadata) -> str:
    text = "## Samples\n\n"
    counted: dict[str, Counter[str]] = {each: Counter() for each in _KINDS}
    for each in metadata.samples:
        made = each.processor
        counted["organism"][each.organism] += 1
        counted["platform"][each.platform or each.technology] += 1
        counted["processor"][f"{made.name} ({made.version})" if made else "unknown"] += 1
    for what, counts in counted.items():
        ranked = sorted(counts, key=lambda label: (-counts[label], label))
        rows = [(said(label), f"{counts[label]:,}") for label in ranked[:_MOST_LISTED]]
        text += table((what, "samples"), rows)
        more = len(ranked) - _MOST_LISTED
        text += f"\n… and {more:,} more.\n\n" if more > 0 else "\n"
    return text


def _reading(contents: CompendiumContents) -> str:
    group = file_name(contents.organism)
    named = [*contents.files, *contents.beside]
    lines = []
    for name in named:
        if name.endswith(".tsv"):
            lines += [
                ("r", f'values <- read.delim("{name}", row.names = 1, check.names = FALSE)'),
                ("python", f'values = pandas.read_csv("{name}", sep="\\t", index_col="Gene")'),
            ]
    metadata = f"{group}/metadata_{group}.tsv"
    lines += [
        ("r", f'samples <- read.delim("{metadata}", check.names = FALSE)'),
        ("python", f'samples = pandas.read_csv("{metadata}", sep="\\t", low_memory=False)'),
        (
            "python",
            f'one_organism = samples[samples["refinebio_organism"] == "{contents.organism}"]',
        ),
    ]
    for name in named:
        if name.endswith(".h5ad"):
            own = (
                f'compendium = anndata.read_h5ad("{name}", backed="r")\n'
                "some = compendium[:100].to_memory()\n"
                f'imputed = some.layers["origin"] == {ORIGINS.index("imputed")}'
            )
            lines.append(("python", own))
    return "## Reading it\n\n" + "".join(f"```{kind}\n{line}\n```\n" for kind, line in lines)


def _citing(metadata: DatasetMetadata, rules: Rules | None) -> str:
    names = {each.processor.name for each in metadata.samples if each.processor}
    if any(name in names for name in ("Tximport", "Salmon Quant")):
        names.add("Salmon")
    methods = list(dict.fromkeys(words for name, words in _PUBLICATIONS.items() if name in names))
    if rules is not None and rules.engine != "none":
        methods.append(_IMPUTATION)
    if rules is not None and rules.quantile_normalize:
        methods.append(_NORMALISATION)
    return (
        "## Citing\n\nThe data are those of the people who submitted them. Cite the experiments "
        "that you use, by accession and publication (`pubmed_id`, `publication_doi` of each "
        f"experiment in `{AGGREGATED}`), the archives that hold them, and this release by "
        f"organism and number ({metadata.compendium_version}), as a later one has other samples "
        "and values. Methods:\n\n" + "".join(f"- {each}\n" for each in methods)
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


# --- RNA-seq sample compendia -------------------------------------------------------------


def _rnaseq_files(metadata: DatasetMetadata, contents: RnaseqContents) -> str:
    of_sample = ("`<EXPERIMENT>/<SAMPLE>_quant.sf`", "Salmon's file of every sample: transcripts")
    if contents.whole_folders:
        of_sample = (
            "`<EXPERIMENT>/<SAMPLE>/`",
            "all that Salmon wrote of a sample: `quant.sf`, the transcripts, and beside it "
            "`cmd_info.json`, `aux_info`, `logs`, …",
        )
    rows = [
        of_sample,
        ("`<EXPERIMENT>/metadata_<EXPERIMENT>.tsv`", "a line for each sample of the experiment"),
        (f"`{AGGREGATED}`", "all samples and experiments, with all that was submitted"),
    ]
    if metadata.filtered:
        rows.append((f"`{FILTERED}.tsv`, `.json`", "samples that are left out, with reasons"))
    rows += [
        (f"`{LICENSE}`", "terms of use"),
        (f"`{MANIFEST}`", "size, SHA-256, rows and columns of every file"),
    ]
    return "## Files\n\n" + table(("file", "what is in it"), rows)


def _rnaseq_making(contents: RnaseqContents) -> str:
    text = (
        "## How it was made\n\nReads were quantified by Salmon, sample by sample. The files are "
        "as Salmon wrote them: transcripts, nothing joined, summed to genes, scaled or "
        "normalised.\n"
    )
    if contents.references:
        used = contents.references
        ranked = sorted(used, key=lambda name: (-used[name], name))
        rows = [(said(name), f"{used[name]:,}") for name in ranked[:_MOST_LISTED]]
        text += "\n" + table(("transcriptome", "samples"), rows)
        more = len(ranked) - _MOST_LISTED
        text += f"\n… and {more:,} more.\n" if more > 0 else ""
    if len(contents.references) > 1:
        text += (
            "\nSamples of different transcriptomes have different transcripts: sum each up to "
            "genes by its own before they are joined.\n"
        )
    return text


def _rnaseq_reading(metadata: DatasetMetadata, contents: RnaseqContents) -> str:
    experiment = metadata.experiments[0].accession if metadata.experiments else "<EXPERIMENT>"
    folder = file_name(experiment)
    files, sample_of = f"{folder}/*_quant.sf", 'sub("_quant.sf", "", basename(files))'
    if contents.whole_folders:
        files, sample_of = f"{folder}/*/quant.sf", "basename(dirname(files))"
    lines = [
        (
            "r",
            f'files <- Sys.glob("{files}")\n'
            f"names(files) <- {sample_of}\n"
            'transcripts <- tximport::tximport(files, type = "salmon", txOut = TRUE)',
        ),
        ("python", f'polars.read_csv("{files}", separator="\\t", include_file_paths="file")'),
        ("python", f'pandas.read_csv("{folder}/metadata_{folder}.tsv", sep="\\t")'),
    ]
    return "## Reading it\n\n" + "".join(f"```{kind}\n{line}\n```\n" for kind, line in lines)
