"""A series from its family SOFT file: ours beside GEOparse 2.0.4, on the same file, in one run.

The input is a real series enlarged: the samples of one document (by default the largest of
the shared data, with its tables whole) again and again under new accessions, tags in upper
case, since GEOparse finds no record under lower-case ones. Ours gives the experiment with
all its samples, harmonised, and counts the rows of the tables; GEOparse keeps every table
as a pandas frame and cannot do without. Each measurement is a fresh process; the two take
turns and the median counts. Inside time is without interpreter start and imports; peak
memory is the kernel's VmHWM of the process. What both say of every sample (keys, values,
rows) is compared afterwards.

GEOparse comes from `--python`, an interpreter that has it, or is installed into a temporary
environment with uv or pip.

    python benchmarks/soft_vs_geoparse.py --json result.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
LARGEST = REPOSITORY.parent / "shared" / "data" / "geo" / "soft" / "GSE1623_family.soft.txt.gz"
GEOPARSE = ("GEOparse==2.0.4", "six")  # which it imports and does not ask for

OURS = """
import json, sys, time
from refinebio_assets import __version__
from refinebio_assets.sources import geo, soft

path = sys.argv[1]
started = time.perf_counter()
with open(path, "rb") as file:
    experiment = geo.parse_series(file, "")
seconds = time.perf_counter() - started
version = f"refinebio_assets {__version__}, Python {sys.version.split()[0]}"

def what_it_says():
    said = {}
    with open(path, "rb") as file:
        for entity in soft.read_soft(file):
            if entity.kind == "SAMPLE":
                keys = {}
                for key, value in entity.attributes:
                    keys.setdefault(key, []).append(value)
                said[entity.name] = [keys, entity.rows]
    assert sorted(said) == sorted(sample.sample for sample in experiment.samples)
    return said
"""

THEIRS = """
import json, sys, time
import GEOparse, pandas

started = time.perf_counter()
series = GEOparse.get_GEO(filepath=sys.argv[1], silent=True)
seconds = time.perf_counter() - started
version = f"GEOparse {GEOparse.__version__}, pandas {pandas.__version__}, "
version += f"Python {sys.version.split()[0]}"

def what_it_says():
    return {
        name: [dict(sample.metadata), len(sample.table)] for name, sample in series.gsms.items()
    }
"""

REPORT = """
status = open("/proc/self/status").read()
peak = int(status.split("VmHWM:")[1].split()[0])
report = {"seconds": seconds, "peak_kib": peak, "version": version}
if sys.argv[3] == "compare":
    report["said"] = what_it_says()
with open(sys.argv[2], "w") as file:
    json.dump(report, file)
