"""Outside programs: their output, their end, and what they leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from refinebio_assets.errors import ToolFailed, ToolTimedOut
from refinebio_assets.resources.process import TAIL_LINES, kill_all, run_tool, started

FOREVER = "1000000"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def is_alive(pid: int) -> bool:
    """Whether a process runs (one that is dead but not yet waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


# --- output ---------------------------------------------------------------------------


def test_lines_of_both_streams_come_as_they_are_written() -> None:
    seen: list[str] = []
    program = r"""
import os
os.write(1, b"one\r\n\n  two  \r50 %\r100 %\n")
os.write(2, b"three \xff\n")
os.write(1, b"no line end")
"""
    tail = run_tool(python(program), on_line=seen.append)
    assert seen == ["one", "  two", "50 %", "100 %", "three \ufffd", "no line end"]
    assert tail == seen


def test_a_line_is_told_before_the_program_ends(tmp_path: Path) -> None:
    """The program goes on only once its first line has arrived."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if line == "ready":
            fifo.write_text("go")

    run_tool(["sh", "-c", f'echo ready; cat "{fifo}"'], on_line=on_line, timeout=60)
    assert lines == ["ready", "go"]


def test_only_the_last_lines_are_returned() -> None:
    tail = run_tool(["seq", "1000"])
    assert tail == [str(number) for number in range(1001 - TAIL_LINES, 1001)]


def test_long_output_without_line_ends_does_not_block() -> None:
    [line] = run_tool(["head", "-c", "300000", "/dev/zero"])
    assert len(line) == 300_000


def test_folder_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "kept")
    lines = run_tool(
        ["sh", "-c", 'pwd; echo "$KEPT $ADDED"'], cwd=tmp_path, environment={"ADDED": "added"}
    )
    assert lines == [str(tmp_path), "kept added"]


def test_arguments_are_not_read_by_a_shell(tmp_path: Path) -> None:
    odd = "$(touch x); 'a' \"b\" *"
    assert run_tool(["echo", odd], cwd=tmp_path) == [odd]
    assert list(tmp_path.iterdir()) == []


# --- how it ends ----------------------------------------------------------------------


@pytest.mark.parametrize(("code", "blames_sample"), [(1, True), (125, True), (127, False)])
def test_an_exit_code(code: int, blames_sample: bool) -> None:
    with pytest.raises(ToolFailed, match=rf"sh failed \(exit code {code}\):\nwhy") as raised:
        run_tool(["sh", "-c", f"echo why; exit {code}"])
    assert raised.value.returncode == code
    assert raised.value.tail == ["why"]
    assert raised.value.blames_sample is blames_sample


def test_killed_by_a_signal() -> None:
    with pytest.raises(ToolFailed, match="sh was killed by SIGSEGV:\nIt printed nothing") as raised:
        run_tool(["sh", "-c", "kill -SEGV $$"])
    assert raised.value.returncode == -signal.SIGSEGV
    assert not raised.value.blames_sample


def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="nosuch") as raised:
        run_tool([tmp_path / "nosuch", "argument"])
    assert raised.value.returncode == 127
    assert not raised.value.blames_sample


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("text")
    with pytest.raises(ToolFailed) as raised:
        run_tool([path])
    assert not raised.value.blames_sample


# --- nothing is left behind -----------------------------------------------------------

WITH_GRANDCHILD = f"sleep {FOREVER} & echo $!; echo $$; wait"


def collector(pids: list[int]) -> Callable[[str], None]:
    return lambda line: pids.append(int(line))


def test_a_timeout_kills_the_program_and_what_it_started() -> None:
    pids: list[int] = []
    with pytest.raises(ToolTimedOut, match="sh ran longer than 1 s"):
        run_tool(["sh", "-c", WITH_GRANDCHILD], on_line=collector(pids), timeout=1)
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)))


def test_what_a_program_leaves_running_is_killed_at_its_end() -> None:
    [pid] = run_tool(["sh", "-c", f"sleep {FOREVER} >/dev/null 2>&1 & echo $!"])
    wait_until(lambda: not is_alive(int(pid)))


def test_an_error_while_a_line_is_handled_kills_the_program() -> None:
    pids: list[int] = []

    def interrupted(line: str) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tool(["sh", "-c", WITH_GRANDCHILD], on_line=interrupted)
    wait_until(lambda: not any(map(is_alive, pids)))


def test_leaving_the_block_ends_the_program() -> None:
    with started(["sleep", FOREVER]) as process:
        assert is_alive(process.pid)
    assert process.returncode == -signal.SIGKILL


def test_kill_all_ends_what_other_threads_started() -> None:
    errors: list[ToolFailed] = []
    begun = threading.Barrier(3)

    def work() -> None:
        try:
            run_tool(
                ["sh", "-c", f"echo; echo up; sleep {FOREVER}"], on_line=lambda _: begun.wait()
            )
        except ToolFailed as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait()
    kill_all()
    for thread in threads:
        thread.join()
    assert [error.returncode for error in errors] == [-signal.SIGKILL] * 2


def test_the_program_dies_with_a_parent_that_is_killed() -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    program = f"""
from refinebio_assets.resources.process import run_tool
run_tool(["sh", "-c", "echo $$; exec sleep {FOREVER}"], on_line=lambda pid: print(pid, flush=True))
"""
    with subprocess.Popen(python(program), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    wait_until(lambda: not is_alive(pid))
