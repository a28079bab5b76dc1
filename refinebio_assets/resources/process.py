"""Starting outside programs: from a list of arguments, never through a shell.

A program runs in its own process group, which is killed when the caller is interrupted
or the time is up, and dies with this process even when that is killed with -9. Its
output is read line by line, so that progress can be shown while it runs. Not here: what
any one program's arguments mean.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from refinebio_assets.errors import ToolFailed, ToolTimedOut

TAIL_LINES = 50
OnLine = Callable[[str], None]
_running: set[subprocess.Popen[bytes]] = set()


def run_tool(
    command: Sequence[str | Path],
    *,
    on_line: OnLine | None = None,
    timeout: float | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Run a program to its end and return its last lines (stdout and stderr together).

    Parameters
    ----------
    on_line
        Called with every line as it comes (a carriage return also ends a line).
    timeout
        Seconds after which the whole process group is killed.

    Raises
    ------
    ToolFailed
        If the program cannot be started or ends with anything but 0.
    ToolTimedOut
        If it ran longer than `timeout`.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with started(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        environment=environment,
    ) as process:
        expired = threading.Event()
        timer = _kill_after(timeout, process, expired)
        try:
            if process.stdout is not None:
                for line in _lines(process.stdout):
                    tail.append(line)
                    if on_line is not None:
                        on_line(line)
            returncode = process.wait()
        finally:
            timer.cancel()
    if expired.is_set():
        raise ToolTimedOut(f"{_name(command)} ran longer than {timeout:.0f} s.")
    if returncode != 0:
        raise failure(command, returncode, list(tail))
    return list(tail)


def failure(command: Sequence[str | Path], returncode: int, tail: list[str]) -> ToolFailed:
    """The error for a program that ended with `returncode`."""
    how = f"was killed by {signal.Signals(-returncode).name}" if returncode < 0 else "failed"
    code = f" (exit code {returncode})" if returncode > 0 else ""
    said = "\n".join(tail) or "It printed nothing."
    return ToolFailed(f"{_name(command)} {how}{code}:\n{said}", returncode=returncode, tail=tail)


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running program; its whole process group is gone when the block is left."""
    try:
        process = subprocess.Popen(
            [*_die_with_parent(), *(os.fspath(part) for part in command)],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(
            f"{_name(command)} could not be started: {error}", returncode=127, tail=[]
        ) from error
    _running.add(process)
    with process:
        try:
            yield process
        finally:
            kill_group(process)
            _running.discard(process)


def kill_all() -> None:
    """End every program that is running, in whichever thread it was started."""
    for process in list(_running):
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and everything that it started, if any of it is still running."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _die_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _kill_after(
    timeout: float | None, process: subprocess.Popen[bytes], expired: threading.Event
) -> threading.Timer:
    def expire() -> None:
        expired.set()
        kill_group(process)

    timer = threading.Timer(timeout or 0, expire)
    timer.daemon = True
    if timeout is not None:
        timer.start()
    return timer


def _lines(stream: IO[bytes]) -> Iterator[str]:
    pending = b""
    while chunk := os.read(stream.fileno(), 1 << 16):
        *whole, pending = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            if line.strip():
                yield line.decode("utf-8", "replace").rstrip()
    if pending.strip():
        yield pending.decode("utf-8", "replace").rstrip()


def _name(command: Sequence[str | Path]) -> str:
    return Path(command[0]).name
