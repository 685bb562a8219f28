"""Child processes that never outlive us, and files that only one process may hold."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

POLL_S = 0.05

# A program in front of the child's own, 30 ms: Python's preexec_fn may hang in a process that has
# threads. The request (1 is PR_SET_PDEATHSIG) survives exec.
DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):  # The parent died before the line above.
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def spawn_child(
    command: Sequence[str], *, cwd: Path, output: IO[bytes] | int, keep_open: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process that never outlives this one, not even when this one is killed (Linux).

    Linux sends the child's death signal when the *thread* that started it ends. So a thread of
    its own starts it, and stays until it is gone. Elsewhere the caller's atexit has to do.
    The child leads its own session: Ctrl-C reaches us alone, and we end the child when we are
    done with it.
    """
    if sys.platform == "linux":
        trampoline = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid())]
        command = [*trampoline, *command]
    born: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=keep_open,
                start_new_session=True,
            )
        except BaseException as error:
            born.set_exception(error)
            return
        born.set_result(child)
        child.wait()

    threading.Thread(target=keep, name="keeper of a child process", daemon=True).start()
    return born.result()


def lock_file(path: Path, *, wait_s: float) -> IO[str] | None:
    """The file, open and locked until it is closed; None when another holds it for `wait_s`."""
    give_up_at = time.monotonic() + wait_s
    file = path.open("a+")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                file.close()
                return None
            time.sleep(POLL_S)
