"""README.md and LICENSE.TXT of a dataset: what is in it and how it was made, for people.

Submitted text stands in them as text: it can't become a tag, a picture or a table's border.
Not here: the files that they speak of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from refinebio_assets.publish.archive import MANIFEST
from refinebio_assets.publish.markdown import count, said, table
from refinebio_assets.publish.metadata_files import (
    AGGREGATED,
    FILTERED,
    DatasetMetadata,
    DistributionCheck,
    file_name,
)

LICENSE_TEXT: Final = """\
The values in this archive were computed from records that others made public: see
experiments in aggregated_metadata.json for the records, and the sources that they name
(NCBI GEO, NCBI SRA, EMBL-EBI ENA, ArrayExpress) for the terms under which each may be used
and cited. Those terms hold for the values and for the descriptions of samples and
experiments in this archive as well.

Whoever made this archive adds no restriction of their own, and gives no warranty of any
kind: neither that the values are right nor that they suit a purpose.
"""

_MOST_LISTED: Final = 50
_SCALES: Final = {
    "STANDARD": "Each gene was then brought to mean 0 and standard deviation 1 over the samples "
    "of its matrix.",
    "MINMAX": "Each gene was then brought to the range 0 to 1 over the samples of its matrix.",
    "ROBUST": "Each gene then had its median subtracted, and was divided by the distance between "
    "its quartiles, over the samples of its matrix.",
}


@dataclass(frozen=True)
class MatrixFile:
    """A matrix of the dataset: where it is, and how large."""

    name: str
    genes: int
    samples: int


@dataclass(frozen=True)
class TargetUsed:
    """The quantile-normalisation target that an organism's samples were brought to."""

    organism: str
    version: int
    num_samples: int
    num_genes: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """What a README tells beside the metadata.

    Attributes
    ----------
    dataset
        Its id.
    software
        What made it, with version.
    matrices
        In the order of the archive; none with quant.sf files only.
    targets
        Empty where samples were not normalised.
    references
        Transcriptomes and probe annotations that the values rest on, one in words each.
    plots
        Name in the archive -> caption.
    warnings
        What a user should know, in words, beside the check's.
    """

    dataset: str
    software: str
    matrices: Sequence[MatrixFile] = ()
    targets: Sequence[TargetUsed] = ()
    references: Sequence[str] = ()
    plots: Mapping[str, str] | None = None
    warnings: Sequence[str] = ()


def readme(metadata: DatasetMetadata, contents: Contents) -> str:
    """The README of a dataset, as Markdown."""
    sections = [
        _head(metadata, contents),
        _files(metadata, contents),
        _making(metadata, contents),
        _experiments(metadata),
        left_out_section(metadata),
        checks_section(metadata.check, contents.warnings),
        columns_section(),
        _reading(metadata, contents),
    ]
    return "\n".join(section.rstrip() + "\n" for section in sections if section)


def license_text(text: str | None = None) -> str:
    """LICENSE.TXT: an operator's own text, or the one that leaves the sources' terms in force."""
    return (text or LICENSE_TEXT).rstrip() + "\n"


def _head(metadata: DatasetMetadata, contents: Contents) -> str:
    organisms = sorted({each.organism for each in metadata.samples})
    technologies = Counter(each.technology for each in metadata.samples)
    kinds = ", ".join(f"{number} {name}" for name, number in sorted(technologies.items()))
    return f"""\
# Gene-expression dataset {contents.dataset}

{count(len(metadata.samples), "sample")} ({kinds}) of \
{count(len(metadata.experiments), "experiment")}; {", ".join(map(said, organisms))}.
Its newest values are of {metadata.created()} UTC. Made by {said(contents.software)}.
"""


