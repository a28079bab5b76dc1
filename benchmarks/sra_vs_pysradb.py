"""A study from NCBI's SRA: ours beside pysradb 2.5.1, from the same server, in one run.

The study is a real one enlarged: the EXPERIMENT_PACKAGEs of one recorded efetch document
again and again, with runs, experiments and samples under new accessions. The replay server
of the tests answers esearch and efetch with it, everybody asks over loopback, each in its
own way: pages of 500 experiments, or 300 by their ids.

Four ways. `survey` is ours where ENA has no record of a study (it is asked, and has none;
nor has PubMed): runs judged, metadata harmonised. `fetch_from_ncbi` is the part of it that
asks NCBI and reads. `SraSearch` is `pysradb search --db sra` with all that it reads
(verbosity 3), in a pandas frame of experiments. `get_efetch_response` is how `pysradb
metadata --detailed` asks and reads; it gives nested dicts, and its pauses between requests
are set to nothing. The rest of that command is left out: it needs answers of esummary and
of ENA too, which are not recorded for such a study.

Each measurement is a fresh process; the ways take turns and the median counts. Inside time
includes the loopback, not interpreter start and imports. Peak memory is the kernel's VmHWM
of the process; what was reached by the imports (ours bring Dagster) is given besides. What
each says of every run (accessions, titles, organism, library, instrument, counts, day,
attributes of the sample) is compared afterwards.

pysradb comes from `--python`, an interpreter that has it, or is installed into a temporary
environment with uv or pip.

    python benchmarks/sra_vs_pysradb.py --json result.json
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
from urllib.parse import urlencode

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from refinebio_assets.sources.ena import INDISPENSABLE, PORTAL  # noqa: E402
from refinebio_assets.sources.geo import PUBMED  # noqa: E402
from refinebio_assets.sources.sra_xml import EUTILS  # noqa: E402
from refinebio_assets_tests.replay import Replay, serving  # noqa: E402

RECORDED = REPOSITORY.parent / "shared" / "data" / "metadata" / "sra_xml" / "GSE184506.xml.gz"
PYSRADB = "pysradb==2.5.1"
PAGE, GROUP = 500, 300
FIRST_ID = 10_000_000
PARKED = {"WebEnv": "MCID_1", "query_key": "1"}

OURS = """
import json, sys, time
import requests, stamina  # which Http imports when it first asks
from refinebio_assets import __version__
from refinebio_assets.resources.http import Http
from refinebio_assets.sources import ena, sra, sra_xml

server, home, study, count = sys.argv[4:]
web = Http(mirror=server, home=home)
version = f"refinebio_assets {__version__}, Python {sys.version.split()[0]}"
NAMES = (
    "experiment_accession secondary_study_accession secondary_sample_accession sample_accession "
    "experiment_title sample_title study_title tax_id scientific_name library_strategy "
    "library_source library_selection library_layout instrument_platform instrument_model "
    "read_count base_count first_public"
).split()

def what_is_said(runs):
    said = {}
    for run in runs:
        kept = {name: run[name] for name in NAMES if name in run}
        for name, value in run.items():
            if name.startswith("characteristics_"):
                kept[name.removeprefix("characteristics_").removesuffix("_0_text")] = value
        said[run["run_accession"]] = kept
    return said
"""

SURVEY = """
def work():
    return sra.survey(study, web, fields=ena.Fields(ena.INDISPENSABLE, ()))

def what_it_says(experiment):
    runs = [{each.key: each.value for each in sample.attributes} for sample in experiment.samples]
    return what_is_said(runs)
"""

FETCH = """
def work():
    return sra_xml.fetch_from_ncbi(study, web)

def what_it_says(records):
    return what_is_said(records.runs)
"""

THEIRS = """
import json, sys, time
import pandas, pysradb
from pysradb import search

server, home, study, count = sys.argv[4:]
version = f"pysradb {pysradb.__version__}, pandas {pandas.__version__}, "
version += f"Python {sys.version.split()[0]}"
"""

SEARCH = """
new_session = search.requests_3_retries

def session_to_server():
    session = new_session()
    get = session.get
    session.get = lambda url, **options: get(url.replace("https:/", server, 1), **options)
    return session

