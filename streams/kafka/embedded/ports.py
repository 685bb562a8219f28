"""Ports on this machine: a free one, and whether one is taken."""

import errno
import random
import socket

# A free port is looked for below the range that systems give to outgoing connections: a client
# that retries a stopped broker there can be given the broker's own port, and then holds it.
FREE_PORTS = range(20_000, 32_000)


class PortTaken(RuntimeError):
    """Something else listens on a port that we were told to use."""


def free_port(host: str, *, besides: int = 0) -> int:
    """A port that nothing listens on now, other than `besides`."""
    for port in random.sample(FREE_PORTS, 100):
        if port != besides and not is_taken(host, port):
            return port
    raise PortTaken(f"no free port found on {host} in {FREE_PORTS.start} to {FREE_PORTS.stop - 1}")


def refuse_taken_port(host: str, port: int) -> None:
    """Raises PortTaken when something listens there."""
    if is_taken(host, port):
        raise PortTaken(f"port {port} on {host} is taken; stop its owner or choose another port")


def is_taken(host: str, port: int) -> bool:
    """Whether a listener holds the port. Raises OSError when the host is not one of ours."""
    with socket.socket() as probe:
        # As Kafka does: connections that linger after a stop do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False
