"""Which addresses may be asked for pages."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediarepo.previews.addresses import AddressPolicy, carried, is_public

PUBLIC = AddressPolicy()
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:0:8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::8.8.8.8",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2a00:1450::5efe:10.0.0.1",
    "2a00:1450::200:5efe:192.168.0.1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2a00:1450::1%1",
    "fec0::1",
    "ff02::1",
    "4000::1",
]
IS_PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)


class TestPublic:
    @pytest.mark.parametrize("text", NOT_PUBLIC)
    def test_what_is_not_on_the_public_internet_is_not_asked(self, text):
        assert not PUBLIC.permits_text(text)

    @pytest.mark.parametrize("text", IS_PUBLIC)
    def test_what_is_on_it_is(self, text):
        assert PUBLIC.permits_text(text)

    @pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "1.2.3", "[::1]"])
    def test_what_is_no_address_is_not_asked(self, text):
        assert not PUBLIC.permits_text(text)

    @given(v4)
    def test_python_calls_nothing_private_that_may_be_asked(self, address):
        if PUBLIC.permits(address):
            assert address.is_global
            assert not address.is_multicast

    @given(v6)
    def test_nor_of_the_new_kind(self, address):
        if carried(address) == address and PUBLIC.permits(address):
            assert address.is_global
            assert not address.is_multicast
            assert not address.is_reserved

    @given(v4)
    def test_an_address_in_another_one_counts_as_itself(self, address):
        for prefix in ("::ffff:", "64:ff9b::"):
            assert PUBLIC.permits(IPv6Address(f"{prefix}{address}")) == is_public(address)

    @given(v4, st.integers(0, 2**16 - 1))
    def test_tunnels_are_never_taken(self, address, low):
        six_to_four = IPv6Address((0x2002 << 112) | (int(address) << 80) | low)
        teredo = IPv6Address((0x20010000 << 96) | (int(address) << 64) | low)
        compatible = IPv6Address(int(address))
        assert not any(map(PUBLIC.permits, (six_to_four, teredo, compatible)))


class TestLists:
    HOME = ip_network("192.168.0.0/16")

    def test_a_network_can_be_allowed(self):
        policy = AddressPolicy(allowed=[self.HOME])
        assert policy.permits_text("192.168.3.4")
        assert policy.permits_text("::ffff:192.168.3.4")
        assert not policy.permits_text("10.0.0.1")
        assert policy.permits_text("8.8.8.8")

    def test_a_network_can_be_denied(self):
        policy = AddressPolicy(denied=[ip_network("8.8.0.0/16"), ip_network("2a00::/16")])
        assert not policy.permits_text("8.8.8.8")
        assert not policy.permits_text("64:ff9b::8.8.8.8")
        assert not policy.permits_text("2a00::1")
        assert policy.permits_text("1.1.1.1")

    def test_to_deny_counts_more(self):
        policy = AddressPolicy(allowed=[self.HOME], denied=[ip_network("192.168.3.0/24")])
        assert not policy.permits_text("192.168.3.4")
        assert policy.permits_text("192.168.4.4")

    def test_what_is_mapped_can_be_denied_as_such(self):
        policy = AddressPolicy(denied=[ip_network("::ffff:0:0/96")])
        assert not policy.permits(IPv6Address("::ffff:8.8.8.8"))
        assert policy.permits(IPv4Address("8.8.8.8"))

    @given(st.one_of(v4, v6))
    def test_what_is_allowed_is_permitted_and_what_is_denied_is_not(self, address):
        network = ip_network(str(carried(address)).partition("%")[0])
        assert AddressPolicy(allowed=[network]).permits(ip_address(str(address)))
        assert not AddressPolicy(allowed=[network], denied=[network]).permits(address)
