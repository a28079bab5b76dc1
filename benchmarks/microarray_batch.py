"""A batch of HG_U95Av2 arrays through the assets, against the sum of what its arrays take.

The sum is reading the CEL file and SCAN (`ArrayModel.expression`), array by array, with the
platform prepared. The batch is a run of `process_experiments` in this process, as `refinebio
process` does it: records, digests and checks of the raw files, SCAN, values and tables as
Parquet, previews, Dagster's events. Each measurement is a process of its own, in turn with
the others; interpreter start and `import dagster` are left out. The median counts.

The arrays are the real ones of the shared data under many names; elsewhere, simulated ones on
the probes of Debian's r-bioc-annotationdbi.

    python benchmarks/microarray_batch.py --arrays 50 --json result.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY.parent / "shared" / "data"
DEBIAN = Path("/usr/lib/R/site-library/AnnotationDbi/extdata/HG-U95Av2_probe_tab.gz")
EXPERIMENT = "BENCHMARK"
REAL = (
    *(f"GSE12654/GSM3176{number}.CEL.gz" for number in (49, 51, 52, 54)),
    "single/C30057.CEL.gz",
    "single/CL2001032020AA.cel",
)


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arrays", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = find_inputs(folder)
        if inputs is None:
            print("There are neither real arrays here nor r-bioc-annotationdbi's probe tab.")
            return
        probe_tab, genes, cels = inputs
        in_process(prepare, folder, probe_tab, genes, cels, arguments.arrays)
        rounds: dict[str, list[dict[str, float]]] = {}
        for _ in range(arguments.rounds):
            for what, measured in (
                ("sum of the arrays", in_process(alone, folder)),
                ("batch, parallel_samples 1", in_process(batch, folder, 1)),
                ("batch, parallel_samples 2", in_process(batch, folder, 2)),
            ):
                rounds.setdefault(what, []).append(measured)
    figures = {
        what: {key: statistics.median(each[key] for each in found) for key in found[0]}
        for what, found in rounds.items()
    }
    of_sum = figures["sum of the arrays"]["seconds"]
    kind = "real" if genes else "simulated"
    print(f"{arguments.arrays} {kind} HG_U95Av2 arrays, median of {arguments.rounds}")
    print(f"{'':28}{'s':>8}{'s/array':>10}{'of sum':>8}{'CPU s':>8}{'peak MiB':>10}")
    for what, each in figures.items():
        print(
            f"{what:28}{each['seconds']:8.2f}{each['seconds'] / arguments.arrays:10.3f}"
            f"{each['seconds'] / of_sum:8.2f}{each['processor']:8.2f}{each['peak_mib']:10.0f}"
        )
    if arguments.json:
        result = {
            "benchmark": "microarray_batch",
            "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
            "arrays": arguments.arrays,
            "kind": kind,
            "figures": figures,
            "ratio": {what: each["seconds"] / of_sum for what, each in figures.items()},
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def find_inputs(folder: Path) -> tuple[Path, Path | None, list[Path]] | None:
    """Probe tab, gene map if there is one, and CEL files."""
    cels = [DATA / "affymetrix" / name for name in REAL]
    if all(path.exists() for path in cels):
        probe_tab = DATA / "affymetrix/annotation/HG-U95Av2_probe_tab.gz"
        return probe_tab, DATA / "scan/hgu95av2_gene_map.parquet", cels
    if not DEBIAN.exists():
        return None
    simulate = REPOSITORY / "examples" / "demo" / "simulate_arrays.py"
    subprocess.run([sys.executable, simulate, DEBIAN, folder / "simulated"], check=True)
    return DEBIAN, None, sorted((folder / "simulated").glob("*.CEL"))


def in_process(function: Callable[..., Any], *given: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def prepare(
    folder: Path, probe_tab: Path, genes: Path | None, cels: list[Path], arrays: int
) -> None:
    """A home with the annotated platform, and a sample sheet of so many arrays."""
    import dagster as dg

    from refinebio_assets.partitions import register_platforms
    from refinebio_assets.resources.registry import register_references
    from refinebio_assets.resources.storage import Storage
    from refinebio_assets_tests.synthetic import write_sheet
    from refinebio_assets_tests.synthetic_arrays import write_platforms

    os.environ["REFINEBIO_HOME"] = str(folder / "home")
    entry = {"probes": str(probe_tab)} | ({"genes": str(genes)} if genes else {})
    catalogue = write_platforms(folder / "platforms.yaml", {"hgu95av2": entry})
    with dg.instance_for_test() as instance:
        register_references(Storage(), str(catalogue))
        register_platforms(instance, ["hgu95av2"])
        run(instance, "annotate_platforms", "hgu95av2")
    rows = []
    for number in range(arrays):
        cel = cels[number % len(cels)]
        named = folder / "cels" / f"array{number}{''.join(cel.suffixes)}"
        named.parent.mkdir(exist_ok=True)
        shutil.copyfile(cel, named)
        rows.append(
            {
                "experiment": EXPERIMENT,
                "sample": f"array{number}",
                "organism": "Homo sapiens",
                "technology": "MICROARRAY",
                "platform": "GPL8300",
                "files": str(named),
            }
        )
    write_sheet(folder / "sheet.tsv", rows)


def alone(folder: Path) -> dict[str, float]:
    """Reading and SCAN, array by array; the first one, which loads compiled code, beforehand."""
    from refinebio_assets.microarray.array_model import ArrayModel
    from refinebio_assets.microarray.cel import read_cel
    from refinebio_assets.microarray.probes import read_gene_map_parquet, read_probe_table
    from refinebio_assets.microarray.scan import SCANFAST

    [annotation] = (folder / "home").glob("reference/platforms/hgu95av2/*/")
    genes = annotation / "genes.parquet"
    model = ArrayModel.prepared(
        read_probe_table(annotation / "probes.parquet"),
        read_gene_map_parquet(genes) if genes.exists() else None,
        SCANFAST,
    )
    paths = sorted((folder / "cels").iterdir())
    model.expression(read_cel(paths[0]))

    def work() -> None:
        for path in paths:
            model.expression(read_cel(path))

    return measured(work)


def batch(folder: Path, parallel_samples: int) -> dict[str, float]:
    """All arrays as one experiment, by Dagster, in a copy of the home."""
    import dagster as dg

    from refinebio_assets import definitions
    from refinebio_assets.partitions import register_experiments
    from refinebio_assets.resources.registry import register_sample_sheet
    from refinebio_assets.resources.storage import Storage

    assert definitions.defs
    home = folder / "copy"
    shutil.copytree(folder / "home", home)
    os.environ["REFINEBIO_HOME"] = str(home)
    settings = {"ops": {"experiments": {"config": {"parallel_samples": parallel_samples}}}}
    with dg.instance_for_test() as instance:
        found = register_sample_sheet(Storage(), str(folder / "sheet.tsv"))
        register_experiments(instance, found)
        figures = measured(lambda: run(instance, "process_experiments", EXPERIMENT, settings))
    shutil.rmtree(home)
    return figures


def run(instance: Any, job: str, key: str, settings: dict[str, Any] | None = None) -> None:
    """One partition of a job, without a failure."""
    from refinebio_assets.running import run_job

    for each in run_job(instance, job, [key], settings):
        assert not each.errors, each.errors


def measured(work: Callable[[], None]) -> dict[str, float]:
    """Wall and processor time of some work, and the peak memory of the process."""
    started, used = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    status = Path("/proc/self/status").read_text()
    peak_mib = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return {"seconds": seconds, "processor": processor, "peak_mib": peak_mib}


if __name__ == "__main__":
    main()
