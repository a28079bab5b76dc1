"""CEL files: ours beside R's affyio and Biopython, on the same files, in one run.

By default one real file of each kind in the shared data. Each measurement is a fresh process
that reads one file several times; its first reading is left out (ours compiles or loads its
parser then), the median of the others counts, without interpreter start and imports. The
processes of the three take turns. Peak memory is the kernel's VmHWM of the process, and
over_start what of it came after the imports. Ours gives the intensities, affyio is asked
for nothing but intensities too; Biopython has no such choice and reads no gzip, so that it
gets gzip's file object. The intensities are compared afterwards.

affyio comes from R. Biopython comes from `--python`, an interpreter that has it, or is
installed into a temporary environment with uv or pip; where that fails it is left out, and
where it cannot read a file, the table has its error.

    python benchmarks/cel_reading.py --json result.json
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
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
REAL = REPOSITORY.parent / "shared" / "data" / "affymetrix"
FILES = (
    "GSE12654/GSM317649.CEL.gz",
    "single/CL2001032020AA.cel",
    "HG-Focus/sample01.CEL",
    "HG-Focus/HG-Focus-1-121502.CEL",
    "single/97_(Mouse430_2).CEL.gz",
)
BIOPYTHON = ("biopython==1.88", "numpy")

READING = """
def memory(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0])

at_start, seconds, processor, error = memory("VmRSS"), [], [], None
for _ in range(int(sys.argv[3]) + 1):
    began, used = time.perf_counter(), time.process_time()
    try:
        values = read(sys.argv[1])
    except Exception as raised:
        error = type(raised).__name__ + ": " + str(raised)[:100]
        break
    seconds.append(time.perf_counter() - began)
    processor.append(time.process_time() - used)
peak = memory("VmHWM")
if error is None:
    np.asarray(values, np.float64).tofile(sys.argv[2] + ".bin")
with open(sys.argv[2], "w") as file:
    json.dump({"seconds": seconds[1:], "processor": processor[1:], "peak_kib": peak,
               "start_kib": at_start, "version": version, "error": error}, file)
"""

OURS = """
import json, sys, time
from pathlib import Path
import numpy as np
from refinebio_assets import __version__
from refinebio_assets.microarray.cel import read_cel

version = f"refinebio_assets {__version__}, NumPy {np.__version__}"
def read(path):
    return read_cel(Path(path)).intensities
"""

BIOPYTHONS = """
import gzip, json, sys, time
import Bio, numpy as np
from Bio.Affy import CelFile

version = f"Biopython {Bio.__version__}, NumPy {np.__version__}"
def read(path):
    with open(path, "rb") as file:
        opener = gzip.open if file.read(2) == b"\\x1f\\x8b" else open
    with opener(path, "rb") as file:
        is_text = file.read(5) == b"[CEL]"
    with opener(path, "rt", encoding="latin-1") if is_text else opener(path, "rb") as file:
        return CelFile.read(file).intensities
"""

AFFYIOS = """
arguments <- commandArgs(TRUE)
suppressMessages(library(affyio))
memory <- function(name) {
  line <- grep(name, readLines("/proc/self/status"), value = TRUE)
  gsub("[^0-9]", "", line)
}
start <- memory("VmRSS")
seconds <- processor <- numeric()
for (i in 0:as.integer(arguments[3])) {
  invisible(gc(FALSE))
  time <- system.time(
    values <- read.celfile(arguments[1], intensity.means.only = TRUE)$INTENSITY$MEAN,
    gcFirst = FALSE)
  seconds <- c(seconds, time[["elapsed"]])
  processor <- c(processor, time[["user.self"]] + time[["sys.self"]])
}
peak <- memory("VmHWM")
writeBin(as.double(values), paste0(arguments[2], ".bin"))
list <- function(x) paste0("[", paste(sprintf("%.4f", x[-1]), collapse = ", "), "]")
writeLines(sprintf(
  paste0('{"seconds": %s, "processor": %s, "peak_kib": %s, "start_kib": %s, ',
    '"version": "%s", "error": null}'),
  list(seconds), list(processor), peak, start,
  paste0("affyio ", packageVersion("affyio"), ", R ", getRversion())), arguments[2])
