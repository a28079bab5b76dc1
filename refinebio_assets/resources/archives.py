"""Unpacking tar, tgz, zip and gz files from anywhere: no name, link or size in them is trusted.

What an archive is, its content says, not its name. Archives within it are unpacked too,
those whose names say that they are archives (a .xlsx file is a zip file, and stays one).
Everything is checked on the way: the CRC of gzip and zip, the end of a tar file, names,
kinds, numbers and sizes. Not here: which of the files belong to which sample.
"""

from __future__ import annotations

import errno
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from isal import igzip, isal_zlib

from refinebio_assets.errors import UnsupportedRawFile
from refinebio_assets.resources.storage import disk_full_named

CHUNK = 1 << 20
# A longer extended header of a tar member is none: tarfile reads it into memory.
LONGEST_TAR_HEADER = 1 << 20
MOST_MEMBERS = 100_000
MOST_BYTES = 500 << 30
DEEPEST = 4
LONGEST_PATH = 1000

_NAMED_ARCHIVE = re.compile(r"(\.tar\.gz|\.tgz|\.tar|\.zip|\.gz)\Z", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_TAR_BLOCK = 512


# What the libraries raise for bytes that are not what they should be. They trust numbers in
# headers, and say "encrypted" or "unknown method" by errors of any kind.
_DAMAGED: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    cast("type[Exception]", isal_zlib.error),  # isal's stub says an instance
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    LookupError,
    OSError,
)
# What seeking to a nonsensical place gives, and what the libraries raise themselves.
_OF_THE_CONTENT = (errno.EINVAL, None)


class _InvalidTarHeader(tarfile.TarError):
    pass


class _LastRead:
    """A file for tarfile that remembers its last piece: tarfile takes any end for the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.piece = b""

    def read(self, size: int = -1) -> bytes:
        self.piece = self._file.read(size)
        return self.piece

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Member(tarfile.TarInfo):
    """A tar member whose extended headers are read only if they are of sensible size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        if self.type not in tarfile.REGULAR_TYPES and self.size > LONGEST_TAR_HEADER:
            raise _InvalidTarHeader(f"{self.name[:100]!r} has a header of {self.size} bytes")
        read = super()._proc_member  # type: ignore[misc]
        return cast("tarfile.TarInfo | None", read(archive))


@dataclass
class _Unpacking:
    """What one call of `unpack` may still use, and what it wrote."""

    members_left: int
    bytes_left: int
    written: list[Path] = field(default_factory=list)

    def count_member(self) -> None:
        self.members_left -= 1
        if self.members_left < 0:
            raise UnsupportedRawFile("it has too many members")

    def count_bytes(self, number: int) -> None:
        self.bytes_left -= number
        if self.bytes_left < 0:
            raise UnsupportedRawFile("it unpacks to too many bytes")


def unpack(
    archive: Path,
    folder: Path,
    *,
    most_members: int = MOST_MEMBERS,
    most_bytes: int = MOST_BYTES,
    deepest: int = DEEPEST,
) -> list[Path]:
    """Unpack an archive into a folder, and the archives within it.

    A single gzip file `x.gz` becomes `x`; a nested tar or zip file becomes a folder of its
    name without the ending. Modes, owners and times are not taken over.

    Parameters
    ----------
    folder
        Best an empty staging folder: what was written before an error stays there.
    most_members, most_bytes
        Limits for all levels together; bytes are counted unpacked, as they come.
    deepest
        How many archives may lie within each other.

    Returns
    -------
    The files, no archives among them, in the order of the archive.

    Raises
    ------
    UnsupportedRawFile
        If it is no archive, cut short, damaged, encrypted or beyond a limit; if a name
        leads out of the folder, two are alike, or a member is a link or device.
    DiskFull
    """
    budget = _Unpacking(most_members, most_bytes)
    with disk_full_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        name = _NAMED_ARCHIVE.sub("", archive.name) or archive.name
        if not archive.is_file() or kind_of(archive) is None:
            raise UnsupportedRawFile(f"{archive.name} is not a tar, zip or gzip archive.")
        with _named(archive):
            _unpack(archive, folder, name, deepest, budget)
    return budget.written


def kind_of(path: Path) -> str | None:
    """'gz', 'zip' or 'tar' by a file's content; None for anything else."""
    with path.open("rb") as file:
        head = file.read(_TAR_BLOCK)
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if _is_tar(head) else None


def _is_tar(head: bytes) -> bool:
    """By its first block: the name of the format, and the header's own sum."""
    if len(head) < _TAR_BLOCK or head[257:262] not in (b"ustar", b"\0" * 5):
        return False
    try:
        stated = int(head[148:156].strip(b" \0") or b"-1", 8)
    except ValueError:
        return False
    return stated == sum(head[:148]) + 8 * ord(" ") + sum(head[156:])