"""


def make_input(document: Path, folder: Path, samples: int) -> Path:
    """Write GSE1_family.soft.gz with so many samples, taken in turn from the document."""
    raw = document.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).replace(b"\r\n", b"\n")
    text = re.sub(rb"(?m)^\^(\w+)", lambda found: b"^" + found[1].upper(), text)
    head, *records = text.split(b"^SAMPLE = ")
    if not records:
        raise SystemExit(f"{document} holds no sample.")
    head = re.sub(rb"(?m)^!Series_sample_id = .*\n", b"", head)
    head = re.sub(rb"\^SERIES = GSE[0-9]+", b"^SERIES = GSE1", head)
    target = folder / "GSE1_family.soft.gz"
    with gzip.open(target, "wb", compresslevel=3) as file:
        file.write(head)
        for number in range(samples):
            _, _, record = records[number % len(records)].partition(b"\n")
            file.write(b"^SAMPLE = GSM%d\n%s\n" % (number + 1, record.rstrip(b"\n")))
    return target


def python_with_geoparse(folder: Path) -> str:
    """This interpreter if it has GEOparse, else that of a new environment."""
    here = [sys.executable, "-c", "import GEOparse"]
    if subprocess.run(here, capture_output=True, check=False).returncode == 0:
        return sys.executable
    environment = folder / "geoparse"
    python = str(environment / "bin" / "python")
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(environment)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", python, *GEOPARSE], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *GEOPARSE], check=True)
    return python


def measure(command: list[str], document: Path, what: str) -> dict[str, Any]:
    """Run one fresh process; return what it reports and the whole wall time."""
    report = document.with_name("report.json")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    started = time.perf_counter()
    subprocess.run(
        [*command, str(document), str(report), what],
        check=True,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    whole = time.perf_counter() - started
    said: dict[str, Any] = json.loads(report.read_text())
    return {**said, "whole_seconds": whole}


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Where the two do not say the same of a sample."""
    found = [f"{name} is with one only" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        (mine, rows), (reference, their_rows) = ours[name], theirs[name]
        if rows != their_rows:
            found.append(f"{name}: {rows} and {their_rows} rows")
        found += [
            f"{name}, {key}: {mine.get(key)} and {reference.get(key)}"
            for key in sorted(mine.keys() | reference.keys())
            if mine.get(key) != reference.get(key)
        ]
    return found


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median times and the largest peak of several runs."""
    return {
        "version": runs[0]["version"],
        "seconds": statistics.median(run["seconds"] for run in runs),
        "whole_seconds": statistics.median(run["whole_seconds"] for run in runs),
        "peak_mib": max(run["peak_kib"] for run in runs) / 1024,
        "runs": [{key: run[key] for key in ("seconds", "whole_seconds")} for run in runs],
    }


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--document", type=Path, default=LARGEST, help="a family SOFT file")
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", metavar="PATH", help="an interpreter that has GEOparse")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        document = make_input(arguments.document, folder, arguments.samples)
        with gzip.open(document) as file:
            text_bytes = sum(len(piece) for piece in iter(lambda: file.read(1 << 20), b""))
        python = arguments.python or python_with_geoparse(folder)
        (folder / "ours.py").write_text(OURS + REPORT)
        (folder / "theirs.py").write_text(THEIRS + REPORT)
        commands = {
            "ours": [sys.executable, str(folder / "ours.py")],
            "GEOparse": [python, str(folder / "theirs.py")],
        }
        runs: dict[str, list[dict[str, Any]]] = {who: [] for who in commands}
        for _ in range(arguments.repeats):
            for who, command in commands.items():
                runs[who].append(measure(command, document, "time"))
        said = {who: measure(commands[who], document, "compare")["said"] for who in commands}

    unlike = differences(said["ours"], said["GEOparse"])
    ours, theirs = middle(runs["ours"]), middle(runs["GEOparse"])
    ratio = {key: theirs[key] / ours[key] for key in ("seconds", "whole_seconds", "peak_mib")}
    result = {
        "benchmark": "soft_vs_geoparse",
        "document": arguments.document.name,
        "samples": arguments.samples,
        "text_mib": text_bytes / 2**20,
        "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "ours": ours,
        "GEOparse": theirs,
        "GEOparse_over_ours": ratio,
        "differences": unlike,
    }
    print(
        f"Family SOFT, {arguments.samples} samples, {text_bytes / 2**20:.0f} MiB of text, "
        f"median of {arguments.repeats}"
    )
    print(f"  ours:     {ours['version']}")
    print(f"  GEOparse: {theirs['version']}")
    print(f"{'':24}{'ours':>10}{'GEOparse':>10}{'ratio':>10}")
    for label, key in (
        ("inside, seconds", "seconds"),
        ("whole process, seconds", "whole_seconds"),
        ("peak memory, MiB", "peak_mib"),
    ):
        print(f"{label:24}{ours[key]:10.3f}{theirs[key]:10.3f}{ratio[key]:10.1f}")
    print(f"differences in keys, values or rows: {len(unlike)}")
    for line in unlike[:10]:
        print(f"  {line}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