def _files(metadata: DatasetMetadata, contents: Contents) -> str:
    recipe = metadata.recipe
    group = _group(metadata)
    others = "".join(f", `.{each}`" for each in recipe.formats if each != "tsv")
    rows = [
        (
            f"`{each.name}`{others}",
            f"expression values: {count(each.genes, 'gene')}, {count(each.samples, 'sample')}",
        )
        for each in contents.matrices[:_MOST_LISTED]
    ]
    more = len(contents.matrices) - _MOST_LISTED
    if more > 0:
        rows.append((f"… and {more} more", f"of the same kind; see `{MANIFEST}`"))
    if recipe.quant_sf_only:
        rows.append((f"`{group}/<SAMPLE>_quant.sf`", "Salmon's file of every sample"))
    rows.append((f"`{group}/metadata_{group}.tsv`", "a line for each sample of the folder"))
    if recipe.aggregate_by == "SPECIES":
        rows.append((f"`{group}/metadata_{group}.json`", "the same, with all that was submitted"))
    rows.append((f"`{AGGREGATED}`", "all samples and experiments, and how the dataset was made"))
    if metadata.filtered:
        rows.append((f"`{FILTERED}.tsv`, `.json`", "samples asked for and left out, with reasons"))
    rows += [(f"[{name}]({name})", said(text)) for name, text in (contents.plots or {}).items()]
    rows += [
        ("`LICENSE.TXT`", "terms of use"),
        (f"`{MANIFEST}`", "size, SHA-256, rows and columns of every file"),
    ]
    return "## Files\n\n" + table(("file", "what is in it"), rows)


def _group(metadata: DatasetMetadata) -> str:
    """The name of the only folder, or what stands for those of all."""
    if len(metadata.groups) == 1:
        return file_name(next(iter(metadata.groups)))
    return f"<{metadata.recipe.aggregate_by}>"


def _making(metadata: DatasetMetadata, contents: Contents) -> str:
    recipe = metadata.recipe
    what = {
        "EXPERIMENT": "There is one folder for each experiment.",
        "SPECIES": "There is one folder for each organism, with its samples of all experiments.",
        "ALL": "There is one folder, ALL, with all samples.",
    }[recipe.aggregate_by]
    lines = [what]
    if recipe.quant_sf_only:
        lines.append("It holds Salmon's files as they are: transcripts, nothing joined or scaled.")
    else:
        lines += _joining(metadata, contents)
    made = Counter(
        f"{each.processor.name} ({each.processor.version})"
        for each in metadata.samples
        if each.processor
    )
    submitted = sum(not each.processed for each in metadata.samples)
    if submitted:
        lines.append(
            f"Of {count(submitted, 'sample')} there were no usable raw data: the values are "
            "those that the submitter computed (`refinebio_processed` is False)."
        )
    text = "## How it was made\n\n" + "\n".join(f"- {line}" for line in lines) + "\n\n"
    text += table(
        ("processor", "samples"), [(said(name), str(made[name])) for name in sorted(made)]
    )
    if contents.targets:
        cells = [
            (
                said(each.organism),
                str(each.version),
                str(each.num_samples),
                str(each.num_genes),
                f"`{each.sha256}`",
            )
            for each in contents.targets
        ]
        text += "\n" + table(
            ("target of", "version", "samples", "genes", "SHA-256 of its numbers"), cells
        )
    if contents.references:
        text += "\nReferences:\n\n" + "".join(f"- {said(each)}\n" for each in contents.references)
    return text


def _joining(metadata: DatasetMetadata, contents: Contents) -> Iterable[str]:
    recipe = metadata.recipe
    yield "A matrix has the genes that all its samples have."
    if any(each.technology == "RNA-SEQ" for each in metadata.samples):
        yield (
            "RNA-seq values are tximport's lengthScaledTPM, as log2(x + 1)."
            if recipe.aggregate_by == "SPECIES"
            else "RNA-seq values are tximport's lengthScaledTPM, on the scale of counts."
        )
    if any(each.technology != "RNA-SEQ" for each in metadata.samples):
        yield (
            "Array values are on the log2 scale; where a file had a value above 100, its log2 "
            "was taken."
        )
    if recipe.quantile_normalize:
        whose = "target" if len(contents.targets) == 1 else "organism's target"
        yield (
            f"Every sample was quantile normalised to its {whose} (below): in a matrix, samples "
            "of an organism then have one distribution."
        )
    else:
        yield "Samples were not quantile normalised."
    yield _SCALES.get(recipe.scale_by, "Genes were not scaled.")