def _unpack(archive: Path, folder: Path, name: str, levels: int, budget: _Unpacking) -> None:
    if levels <= 0:
        raise UnsupportedRawFile("archives lie too deep within each other")
    kind = kind_of(archive)
    if kind == "zip":
        written = _unzip(archive, folder, budget)
    elif kind == "tar":
        with archive.open("rb") as file:
            written = _untar(file, folder, budget)
    else:
        written = _gunzip(archive, folder, name, budget)
    for path in written:
        if _NAMED_ARCHIVE.search(path.name) and (inner := kind_of(path)):
            _unpack_nested(path, inner, levels - 1, budget)
        else:
            budget.written.append(path)


def _unpack_nested(path: Path, kind: str, levels: int, budget: _Unpacking) -> None:
    stem = _NAMED_ARCHIVE.sub("", path.name)
    if not stem:
        budget.written.append(path)
        return
    with _named(path):
        single = kind == "gz" and not _holds_tar(path)
        folder = path.parent if single else path.parent / stem
        if not single:
            folder.mkdir(exist_ok=True)
        _unpack(path, folder, stem, levels, budget)
    path.unlink()


def _holds_tar(path: Path) -> bool:
    with _gzip(path) as file:
        return _is_tar(file.read(_TAR_BLOCK))


# --- the three kinds ----------------------------------------------------------------------


def _gunzip(archive: Path, folder: Path, name: str, budget: _Unpacking) -> list[Path]:
    with _gzip(archive) as file:
        if _is_tar(file.read(_TAR_BLOCK)):
            file.seek(0)
            written = _untar(file, folder, budget)
            while rest := file.read(CHUNK):  # to the CRC at the end
                budget.count_bytes(len(rest))
            return written
        file.seek(0)
        return [_write(file, folder, name, budget)]


def _untar(file: BinaryIO, folder: Path, budget: _Unpacking) -> list[Path]:
    written = []
    source = _LastRead(file)
    with tarfile.open(
        fileobj=cast("BinaryIO", source), mode="r:", tarinfo=_Member, encoding="utf-8"
    ) as tar:
        for member in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep every one
            if member.isdir():
                _safe(_utf8(member.name), folder)
                budget.count_member()
                continue
            if not member.isreg() or member.issparse():
                raise UnsupportedRawFile(f"{member.name[:100]!r} is a link or device")
            content = tar.extractfile(member)
            if content is None:
                raise UnsupportedRawFile(f"{member.name[:100]!r} cannot be read")
            path = _write(content, folder, _utf8(member.name), budget)
            if path.stat().st_size != member.size:
                raise UnsupportedRawFile("it is cut short")
            written.append(path)
    if source.piece != b"\0" * _TAR_BLOCK:
        raise UnsupportedRawFile("it is cut short or damaged")
    return written


def _unzip(archive: Path, folder: Path, budget: _Unpacking) -> list[Path]:
    written = []
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if member.is_dir():
                _safe(member.filename, folder)
                budget.count_member()
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise UnsupportedRawFile(f"{member.filename[:100]!r} is a link or device")
            if member.flag_bits & 1:
                raise UnsupportedRawFile("it is encrypted")
            with packed.open(member) as content:
                written.append(_write(content, folder, member.filename, budget))
    return written


def _gzip(path: Path) -> BinaryIO:
    return cast("BinaryIO", igzip.IGzipFile(path, "rb"))  # type: ignore[no-untyped-call]


# --- one file ---------------------------------------------------------------------------------


def _write(content: IO[bytes], folder: Path, name: str, budget: _Unpacking) -> Path:
    budget.count_member()
    path = _safe(name, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise UnsupportedRawFile(f"two members are called {name[:100]!r}") from None
    with target:
        while chunk := content.read(CHUNK):
            budget.count_bytes(len(chunk))
            target.write(chunk)
    return path


def _safe(name: str, folder: Path) -> Path:
    """Where a member goes; no name leads out of the folder, whatever it holds."""
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    unsafe = (
        plain.startswith("/")
        or _DRIVE.match(plain)
        or ".." in parts
        or not parts
        or len(plain.encode("utf-8", "replace")) > LONGEST_PATH
        or any(len(part.encode("utf-8", "replace")) > 255 for part in parts)
        or any(char < " " or "\ud800" <= char <= "\udfff" for char in plain)
    )
    if unsafe and set(plain) <= {".", "/"} and ".." not in parts and not plain.startswith("/"):
        return folder  # './', the folder itself
    if unsafe:
        raise UnsupportedRawFile(f"{name[:100]!r} is not a safe name")
    return folder.joinpath(PurePosixPath(*parts))


def _utf8(name: str) -> str:
    """A tar name's bytes as UTF-8 or, where they are none, as Latin-1."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


@contextmanager
def _named(archive: Path) -> Iterator[None]:
    """Say of which archive it is true, and in one kind of error."""
    remedy = "Fetch the archive again, or provide its files unpacked."
    try:
        yield
    except UnsupportedRawFile as error:
        said = error.message.rstrip(".")
        raise UnsupportedRawFile(f"{archive.name}: {said}.", remedy=remedy) from None
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_CONTENT:
            raise
        said = str(error).rstrip(".") or type(error).__name__
        raise UnsupportedRawFile(
            f"{archive.name} is cut short or damaged: {said}.", remedy=remedy
        ) from None
