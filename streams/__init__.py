"""The shell: everything that reads, writes, waits or listens. The rules are in `rater`."""
