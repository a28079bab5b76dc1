"""A folder as one tar file that is never on disk, and whose size is known before it is read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BLOCK: Final = 1 << 20


def tar_size(folder: Path) -> int:
    """The size of what `read_tar` gives, in bytes."""
    size = sum(len(_header(folder, each)) + _padded(each.stat().st_size) for each in _files(folder))
    return _to_records(size)


def read_tar(folder: Path) -> Iterator[bytes]:
    """The tar file, piece by piece: the folder's files, without what they say of this machine."""
    size = 0
    for path in _files(folder):
        header = _header(folder, path)
        yield header
        left = path.stat().st_size
        size += len(header) + _padded(left)
        padding = _padded(left) - left
        with path.open("rb") as file:
            while left:
                block = file.read(min(_BLOCK, left))
                if not block:
                    raise OSError(f"{path.name} became shorter while it was read.")
                left -= len(block)
                yield block
        yield bytes(padding)
    yield bytes(_to_records(size) - size)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _header(folder: Path, path: Path) -> bytes:
    entry = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
    status = path.stat()
    entry.size, entry.mtime, entry.mode = status.st_size, int(status.st_mtime), 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _to_records(size: int) -> int:
    return -(-(size + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