search.requests_3_retries = session_to_server
NAMES = {
    "experiment_accession": "experiment_accession",
    "secondary_study_accession": "study_accession",
    "secondary_sample_accession": "sample_accession",
    "experiment_title": "experiment_title",
    "sample_title": "sample_title",
    "study_title": "study_study_title",
    "tax_id": "sample_taxon_id",
    "scientific_name": "sample_scientific_name",
    "library_strategy": "experiment_library_strategy",
    "library_source": "experiment_library_source",
    "library_selection": "experiment_library_selection",
    "library_layout": "library_layout",
    "instrument_platform": "experiment_platform",
    "instrument_model": "experiment_instrument_model",
}
OF_RUN = {"read_count": "total_spots", "base_count": "total_bases", "first_public": "published"}

def work():
    found = search.SraSearch(verbosity=3, return_max=int(count), accession=study)
    found.search()
    return found.get_df()

def what_it_says(frame):
    said = {}
    for row in frame.to_dict("records"):
        row = {key: value for key, value in row.items() if not pandas.isna(value) and value}
        shared = {ours: row[theirs] for ours, theirs in NAMES.items() if theirs in row}
        for key, value in row.items():
            if key.startswith("sample_external_id_") and value == "BioSample":
                shared["sample_accession"] = row[key.removesuffix("_namespace")]
            if key.startswith("sample_attributes_") and key.endswith("_tag"):
                if key.removesuffix("tag") + "value" in row:
                    shared["_".join(value.split())] = row[key.removesuffix("tag") + "value"]
        number = 1
        while name := row.get(f"run_{number}_accession"):
            own = {ours: f"run_{number}_{theirs}" for ours, theirs in OF_RUN.items()}
            own = {ours: row[column] for ours, column in own.items() if column in row}
            said[name] = {**shared, **own}
            number += 1
    return said
"""

EFETCH = """
client = pysradb.SRAweb()
client.base_url = {what: url.replace("https:/", server, 1) for what, url in client.base_url.items()}
client.sleep_time = 0

def work():
    return client.get_efetch_response("sra", study)

def listed(value):
    return value if isinstance(value, list) else [value]

def text(value):
    return value["#text"] if isinstance(value, dict) else value

def what_it_says(packages):
    said = {}
    for package in packages:
        experiment, study, sample = (package[kind] for kind in ("EXPERIMENT", "STUDY", "SAMPLE"))
        library = experiment["DESIGN"]["LIBRARY_DESCRIPTOR"]
        [(maker, instrument)] = experiment["PLATFORM"].items()
        shared = {
            "experiment_accession": experiment["@accession"],
            "secondary_study_accession": study["@accession"],
            "secondary_sample_accession": sample["@accession"],
            "experiment_title": experiment["TITLE"],
            "sample_title": sample.get("TITLE"),
            "study_title": study["DESCRIPTOR"]["STUDY_TITLE"],
            "tax_id": sample["SAMPLE_NAME"]["TAXON_ID"],
            "scientific_name": sample["SAMPLE_NAME"]["SCIENTIFIC_NAME"],
            "library_strategy": library["LIBRARY_STRATEGY"],
            "library_source": library["LIBRARY_SOURCE"],
            "library_selection": library["LIBRARY_SELECTION"],
            "library_layout": next(iter(library["LIBRARY_LAYOUT"])),
            "instrument_platform": maker,
            "instrument_model": instrument["INSTRUMENT_MODEL"],
        }
        for each in listed(sample["IDENTIFIERS"].get("EXTERNAL_ID", [])):
            if each["@namespace"] == "BioSample":
                shared["sample_accession"] = text(each)
        for each in listed(sample["SAMPLE_ATTRIBUTES"]["SAMPLE_ATTRIBUTE"]):
            shared["_".join(each["TAG"].split())] = each.get("VALUE")
        for run in listed(package["RUN_SET"]["RUN"]):
            own = {
                "read_count": run.get("@total_spots"),
                "base_count": run.get("@total_bases"),
                "first_public": run.get("@published"),
            }
            known = {**shared, **own}
            said[run["@accession"]] = {name: text for name, text in known.items() if text}
    return said
"""

MEASURE = """
def peak():
    with open("/proc/self/status") as file:
        return int(file.read().split("VmHWM:")[1].split()[0])

