"""Tokens of syncs: one position per stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidInput
from homeserver.sync.token import SyncToken, parse_sync_token

position = st.integers(0, 10**17)
boot = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=16)
tokens = st.builds(
    SyncToken,
    events=position,
    receipts=position,
    account_data=position,
    to_device=position,
    device_lists=position,
    boot=boot,
    typing=position,
    presence=position,
)


class TestText:
    @given(token=tokens)
    def test_a_token_is_read_as_it_was_written(self, token):
        assert parse_sync_token(str(token)) == token

    @given(token=tokens)
    def test_it_needs_no_escaping_in_a_url(self, token):
        assert str(token).replace("_", "").isalnum()

    def test_a_position_of_the_events_is_a_token_too(self):
        assert parse_sync_token("s17") == SyncToken(events=17)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "s",
            "17",
            "t17",
            "s-1",
            "s01",
            "s1_2",
            "s1_2_3_4_5_x_6",
            "s1_2_3_4_5_X_6_7",
            "s1_2_3_4_5_x_6_7_8",
            "s" + "9" * 40,
            "s1\n",
            "s١",
        ],
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(InvalidInput):
            parse_sync_token(text)


class TestNotBefore:
    def test_it_is_the_farther_of_two_places_in_every_stream(self):
        here = SyncToken(events=5, receipts=1, account_data=3, boot="a", typing=2, presence=2)
        there = SyncToken(events=4, receipts=2, account_data=3, boot="a", typing=3, presence=1)
        assert here.not_before(there) == SyncToken(
            events=5, receipts=2, account_data=3, boot="a", typing=3, presence=1
        )