def _experiments(metadata: DatasetMetadata) -> str:
    here = {each.accession for each in metadata.samples}
    rows = [
        (said(each.accession), str(len(here.intersection(each.samples))), said(each.title))
        for each in metadata.experiments[:_MOST_LISTED]
    ]
    text = "## Experiments\n\n" + table(("experiment", "samples here", "title"), rows)
    more = len(metadata.experiments) - _MOST_LISTED
    return f"{text}\n… and {more} more, in `{AGGREGATED}`.\n" if more > 0 else text


def left_out_section(metadata: DatasetMetadata) -> str:
    """How many samples were left out for which reason; empty where none was."""
    if not metadata.filtered:
        return ""
    reasons = Counter(each.reason for each in metadata.filtered).most_common()
    rows = [(said(reason), str(number)) for reason, number in reasons[:_MOST_LISTED]]
    return (
        f"## Left out\n\nAsked for and not here: {count(len(metadata.filtered), 'sample')}, named "
        f"in `{FILTERED}.tsv`.\n\n" + table(("reason", "samples"), rows)
    )


def checks_section(check: DistributionCheck | None, warnings: Sequence[str]) -> str:
    """What the check of the distributions found, and the warnings; empty without any."""
    lines = []
    if check and check.statistic is not None and check.p_value is not None:
        lines.append(
            f"Kolmogorov-Smirnov test of the last pair of samples compared: statistic "
            f"{check.statistic:.6g}, p-value {check.p_value:.6g}. After a normalisation that "
            "worked, the statistic is at most 0.001 and the p-value at least 0.8."
        )
    if check and check.warning:
        lines.append(
            f"**Warning**: {said(check.warning)} Genes of a sample with equal values, such as "
            "zeros of RNA-seq, stay equal, so that a sample with many of them differs still."
        )
    lines += [
        f"**Warning**: {said(each)}" for each in warnings if not check or each != check.warning
    ]
    return "## Checks\n\n" + "\n".join(f"- {line}" for line in lines) + "\n" if lines else ""


def columns_section() -> str:
    """What the columns of the metadata tables mean."""
    rows = [
        ("`refinebio_accession_code`", "the sample, as matrix and files name it"),
        ("`experiment_accession`", "the experiment under which it was asked for"),
        (
            "`refinebio_sex`, `refinebio_age`, …",
            "what submitters said in many ways, in one; refinebio_age has the submitter's unit",
        ),
        ("`refinebio_processed`", "whether the values come from raw data"),
        ("`refinebio_processor_…`", "what made the values"),
        ("`characteristics_ch1_…`, `characteristic_…`, all others", "as submitted"),
    ]
    return (
        "## Columns of the metadata tables\n\n"
        + table(("column", "meaning"), rows)
        + """
Lines stand in the order of the matrix's columns. A line is a sample, always: tabs and line ends
of submitted text became spaces. A cell that a spreadsheet would calculate begins with an
apostrophe. Of a characteristic given twice the first is shown. Everything as it was submitted
is in `aggregated_metadata.json`.
"""
    )


def _reading(metadata: DatasetMetadata, contents: Contents) -> str:
    matrix = contents.matrices[0].name if contents.matrices else None
    group = _group(metadata)
    name = matrix or f"{group}/metadata_{group}.tsv"
    in_r = ", row.names = 1" if matrix else ""
    in_python = ', index_col="Gene"' if matrix else ""
    lines = [
        ("r", f'read.delim("{name}"{in_r}, check.names = FALSE)'),
        ("python", f'pandas.read_csv("{name}", sep="\\t"{in_python})'),
        ("python", f'polars.read_csv("{name}", separator="\\t", infer_schema_length=None)'),
        ("sql", f"FROM read_csv('{name}', delim = '\\t', header = true);  -- DuckDB"),
    ]
    if matrix:
        calls = {"parquet": "polars.read_parquet", "h5ad": "anndata.read_h5ad"}
        lines += [
            ("python", f'{call}("{name.removesuffix(".tsv")}.{each}")')
            for each, call in calls.items()
            if each in metadata.recipe.formats
        ]
    return "## Reading it\n\n" + "".join(f"```{kind}\n{line}\n```\n" for kind, line in lines)
