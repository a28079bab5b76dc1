"""Split `fastq-dump`'s stream on stdin into two named pipes that Salmon reads as mates.

    fastq-dump … | python -m refinebio_assets.rnaseq.mates FIFO1 FIFO2

Prints `{"pairs": n, "unmated": m}` on stdout. Exits with 1, and the reason on stderr, if
the stream is faulty; the readers then see a plain end of file, so whoever starts them must
look at this exit code. Exits with 141 if a reader goes away, 2 if called wrongly.

Each pipe is opened and written by a thread of its own, with a short queue before it: the
reader may open the pipes in either order, and may wait for more of one mate while the
other's pipe is full. Without a reader this waits for one. Not here: how reads are paired
(`pairing.demultiplex`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from refinebio_assets.errors import InvalidFastq
from refinebio_assets.rnaseq.pairing import MateCounts, demultiplex

PIPE_BYTES = 1 << 20
QUEUED_BLOCKS = 8  # a reader may be ahead on one mate by this many blocks of reads
POLL_SECONDS = 0.2  # how soon the failure of one writer ends waiting for the other
BROKEN_PIPE_EXIT = 141  # as of a shell's process that SIGPIPE ended


class PipeWriter:
    """Writes to one named pipe from a thread of its own.

    Writers that share `failures` share their fate: once one has failed, none waits any more.
    """

    def __init__(self, path: Path, failures: list[OSError]) -> None:
        self._path = path
        self._failures = failures
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._room = threading.Semaphore(QUEUED_BLOCKS)
        self._thread = threading.Thread(target=self._run, name=f"writer of {path}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Queue `data`; waits while the queue is full. Raises OSError if a writer failed."""
        self._raise_failure()
        while not self._room.acquire(timeout=POLL_SECONDS):
            self._raise_failure()
        self._queue.put(data)

    def end(self) -> None:
        """Let the pipe be closed once all is written; does not wait."""
        self._queue.put(b"")

    def join(self) -> None:
        """After `end`: wait until all is written. Raises OSError if a writer failed."""
        while self._thread.is_alive():
            self._raise_failure()
            self._thread.join(POLL_SECONDS)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        try:
            with self._path.open("wb", buffering=0) as pipe:
                with contextlib.suppress(OSError):  # not a pipe, or more than the user may have
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                while data := self._queue.get():
                    self._room.release()
                    _write_all(pipe.fileno(), data)
        except OSError as error:
            self._failures.append(error)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _split(paths: Sequence[str]) -> MateCounts:
    failures: list[OSError] = []
    first, second = (PipeWriter(Path(path), failures) for path in paths)
    try:
        counts = demultiplex(sys.stdin.buffer, first, second)
    except InvalidFastq:
        _end(first, second)  # a reader that has not opened its pipe yet would wait for ever
        raise
    _end(first, second)
    return counts


def _end(*writers: PipeWriter) -> None:
    """Both end before either is waited for: a reader may want one mate's end first."""
    for writer in writers:
        writer.end()
    for writer in writers:
        writer.join()


def main(arguments: Sequence[str]) -> int:
    """Run the command on `arguments` (two paths) and return its exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m refinebio_assets.rnaseq.mates FIFO1 FIFO2\n")
        return 2
    try:
        counts = _split(arguments)
    except BrokenPipeError:
        return BROKEN_PIPE_EXIT
    except (InvalidFastq, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps({"pairs": counts.pairs, "unmated": counts.unmated}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
