"""SCAN of real arrays: seconds of CPU per array and memory, beside R's SCAN.UPC.

Ours prepares the platform once and then, array by array, reads the CEL file, fits, scales and
summarises to probe sets. The first array is told apart: it has the loading of compiled code
(or its compilation, where nothing is in the cache). The median counts. A damaged CEL file is
left out. R's SCANfast runs on one of the CEL files where SCAN.UPC and the platform's
annotation package are installed; elsewhere its time is the 15 seconds of CPU that are
reported for an HG_U95Av2 array, and the ratio only a guide.

    python benchmarks/scan.py --json result.json
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
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
AFFYMETRIX = REPOSITORY.parent / "shared" / "data" / "affymetrix"
PROBE_TAB = AFFYMETRIX / "annotation" / "HG-U95Av2_probe_tab.gz"
R_SECONDS_REPORTED = 15.0

THEIRS = """
suppressMessages(library(SCAN.UPC))
suppressMessages(library(pd.hg.u95av2))
started <- proc.time()
invisible(SCANfast(commandArgs(TRUE)[1], verbose = FALSE))
used <- proc.time() - started
cat(sprintf("seconds %.3f\\n", used[["user.self"]] + used[["sys.self"]]))
"""


def memory_mib(key: str) -> float:
    """A figure that the kernel keeps of this process, such as VmHWM."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) / 1024


def measure(probe_tab: Path, cels: list[Path], threads: int, rounds: int) -> dict[str, Any]:
    """All that is measured of ours, in this process."""
    import numba
    import numpy as np

    from refinebio_assets.errors import InvalidCel
    from refinebio_assets.microarray.cel import read_cel
    from refinebio_assets.microarray.probe_tab import read_probe_tab
    from refinebio_assets.microarray.scan import (
        SCANFAST,
        groups_of_probe_sets,
        prepare,
        scan,
        summarise,
    )

    def cpu_of(function: Callable[..., Any], *given: Any) -> tuple[Any, float]:
        started = time.process_time()
        made = function(*given)
        return made, time.process_time() - started

    probes, reading = cpu_of(read_probe_tab, probe_tab)
    prepared, preparing = cpu_of(prepare, probes, SCANFAST)
    groups = groups_of_probe_sets(probes)

    def intensities_of(path: Path) -> Any:
        cel = read_cel(path)
        return cel.intensities[probes.cells(cel.header.columns)]

    def process(intensities: Any) -> int:
        result = scan(intensities, prepared)
        summarise(result.values, groups)
        return result.fit.iterations

    readable = []
    for path in cels:
        try:
            intensities_of(path)
        except InvalidCel as error:
            print(f"Left out: {error.message}")
        else:
            readable.append(path)
    cels = readable

    intensities = intensities_of(cels[0])
    first = cpu_of(process, intensities)[1]
    tracemalloc.start()
    process(intensities)
    of_an_array = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()

    of_cel: list[float] = []
    of_scan: list[float] = []
    iterations: list[int] = []
    for path in cels * rounds:
        intensities, seconds = cpu_of(intensities_of, path)
        of_cel.append(seconds)
        found, seconds = cpu_of(process, intensities)
        of_scan.append(seconds)
        iterations.append(found)

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda path: process(intensities_of(path)), cels * rounds):
            pass
    wall_in_threads = (time.perf_counter() - started) / (len(cels) * rounds)
    return {
        "version": f"Python {sys.version.split()[0]}, NumPy {np.__version__}, "
        f"Numba {numba.__version__}",
        "probes": len(probes.x),
        "arrays": len(cels),
        "iterations": iterations[: len(cels)],
        "probe_tab_seconds": reading,
        "prepare_seconds": preparing,
        "first_scan_seconds": first,
        "scan_seconds": statistics.median(of_scan),
        "cel_seconds": statistics.median(of_cel),
        "wall_in_threads_seconds": wall_in_threads,
        "an_array_mib": of_an_array,
        "peak_mib": memory_mib("VmHWM"),
    }


def seconds_of_r(cel: Path) -> float | None:
    """CPU of R's SCANfast on one array; None where its packages are not installed."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    installed = 'all(c("SCAN.UPC", "pd.hg.u95av2") %in% rownames(installed.packages()))'
    asked = subprocess.run(
        [rscript, "--vanilla", "-e", f"cat({installed})"], capture_output=True, text=True
    )
    if asked.stdout != "TRUE":
        return None
    ran = subprocess.run(
        [rscript, "--vanilla", "-e", THEIRS, str(cel)], check=True, capture_output=True, text=True
    )
    return float(ran.stdout.split("seconds ")[-1])


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probe-tab", type=Path, default=PROBE_TAB)
    parser.add_argument("--cels", type=Path, nargs="+", help="HG_U95Av2 arrays")
    parser.add_argument("--rounds", type=int, default=5, help="times that all arrays are done")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()
    cels = arguments.cels or sorted(AFFYMETRIX.glob("GSE12654/*.CEL.gz"))
    if not cels or not arguments.probe_tab.exists():
        print("There are no real arrays here: give --cels and --probe-tab.")
        return

    ours = measure(arguments.probe_tab, cels, arguments.threads, arguments.rounds)
    of_r = seconds_of_r(cels[0])
    theirs = R_SECONDS_REPORTED if of_r is None else of_r
    result = {
        "benchmark": "scan",
        "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "threads": arguments.threads,
        "ours": ours,
        "R": {"seconds": theirs, "measured_here": of_r is not None},
        "R_over_ours": theirs / ours["scan_seconds"],
        "R_over_ours_with_cel": theirs / (ours["scan_seconds"] + ours["cel_seconds"]),
    }
    print(f"SCANfast, {ours['arrays']} arrays of {ours['probes']} probes, {ours['version']}")
    for label, value in (
        ("probe tab, once, s CPU", ours["probe_tab_seconds"]),
        ("platform, once, s CPU", ours["prepare_seconds"]),
        ("first array, s CPU", ours["first_scan_seconds"]),
        ("an array, s CPU", ours["scan_seconds"]),
        ("its CEL file, s CPU", ours["cel_seconds"]),
        (f"both, {arguments.threads} threads, s wall", ours["wall_in_threads_seconds"]),
        ("R, an array, s CPU", theirs),
    ):
        print(f"  {label:30}{value:10.3f}")
    print(f"  {'NumPy arrays of one scan, MiB':30}{ours['an_array_mib']:10.0f}")
    print(f"  {'peak of the process, MiB':30}{ours['peak_mib']:10.0f}")
    where = (
        "measured in this run" if result["R"]["measured_here"] else "as reported, not measured here"
    )
    print(
        f"R / ours {result['R_over_ours']:.0f}, with reading the CEL file "
        f"{result['R_over_ours_with_cel']:.0f} (R: {where})"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
