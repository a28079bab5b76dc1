"""Writing a file, or a folder, that is there whole or not at all. Not here: where things lie."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; it becomes `path` if the block ends well."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_new_folder(path: Path) -> Iterator[Path]:
    """A folder beside it to fill; it becomes `path` if the block ends well.

    Raises
    ------
    FileExistsError
        There is something of that name; only an empty folder is replaced.
    """
    refuse_taken(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    aside.mkdir()
    try:
        yield aside
        for file in aside.rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        refuse_taken(path)
        aside.replace(path)  # fails where there is a folder that is not empty
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def refuse_taken(path: Path) -> None:
    """Raise FileExistsError unless there is nothing of that name, or an empty folder."""
    if path.is_symlink() or path.exists():
        if not path.is_symlink() and path.is_dir() and not any(path.iterdir()):
            return
        raise FileExistsError(errno.EEXIST, "It is there already; name another folder", str(path))
