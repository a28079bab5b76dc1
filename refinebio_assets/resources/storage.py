"""Where everything lies on disk, and how a file or folder appears there: whole or not at all.

`REFINEBIO_HOME` is laid out as docs/architecture.md shows. Everything is first written
into a staging folder of the same file system and then renamed. A staging folder is
locked by the process that owns it; what a killed process left behind is removed by the
next one. Not here: what the files contain.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from refinebio_assets.errors import AlreadyPublished, DiskFull
from refinebio_assets.metadata.accessions import valid_accession
from refinebio_assets.metadata.organisms import organism_name

DEFAULT_HOME = "refinebio_home"
# A program that dies for want of space rarely says so: below this, that was the reason.
ALMOST_NOTHING_FREE = 1 << 20


class Storage(dg.ConfigurableResource):
    """The folder tree of one installation."""

    home: str | None = Field(
        default=None,
        description="Folder that holds everything; by default $REFINEBIO_HOME, "
        f"else '{DEFAULT_HOME}' in the working folder.",
    )

    @property
    def root(self) -> Path:
        """The absolute path of the home folder."""
        home = self.home or os.environ.get("REFINEBIO_HOME") or DEFAULT_HOME
        return Path(home).expanduser().absolute()

    # --- the layout: one method for each kind of thing --------------------------------

    def sample_sheets(self) -> Path:
        """Folder of the registered sample sheets."""
        return self.root / "sample_sheets"

    def reference_catalogues(self) -> Path:
        """Folder of the registered reference catalogues (YAML)."""
        return self.root / "reference_catalogues"

    def metadata_overrides(self) -> Path:
        """The reviewed corrections of metadata; need not exist."""
        return self.root / "metadata_overrides.yaml"

    def compendium_exclusions(self) -> Path:
        """What people decided on samples of compendia; need not exist."""
        return self.root / "compendium_exclusions.yaml"

    def reference(self, organism: str, release: str) -> Path:
        """Folder of one organism's transcriptome, gene map and indices."""
        return self.root / "reference" / organism / valid_accession(release, what="release")

    def raw_folder(self, experiment: str, sample: str) -> Path:
        """Folder of one sample's fetched files and their manifest, `raw.json`."""
        return self.root / "raw" / valid_accession(experiment) / _sample(sample)

    def shared_raw_folder(self, experiment: str) -> Path:
        """Folder of fetched files that several samples share; no sample has such a name."""
        return self.root / "raw" / valid_accession(experiment) / "_shared"

    def platform(self, platform: str, release: str) -> Path:
        """Folder of one array platform's probe annotation."""
        named = valid_accession(platform, what="platform")
        return self.platforms() / named / valid_accession(release, what="release")

    def platforms(self) -> Path:
        """Folder of all probe annotations."""
        return self.root / "reference" / "platforms"

    def quant_folder(self, experiment: str, sample: str) -> Path:
        """Folder that Salmon filled for one sample."""
        return self.processed("quant") / valid_accession(experiment) / _sample(sample)

    def processed(self, table: str) -> Path:
        """Folder of one table's Parquet files."""
        return self.root / "processed" / table

    def table_file(self, table: str, experiment: str) -> Path:
        """The Parquet file of one experiment's rows in a table."""
        return self.processed(table) / f"{valid_accession(experiment)}.parquet"

    def status_file(self, stage: str, experiment: str) -> Path:
        """The Parquet file of one experiment's sample statuses after one stage."""
        folder = self.processed("sample_status") / f"stage={stage}"
        return folder / f"{valid_accession(experiment)}.parquet"

    def expression_file(self, organism: str, technology: str, experiment: str) -> Path:
        """The Parquet file of one experiment's expression values."""
        folder = self.processed("expression") / f"organism={organism}" / f"technology={technology}"
        return folder / f"{valid_accession(experiment)}.parquet"

    def expression_files(self, technology: str, experiment: str) -> list[Path]:
        """All expression files of one experiment: one per organism."""
        pattern = f"organism=*/technology={technology}/{valid_accession(experiment)}.parquet"
        return sorted(self.processed("expression").glob(pattern))

    def qn_targets(self, organism: str) -> Path:
        """Folder of an organism's quantile-normalisation targets, one folder per version."""
        return self.root / "qn_targets" / organism_name(organism)

    def checkpoint(self, work: str) -> Path:
        """Where long work keeps its state, to go on after it was killed."""
        folder = self.root / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{valid_accession(work, what='work')}.npz"

    def catalogue(self) -> Path:
        """The DuckDB catalogue."""
        return self.root / "refinebio.duckdb"

    # --- writing aside, then renaming -------------------------------------------------

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A private scratch folder on the same file system, gone afterwards.

        Raises
        ------
        DiskFull
            Instead of the OSError, where the file system is full.
        """
        parent = self.root / "staging"
        with disk_full_named(parent):
            folder, lock = _own_folder(parent)
            try:
                with disk_full_named(parent):
                    yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                _lock_path(folder).unlink(missing_ok=True)

    @contextmanager
    def publish_file(self, final: Path) -> Iterator[Path]:
        """Yield a path to write to; it becomes `final` if the block ends well."""
        with self.staging() as folder:
            staged = folder / final.name
            yield staged
            move_file(staged, final)

    @contextmanager
    def publish_folder(self, final: Path) -> Iterator[Path]:
        """Yield an empty folder to fill; it becomes `final` if the block ends well.

        An earlier folder of that name is replaced. Killed between the two renames, the
        folder is absent, never half there.
        """
        with self._filled_folder() as staged:
            yield staged
            _sync_below(staged)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                final.rename(staged.with_name("old"))
            staged.rename(final)
            _sync(final.parent)

    @contextmanager
    def publish_new_folder(self, final: Path) -> Iterator[Path]:
        """Yield an empty folder to fill; it becomes `final`, which is never replaced.

        Raises
        ------
        AlreadyPublished
            There is one of that name meanwhile.
        """
        with self._filled_folder() as staged:
            yield staged
            _sync_below(staged)
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                staged.rename(final)  # fails where there is a folder that is not empty
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise AlreadyPublished(f"{final} is there already.") from error
                raise
            _sync(final.parent)

    @contextmanager
    def _filled_folder(self) -> Iterator[Path]:
        with self.staging() as folder:
            staged = folder / "new"
            staged.mkdir()
            yield staged

    def write_json(self, final: Path, content: dict[str, Any]) -> None:
        """Publish a small JSON document."""
        with self.publish_file(final) as staged:
            staged.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """A document written by `Storage.write_json`; None where there is none."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return content


