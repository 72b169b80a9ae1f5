"""Whose address a request came from."""

from ipaddress import ip_network

import pytest

from clientapi.client_addresses import ClientAddresses

PROXIES = ClientAddresses(
    trusted_proxies=[ip_network("10.0.0.0/8"), ip_network("2001:db8:aa::/48")]
)


class TestForwardedFor:
    def test_without_a_proxy_it_is_the_peer(self):
        assert PROXIES.of("192.0.2.1", []) == "192.0.2.1"

    def test_a_stranger_cannot_choose_an_address(self):
        assert PROXIES.of("192.0.2.1", ["203.0.113.5"]) == "192.0.2.1"

    def test_a_trusted_proxy_is_believed(self):
        assert PROXIES.of("10.0.0.1", ["203.0.113.5"]) == "203.0.113.5"

    def test_what_the_client_wrote_before_the_proxy_is_not(self):
        assert PROXIES.of("10.0.0.1", ["198.51.100.9, 203.0.113.5"]) == "203.0.113.5"

    def test_a_chain_of_trusted_proxies_is_followed(self):
        assert PROXIES.of("10.0.0.1", ["203.0.113.5, 10.0.0.3", "10.0.0.2"]) == "203.0.113.5"

    def test_only_proxies_gives_the_farthest(self):
        assert PROXIES.of("10.0.0.1", ["10.0.0.3, 10.0.0.2"]) == "10.0.0.3"

    @pytest.mark.parametrize(
        ("hop", "address"),
        [
            ("203.0.113.5:4711", "203.0.113.5"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ],
    )
    def test_ports_are_left_out(self, hop, address):
        assert PROXIES.of("10.0.0.1", [hop]) == address

    @pytest.mark.parametrize("hop", ["unknown", "", "_hidden", "203.0.113.5.6"])
    def test_a_hop_that_is_no_address_ends_the_chain(self, hop):
        assert PROXIES.of("10.0.0.1", [f"203.0.113.5, {hop}"]) == "10.0.0.1"

    def test_an_ipv4_address_in_ipv6_is_the_ipv4_one(self):
        assert PROXIES.of("::ffff:10.0.0.1", ["203.0.113.5"]) == "203.0.113.5"

    @pytest.mark.parametrize("peer", [None, "", "not an address"])
    def test_without_an_address_nobody_is_believed(self, peer):
        assert PROXIES.of(peer, ["203.0.113.5"]) is None