imported = peak()
started = time.perf_counter()
answer = work()
seconds = time.perf_counter() - started
report = {"seconds": seconds, "peak_kib": peak(), "imported_kib": imported, "version": version}
if sys.argv[2] == "compare":
    report["said"] = what_it_says(answer)
with open(sys.argv[1], "w") as file:
    json.dump(report, file)
"""

WAYS = {
    "survey": OURS + SURVEY,
    "fetch_from_ncbi": OURS + FETCH,
    "SraSearch": THEIRS + SEARCH,
    "get_efetch_response": THEIRS + EFETCH,
}
OF_PYSRADB = ("SraSearch", "get_efetch_response")
FIGURES = ("seconds", "whole_seconds", "peak_mib", "above_imports_mib")


def enlarged(document: Path, experiments: int) -> tuple[str, list[bytes]]:
    """The study of a document, and so many packages of it: copies under new accessions."""
    raw = document.read_bytes()
    text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    packages = re.findall(rb"<EXPERIMENT_PACKAGE>.*?</EXPERIMENT_PACKAGE>", text, re.DOTALL)
    studies = {*re.findall(rb"<STUDY_REF\b[^>]*\baccession=\"(\w+)\"", text)}
    if len(studies) != 1:
        raise SystemExit(f"{document} holds {len(studies)} studies; one is needed.")

    def copy(number: int) -> bytes:
        turn = number // len(packages)
        return re.sub(
            rb"\b([SED]R[RXS]|SAMN|SAMEA|SAMD|GSM)([0-9]{5,})",
            lambda found: b"%s%d" % (found[1], int(found[2]) + turn * 1_000_000_000),
            packages[number % len(packages)],
        )

    return studies.pop().decode(), [copy(number) for number in range(experiments)]


def answer(replay: Replay, study: str, packages: list[bytes]) -> None:
    """Let the server answer what each of the ways asks."""
    ids = [str(FIRST_ID + number) for number in range(len(packages))]
    found = {
        "count": str(len(ids)),
        "retstart": "0",
        "querykey": PARKED["query_key"],
        "webenv": PARKED["WebEnv"],
    }
    term = f"{study}[Accession]"

    def search(asked: dict[str, str], listed: list[str]) -> None:
        body = json.dumps({"esearchresult": {**found, "idlist": listed}})
        url = f"{EUTILS}/esearch.fcgi?{urlencode({'db': 'sra', 'retmode': 'json', **asked})}"
        replay.add(url, body.encode(), headers={"Content-Type": "application/json"})

    def fetch(asked: dict[str, str], start: int, size: int) -> None:
        within = b"\n".join(packages[start : start + size])
        body = b'<?xml version="1.0" encoding="UTF-8" ?>\n<EXPERIMENT_PACKAGE_SET>\n%s\n'
        body = body % within + b"</EXPERIMENT_PACKAGE_SET>\n"
        url = f"{EUTILS}/efetch.fcgi?{urlencode({'db': 'sra', **asked})}"
        replay.add(url, body, headers={"Content-Type": "text/xml"})

    search({"term": term, "retmax": "0", "usehistory": "y"}, [])
    search({"term": term, "retmax": str(len(ids))}, ids)
    search({"term": study, "usehistory": "n"}, ids[:20])
    for start in range(0, len(ids), PAGE):
        page = {**PARKED, "retstart": str(start), "retmax": str(PAGE)}
        fetch({**page, "rettype": "full", "retmode": "xml"}, start, PAGE)
        fetch({**page, "usehistory": "n", "retmode": "runinfo"}, start, PAGE)
    for start in range(0, len(ids), GROUP):
        named = ",".join(ids[start : start + GROUP])
        fetch({"retmode": "xml", "id": named}, start, GROUP)

    def nothing(url: str, asked: dict[str, str]) -> None:
        replay.add(f"{url}?{urlencode(asked)}", b"", status=204)

    runs = {"accession": study, "result": "read_run"}
    nothing(f"{PORTAL}/filereportcount", runs)
    fields = ",".join(INDISPENSABLE)
    nothing(f"{PORTAL}/filereport", {**runs, "fields": fields, "format": "json"})
    for publication in {*re.findall(rb"<DB>pubmed</DB>\s*<ID>([0-9]+)</ID>", b"".join(packages))}:
        nothing(PUBMED, {"db": "pubmed", "id": publication.decode(), "retmode": "json"})


def python_with_pysradb(folder: Path) -> str:
    """This interpreter if it has pysradb, else that of a new environment."""
    here = [sys.executable, "-c", "import pysradb"]
    if subprocess.run(here, capture_output=True, check=False).returncode == 0:
        return sys.executable
    environment = folder / "pysradb"
    python = str(environment / "bin" / "python")
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(environment)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", python, PYSRADB], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PYSRADB], check=True)
    return python


def measure(command: list[str], what: str, folder: Path, asked: list[str]) -> dict[str, Any]:
    """Run one fresh process; return what it reports and the whole wall time."""
    report = folder / "report.json"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    started = time.perf_counter()
    done = subprocess.run(
        [*command, str(report), what, "--", *asked],
        check=False,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    whole = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command[-1]} failed:\n{done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(report.read_text())
    return {**said, "whole_seconds": whole}


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Where two do not say the same of a run."""
    found = [f"{name} is with one only" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        mine, reference = ours[name], theirs[name]
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
        "above_imports_mib": max(run["peak_kib"] - run["imported_kib"] for run in runs) / 1024,
        "runs": [{key: run[key] for key in ("seconds", "whole_seconds")} for run in runs],
    }


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--document", type=Path, default=RECORDED, help="efetch's XML of a study")
    parser.add_argument("--experiments", type=int, default=1200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", metavar="PATH", help="an interpreter that has pysradb")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there")
    arguments = parser.parse_args()

    study, packages = enlarged(arguments.document, arguments.experiments)
    with tempfile.TemporaryDirectory() as name, serving() as replay:
        folder = Path(name)
        answer(replay, study, packages)
        python = arguments.python or python_with_pysradb(folder)
        commands = {}
        for way, program in WAYS.items():
            script = folder / f"{way}.py"
            script.write_text(program + MEASURE)
            commands[way] = [python if way in OF_PYSRADB else sys.executable, str(script)]
        asked = [replay.mirror, str(folder / "home"), study, str(len(packages))]
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(arguments.repeats):
            for way, command in commands.items():
                runs[way].append(measure(command, "time", folder, asked))
        said = {way: measure(commands[way], "compare", folder, asked)["said"] for way in WAYS}

    samples = len(said["survey"])
    text_bytes = sum(map(len, packages))
    measured = {way: middle(runs[way]) for way in WAYS}
    for figures in measured.values():
        figures["samples_per_second"] = samples / figures["seconds"]
    ratios = {
        way: {key: measured[way][key] / measured["survey"][key] for key in FIGURES}
        for way in WAYS
        if way != "survey"
    }
    unlike = {way: differences(said["survey"], said[way]) for way in WAYS if way != "survey"}
    values = sum(map(len, said["survey"].values()))
    result = {
        "benchmark": "sra_vs_pysradb",
        "document": arguments.document.name,
        "experiments": len(packages),
        "samples": samples,
        "text_mib": text_bytes / 2**20,
        "values_compared": values,
        "machine": {"cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "ways": measured,
        "over_survey": ratios,
        "differences": unlike,
    }
    print(
        f"{study} enlarged: {samples} runs of {len(packages)} experiments, "
        f"{text_bytes / 2**20:.0f} MiB of XML, median of {arguments.repeats}"
    )
    print(f"  ours:    {measured['survey']['version']}")
    print(f"  pysradb: {measured['SraSearch']['version']}")
    print(
        f"{'':22}{'samples/s':>10}{'inside, s':>11}{'whole, s':>10}"
        f"{'peak, MiB':>11}{'- imports':>11}{'time ratio':>12}"
    )
    for way, figures in measured.items():
        ratio = figures["seconds"] / measured["survey"]["seconds"]
        print(
            f"{way:22}{figures['samples_per_second']:10.0f}{figures['seconds']:11.3f}"
            f"{figures['whole_seconds']:10.3f}{figures['peak_mib']:11.0f}"
            f"{figures['above_imports_mib']:11.0f}{ratio:12.2f}"
        )
    for way, lines in unlike.items():
        print(f"differences of {way} from survey, in {values} values: {len(lines)}")
        for line in lines[:5]:
            print(f"  {line[:200]}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