"""


def python_with_biopython(folder: Path) -> str | None:
    """This interpreter if it has Biopython, else that of a new environment; None if neither."""
    here = [sys.executable, "-c", "import Bio"]
    if subprocess.run(here, capture_output=True, check=False).returncode == 0:
        return sys.executable
    environment = folder / "biopython"
    python = str(environment / "bin" / "python")
    try:
        if uv := shutil.which("uv"):
            subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(environment)], check=True)
            subprocess.run([uv, "pip", "install", "-q", "-p", python, *BIOPYTHON], check=True)
        else:
            subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *BIOPYTHON], check=True)
    except subprocess.CalledProcessError:
        return None
    return python


def measure(command: list[str], path: Path, report: Path, readings: int) -> dict[str, Any]:
    """Run one fresh process; return what it reports."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    subprocess.run(
        [*command, str(path), str(report), str(readings)],
        check=True,
        env=environment,
        capture_output=True,
    )
    said: dict[str, Any] = json.loads(report.read_text())
    return said


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median times and the largest peak of several runs."""
    if error := runs[0]["error"]:
        return {"error": error}
    return {
        "seconds": statistics.median(second for run in runs for second in run["seconds"]),
        "processor": statistics.median(second for run in runs for second in run["processor"]),
        "peak_mib": max(run["peak_kib"] for run in runs) / 1024,
        "over_start_mib": max(run["peak_kib"] - run["start_kib"] for run in runs) / 1024,
    }


def compare(folder: Path, found: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Whether the others give exactly our values."""
    ours = np.fromfile(folder / "ours.json.bin")
    return {
        who: np.array_equal(ours, np.fromfile(folder / f"{who}.json.bin"))
        for who in found
        if who != "ours" and "error" not in found[who]
    }


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="CEL files")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each, per file")
    parser.add_argument("--readings", type=int, default=5, help="timed readings per process")
    parser.add_argument("--python", metavar="PATH", help="an interpreter that has Biopython")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()
    files = arguments.files or [REAL / name for name in FILES]

    versions: dict[str, str] = {}
    table: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ours.py").write_text(OURS + READING)
        (folder / "affyio.R").write_text(AFFYIOS)
        (folder / "biopython.py").write_text(BIOPYTHONS + READING)
        commands = {
            "ours": [sys.executable, str(folder / "ours.py")],
            "affyio": ["Rscript", "--vanilla", str(folder / "affyio.R")],
        }
        if python := arguments.python or python_with_biopython(folder):
            commands["Biopython"] = [python, str(folder / "biopython.py")]
        else:
            print("Biopython is not here and could not be installed; it is left out.")
        for path in files:
            runs: dict[str, list[dict[str, Any]]] = {who: [] for who in commands}
            for _ in range(arguments.repeats):
                for who, command in commands.items():
                    report = folder / f"{who}.json"
                    runs[who].append(measure(command, path, report, arguments.readings))
            versions |= {who: said[0]["version"] for who, said in runs.items()}
            found = {who: middle(said) for who, said in runs.items()}
            table[path.name] = {**found, "equal": compare(folder, found)}

    print(f"median of {arguments.repeats} × {arguments.readings} readings")
    for who, version in versions.items():
        print(f"  {who}: {version}")
    columns = ("seconds", "CPU", "ratio", "peak MiB", "of reading", "equal")
    print(f"{'':28}{'':10}" + "".join(f"{column:>11}" for column in columns))
    for file, row in table.items():
        ours = row["ours"]
        for who in commands:
            values = row[who]
            label = f"{file if who == 'ours' else '':28}{who:10}"
            if "error" in values:
                print(f"{label} cannot: {values['error']}")
                continue
            print(
                f"{label}{values['seconds']:11.4f}{values['processor']:11.4f}"
                f"{values['processor'] / ours['processor']:11.1f}{values['peak_mib']:11.0f}"
                f"{values['over_start_mib']:11.0f}{row['equal'].get(who, '')!s:>11}"
            )
    if arguments.json:
        machine = {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()}
        result = {
            "benchmark": "cel_reading",
            "machine": machine,
            "versions": versions,
            "files": table,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