def move_file(staged: Path, final: Path) -> None:
    """Rename a finished file into place, durably."""
    _sync(staged)
    final.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(final)
    _sync(final.parent)


@contextmanager
def disk_full_named(where: Path) -> Iterator[None]:
    """Turn an error that happens on a full disk into DiskFull."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        existing = next(path for path in (where, *where.parents) if path.exists())
        if no_space or shutil.disk_usage(existing).free < ALMOST_NOTHING_FREE:
            raise DiskFull(f"No space left under {where}.") from error
        raise


def _sample(name: str) -> str:
    return valid_accession(name, what="sample")


def _sync_below(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _own_folder(parent: Path) -> tuple[Path, int]:
    """A new folder and its lock, after those of killed processes have been removed.

    One process at a time does this, lest a folder be taken for abandoned before it is locked.
    """
    parent.mkdir(parents=True, exist_ok=True)
    guard = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        _remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(dir=parent))
        return folder, _lock(folder)
    finally:
        os.close(guard)


def _lock(folder: Path) -> int:
    descriptor = os.open(_lock_path(folder), os.O_CREAT | os.O_RDWR, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _remove_abandoned(parent: Path) -> None:
    """Remove staging folders whose owner is gone: their lock can be taken."""
    for lock_path in parent.glob("*.lock"):
        with contextlib.suppress(OSError):
            descriptor = os.open(lock_path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
                lock_path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
