"""An embedded store's folder: whether there is one, and which process holds it.

The engine locks a status file in it while it is open.
"""

import os
from pathlib import Path

COMMAND_MAX = 80  # characters


class StoreHeldError(RuntimeError):
    """An embedded store whose path another process holds."""


class NoStoreError(RuntimeError):
    """An embedded store that is read, and is not there."""


def prepare_folder(path: Path, *, make: bool) -> None:
    """Makes the folder of a store where `make` says so.

    Raises NoStoreError where there is no store and none is to be made, and StoreHeldError.
    """
    if make:
        path.mkdir(parents=True, exist_ok=True)
    elif not (path / "metadata").is_dir():
        raise NoStoreError(
            f"no store at {path}; `rater rate FILE --store {path}` makes one, as a worker or a "
            "demo does"
        )
    if (holder := holder_of(path)) is not None:
        raise StoreHeldError(
            f"the store at {path} is in use by {holder}, and one process has it at a time: stop "
            "that one, or ask where it serves it"
        )


def holder_of(store: Path) -> str | None:
    """What other process holds a store, "process 123 (rater demo)"; None where /proc tells of none.

    "a process of another container" where its number is not one of ours.
    """
    pid = _lock_owner(store / "status")
    if pid is None or pid == os.getpid():
        return None
    return f"process {pid}{_command_of(pid)}" if pid else "a process of another container"


def _lock_owner(file: Path) -> int | None:
    """Which process has a lock on a file; 0 is one of another container."""
    try:
        inode = file.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in locks:  # 1: FLOCK ADVISORY WRITE 9629 fe:00:10035213 0 EOF
        _, kind, *_, pid, place, _, _ = line.split()
        if kind == "FLOCK" and place.rpartition(":")[2] == str(inode):
            return max(0, int(pid))
    return None


def _command_of(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    command = " ".join(filter(None, words))
    return f" ({command[:COMMAND_MAX]})" if command else ""
