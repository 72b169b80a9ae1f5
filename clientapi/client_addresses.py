"""Whose address a request came from, when proxies stand in between."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from homeserver.addresses import parse_address

Network = IPv4Network | IPv6Network


class ClientAddresses:
    """Believes `X-Forwarded-For` only as far as trusted proxies wrote it.

    The header is read from its end, where the proxy next to this server added its peer: the first
    address that is no trusted proxy is the client. What stands before it, the client may have
    made up.
    """

    def __init__(self, *, trusted_proxies: Sequence[Network]) -> None:
        self._trusted = tuple(trusted_proxies)

    def of(self, peer: str | None, forwarded_for: Sequence[str]) -> str | None:
        """The client's address as text; None: unknown, as on a Unix socket.

        peer: the other end of the connection. forwarded_for: the values of the header's lines.
        """
        if not forwarded_for or not self._trusted:
            return _normal(peer)
        believed = parse_address(peer)
        hops = [hop for line in forwarded_for for hop in line.split(",")]
        for hop in reversed(hops):
            if believed is None or not self._is_trusted(believed):
                break
            address = parse_address(_without_port(hop.strip()))
            if address is None:
                break
            believed = address
        return None if believed is None else str(believed)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def _normal(peer: str | None) -> str | None:
    address = parse_address(peer)
    return None if address is None else str(address)


def _without_port(hop: str) -> str:
    """Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
