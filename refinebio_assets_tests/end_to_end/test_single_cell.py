"""Runs are told apart as their genes are counted, and the catalogue says by what."""

from __future__ import annotations

from refinebio_assets.partitions import register_experiments
from refinebio_assets.resources.registry import register_sample_sheet
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.synthetic import write_pair, write_sheet

PROTOCOLS = {
    "bulk": "total RNA was extracted with TRIzol",
    "cells": "10x Genomics Chromium Single Cell 3' v3",
    "silent": "",
}


def test_single_cells_are_told_by_their_records(laboratory: Laboratory) -> None:
    rows = [
        {
            "experiment": "LAB-1",
            "sample": name,
            "organism": "Homo sapiens",
            "technology": "RNA-SEQ",
            "files": write_pair(laboratory.inputs, name, HUMAN, 300, seed=number),
            "title": f"Sample {number}",
            "library preparation": protocol,
        }
        for number, (name, protocol) in enumerate(PROTOCOLS.items())
    ]
    sheet = write_sheet(laboratory.inputs / "sheet.tsv", rows)
    register_experiments(laboratory.instance, register_sample_sheet(laboratory.storage, str(sheet)))
    [batch] = laboratory.process("LAB-1")
    assert batch.errors == []
    found = laboratory.ask(
        "SELECT sample, p.single_cell_probability, single_cell_signs, num_genes_detected, "
        "library_size, zero_share, q.single_cell_probability, code_version <> '' "
        "FROM rnaseq_profiles AS p JOIN quantifications AS q USING (experiment, sample, "
        "code_version) ORDER BY sample"
    )
    counted = laboratory.ask(
        "SELECT sample, count(*) FILTER (counts > 0), sum(counts), "
        "count(*) FILTER (counts = 0) / count(*) FROM gene_counts GROUP BY sample ORDER BY sample"
    )
    assert [row[0] for row in found] == ["bulk", "cells", "silent"]
    bulk, cells, silent = (row[1] for row in found)
    assert bulk < 0.05 < silent < 0.5 < 0.95 < cells
    assert found[0][2] == ["extracted RNA: total rna was extracted (label)"]
    assert found[1][2] == ["single-cell method: 10x genomics (label)"]
    assert found[2][2] == []
    for row, (sample, genes, total, zeros) in zip(found, counted, strict=True):
        assert (row[0], row[3]) == (sample, genes)
        assert abs(row[4] - total) < 1e-3 * total
        assert abs(row[5] - zeros) < 1e-9
        assert row[6] == row[1]
        assert row[7]
