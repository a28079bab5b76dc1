"""Files that may be gzip under any name: told by their first bytes, inflated with a bound.

The one home for this; what the content means, and which typed error a damaged file
becomes, is for the callers to say.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, cast

from isal import isal_zlib

PIECE: Final = 1 << 20
_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 31  # window bits that mean: a gzip header, please
_NOT_PADDING: Final = re.compile(rb"[^\0]")
# So much of a member is fed first, and at most. What follows a member's end is copied, so
# that a large first feed would make thousands of tiny members slow.
_FIRST_FEED: Final = 1 << 12
_MOST_FEED: Final = 1 << 16
_DAMAGE: tuple[type[Exception], ...] = (
    zlib.error,
    cast("type[Exception]", isal_zlib.error),  # isal's stub says an instance
)


class DamagedGzip(Exception):
    """A gzip stream that is cut, or whose content does not fit its checksum."""


class TruncatedGzip(DamagedGzip):
    """A gzip stream that is sound as far as it goes, and ends too early."""


class TooLarge(Exception):
    """The content is larger than the caller allows."""


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins with these bytes is gzip."""
    return head.startswith(_MAGIC)


def pieces(path: Path) -> Iterator[bytes]:
    """The content of a file, inflated where it is gzip, in pieces of at most a MiB.

    Several gzip members one after the other are one content; zeros after the last member
    are padding. Memory is bounded whatever the file inflates to. Of a damaged file, the
    pieces before the damage are given first.

    Raises
    ------
    OSError
        The file cannot be read.
    TruncatedGzip
        It is cut.
    DamagedGzip
        It is corrupt, or followed by something that is not gzip.
    """
    with path.open("rb") as file:
        piece = file.read(PIECE)
        if is_gzip(piece):
            yield from inflated(file, piece)
            return
        while piece:
            yield piece
            piece = file.read(PIECE)


def inflated(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    """The content of a gzip stream that cannot be opened again: `head` was read of it already.

    Pieces, members and padding are as those of `pieces`; of `stream`, only `read` is used.

    Raises
    ------
    TruncatedGzip, DamagedGzip
        As `pieces`; also where `head` is not the beginning of gzip.
    """
    block, at = head, 0
    while block:
        found = _NOT_PADDING.search(block, at)
        if found is None:
            block, at = stream.read(PIECE), 0
            continue
        at = found.start()
        if not _MAGIC.startswith(block[at : at + 2]):
            raise DamagedGzip("something that is not gzip follows the gzip stream")
        member, feed = isal_zlib.decompressobj(_GZIP), _FIRST_FEED
        while not member.eof:
            fed = block[at : at + feed]
            try:
                piece = member.decompress(fed, PIECE)
            except _DAMAGE as error:
                raise DamagedGzip(f"the gzip stream is damaged ({error})") from None
            if piece:
                yield piece
            at += len(fed) - len(member.unconsumed_tail) - len(member.unused_data)
            feed = min(2 * feed, _MOST_FEED)
            # A whole piece may mean that more of it waits inside, with no byte left to feed.
            if at == len(block) and not member.eof and len(piece) < PIECE:
                block, at = stream.read(PIECE), 0
                if not block:
                    raise TruncatedGzip("the gzip stream ends too early")


def read_whole(path: Path, most_bytes: int) -> bytes:
    """The whole content of a file, inflated where it is gzip.

    Raises
    ------
    OSError, DamagedGzip
        As `pieces`.
    TooLarge
        The content has more than `most_bytes`.
    """
    if path.is_file() and path.stat().st_size <= most_bytes:  # but not a pipe: read it once
        with path.open("rb", buffering=0) as file:
            if not is_gzip(file.read(len(_MAGIC))):
                file.seek(0)
                return file.readall()
    content = BytesIO()  # gives its bytes away without a copy
    for piece in pieces(path):
        if content.tell() + len(piece) > most_bytes:
            raise TooLarge(f"the content is larger than {most_bytes:,} bytes")
        content.write(piece)
    return content.getvalue()


def read_head(path: Path, most_bytes: int) -> bytes:
    """The first bytes of the content, as many as there are up to `most_bytes`.

    Of a damaged gzip stream, the bytes before the damage.

    Raises
    ------
    OSError
        The file cannot be read.
    DamagedGzip
        Not one byte could be inflated.
    """
    head = bytearray()
    try:
        for piece in pieces(path):
            head += piece
            if len(head) >= most_bytes:
                break
    except DamagedGzip:
        if not head:
            raise
    return bytes(head[:most_bytes])
