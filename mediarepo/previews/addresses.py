"""Which addresses may be asked for pages. Pure.

Somebody who writes a link chooses where the server connects to, so it connects to nothing that is
not on the public Internet: not to itself, nor to machines that stand beside it.
Source: IANA IPv4 and IPv6 Special-Purpose Address Registries, as of 2025.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # between a carrier and its customers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; what clouds tell their machines
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT relays
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone
        "3fff::/20",  # documentation
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
_LOW_32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """allowed: networks that may be asked although they are not public. denied: networks that are
    never asked; it counts more than `allowed`.
    """

    allowed: Sequence[Network] = ()
    denied: Sequence[Network] = ()

    def permits(self, address: Address) -> bool:
        """Whether the server may connect to it."""
        target = carried(address)
        if _is_in(address, self.denied) or _is_in(target, self.denied):
            return False
        return _is_in(target, self.allowed) or is_public(target)

    def permits_text(self, text: str) -> bool:
        """Of an address as the system writes it. False for what is none."""
        try:
            return self.permits(ip_address(text))
        except ValueError:
            return False


def carried(address: Address) -> Address:
    """The IPv4 address that packets to an IPv6 address go to, where a system or a network beside
    it translates them; else the address itself.

    Source: RFC 4291, 2.5.5.2 (IPv4-mapped); RFC 6052, 2.1 (NAT64).
    """
    if isinstance(address, IPv6Address) and _is_in(address, (_MAPPED, _NAT64)):
        return IPv4Address(int(address) & _LOW_32)
    return address


def is_public(address: Address) -> bool:
    """Whether the address is one of the public Internet, and only that."""
    if isinstance(address, IPv4Address):
        return not _is_in(address, _NOT_PUBLIC_V4)
    return (
        address in _PUBLIC_V6
        and not _is_in(address, _NOT_PUBLIC_V6)
        and address.scope_id is None
        and not _is_isatap(address)
    )


def _is_isatap(address: IPv6Address) -> bool:
    """RFC 5214, 6.1: an interface identifier that contains an IPv4 address, to be tunnelled to."""
    return int(address) >> 32 & _LOW_32 in _ISATAP


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
