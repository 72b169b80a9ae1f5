"""Addresses of clients."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

_IPV6_SITE_BITS = 64


def parse_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 one as such even where a socket says it as IPv6; None: none, or no IP
    address at all, as on a Unix socket.
    """
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4096)
def address_key(text: str | None) -> str:
    """What counts as one address in a limit. For IPv6 the /64: a subscriber has all of it."""
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        shift = address.max_prefixlen - _IPV6_SITE_BITS
        return str(IPv6Address(int(address) >> shift << shift))
    return "" if address is None else str(address)
