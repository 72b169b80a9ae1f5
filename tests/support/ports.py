"""Ports that nothing else on this machine is given meanwhile."""

import secrets
import socket

_PORTS = range(10_240, 32_000)
"""Below those that systems give to whoever asks for any."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, for a server that must be told one."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
