"""Salmon's files of many runs in one zip: whether one is whole, how it is called, what came out.

A zip of an RNA-seq sample compendium has a folder for each experiment, and in it either
`<SAMPLE>_quant.sf` or, with whole folders, `<SAMPLE>/quant.sf` beside all else that Salmon
wrote. Runs are known by experiment and sample: a sample of two experiments is in both. Not
here: where the files lie, and the other documents of the zip.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from refinebio_assets.compendium.documents import LICENSE, README
from refinebio_assets.errors import InvalidQuantification
from refinebio_assets.publish.archive import MANIFEST, check_names
from refinebio_assets.publish.metadata_files import AGGREGATED, FILTERED
from refinebio_assets.rnaseq.tximport import read_quant

Run = tuple[str, str]  # experiment, sample
OnProgress = Callable[[], None]

QUANT_SF: Final = "quant.sf"
UNFIT_NAME: Final = "Its name cannot stand in a zip beside the names of the others."

_AT_THE_ROOT: Final = (
    README,
    LICENSE,
    AGGREGATED,
    f"{FILTERED}.json",
    f"{FILTERED}.tsv",
    MANIFEST,
)
_QUANT_MEMBER: Final = re.compile(r"([^/]+)/([^/]+?)(?:_quant\.sf|/quant\.sf)\Z")
_TABLE_MEMBER: Final = re.compile(r"([^/]+)/metadata_\1\.tsv\Z")
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class QuantFile:
    """A whole `quant.sf`: its transcripts, its size in bytes, its SHA-256."""

    transcripts: int
    size: int
    sha256: str


@dataclass(frozen=True)
class FoundInArchive:
    """What a finished zip was found to hold.

    Attributes
    ----------
    runs
        Those whose `quant.sf` is there, can be unpacked, and is the one that was meant.
    faults
        In words, one a member; none in a zip as it should be.
    """

    runs: set[Run]
    faults: list[str]


def read_quant_file(path: Path) -> QuantFile:
    """Read a `quant.sf` to its end.

    Raises
    ------
    InvalidQuantification
        It is missing, cut or malformed; the message names no folder.
    """
    try:
        transcripts = len(read_quant(path))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return QuantFile(transcripts, file.tell(), digest)
    except InvalidQuantification as error:
        raise InvalidQuantification(error.message.replace(str(path), QUANT_SF)) from error
    except OSError as error:
        raise InvalidQuantification(f"{QUANT_SF} cannot be read: {error.strerror}.") from error


def member_name(experiment: str, sample: str, file: str = QUANT_SF, *, whole_folder: bool) -> str:
    """The name in the zip of a file that Salmon wrote; `file` is its path in its folder."""
    return f"{experiment}/{sample}/{file}" if whole_folder else f"{experiment}/{sample}_{file}"


def unfit_runs(runs: Iterable[Run], *, whole_folders: bool) -> list[Run]:
    """The runs whose names would meet those of earlier ones, or of other files, in a zip.

    Names that differ in case alone meet: not every file system can tell them apart.
    """
    folders: dict[str, str] = {name.lower(): "" for name in _AT_THE_ROOT}
    taken: set[str] = set()
    unfit = []
    for experiment, sample in runs:
        name = member_name(experiment, sample, whole_folder=whole_folders)
        table = f"{experiment}/metadata_{experiment}.tsv".lower()
        of_run = f"{experiment}/{sample}".lower()
        if (
            folders.get(experiment.lower(), experiment) != experiment
            or of_run in taken
            or (whole_folders and of_run == table)
            or not _may_be_named(name)
        ):
            unfit.append((experiment, sample))
            continue
        folders[experiment.lower()] = experiment
        taken.add(of_run)
    return unfit


def files_of_folder(folder: Path) -> list[str]:
    """The files that Salmon wrote, as paths in their folder, sorted; links and hidden ones not."""
    found = (
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    return sorted(name for name in found if _may_be_named(name))


def read_archive(
    path: Path,
    digests: Mapping[Run, str],
    *,
    threads: int = 1,
    on_progress: OnProgress = lambda: None,
) -> FoundInArchive:
    """Unpack a finished zip, in memory, and compare it with what it should hold.

    Parameters
    ----------
    path
        The zip; all that is told of it is read from it.
    digests
        Run -> SHA-256 that its `quant.sf` should have.
    threads
        Members unpacked at the same time.
    on_progress
        Told after each `quant.sf`, from any thread.

    Raises
    ------
    zipfile.BadZipFile
        It is no zip.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    members = {(found[1], found[2]): name for name in names if (found := _QUANT_MEMBER.match(name))}
    shares = [list(members.values())[start::threads] for start in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda share: _unpacked(path, share, on_progress), shares)
        unpacked = {name: digest for part in parts for name, digest in part.items()}
    faults = []
    runs = set()
    for run, name in members.items():
        if run not in digests:
            faults.append(f"{name} is in the zip and not in the table of its samples")
        elif unpacked[name] != digests[run]:
            what = "is not the file that was read" if unpacked[name] else "cannot be unpacked"
            faults.append(f"{name} {what}")
        else:
            runs.add(run)
    faults += [
        f"{sample} of {experiment} is in the table of its samples and not in the zip"
        for experiment, sample in digests.keys() - members.keys()
    ]
    with zipfile.ZipFile(path) as archive:
        tables = {
            found[1]: _first_column(archive, name)
            for name in names
            if (found := _TABLE_MEMBER.match(name))
        }
    return FoundInArchive(runs, sorted(faults) + _faults_of_tables(members, tables))


def _unpacked(path: Path, names: Sequence[str], on_progress: OnProgress) -> dict[str, str]:
    """The SHA-256 of members; empty where one cannot be unpacked."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in names:
            try:
                with archive.open(name) as member:
                    found[name] = _digest(member)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
                found[name] = ""
            on_progress()
    return found


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _first_column(archive: zipfile.ZipFile, name: str) -> list[str]:
    with archive.open(name) as member, io.TextIOWrapper(member, "utf-8", newline="") as text:
        return [row[0] for row in csv.reader(text, delimiter="\t")][1:]


def _faults_of_tables(members: Iterable[Run], tables: Mapping[str, Sequence[str]]) -> list[str]:
    of_experiment: dict[str, list[str]] = {}
    for experiment, sample in members:
        of_experiment.setdefault(experiment, []).append(sample)
    return [
        f"the metadata table of {experiment} has not the samples of its folder"
        for experiment in sorted(of_experiment.keys() | tables.keys())
        if sorted(of_experiment.get(experiment, [])) != sorted(tables.get(experiment, []))
    ]


def _may_be_named(name: str) -> bool:
    try:
        check_names([name])
    except ValueError:
        return False
    return True
