"""A file in memory, for what one part of this process hands to another by a path."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def memory_file() -> Iterator[str]:
    """The path of an empty file, gone at the end; on a disk where the system has none in memory."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("rater", os.MFD_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:
            yield file.name
