"""Types of account data that the server understands.

Source: C-S API v1.19 "Ignoring users", "Invite permission", "Room Tagging".
"""

import pytest

from homeserver.account_data import is_tag, tags_in
from homeserver.streams.account_settings import blocked_by, ignored_in


class TestIgnoredUsers:
    """m.ignored_user_list."""

    def test_they_are_the_keys(self):
        content = {"ignored_users": {"@a:x": {}, "@b:x": {"since": 1}}}
        assert ignored_in(content) == {"@a:x", "@b:x"}

    @pytest.mark.parametrize(
        "content",
        [{}, [], None, {"ignored_users": ["@a:x"]}, {"ignored_users": None}],
    )
    def test_what_cannot_be_understood_ignores_nobody(self, content):
        assert ignored_in(content) == frozenset()

    def test_what_is_no_user_is_left_out(self):
        assert ignored_in({"ignored_users": {"a": {}, "": {}, "@b:x": {}}}) == {"@b:x"}


class TestInvitePermission:
    """m.invite_permission_config."""

    @pytest.mark.parametrize(
        ("content", "blocks"),
        [
            ({"default_action": "block"}, True),
            ({"default_action": "allow"}, False),
            ({"default_action": ["block"]}, False),
            ({}, False),
            ([], False),
        ],
    )
    def test_only_block_blocks(self, content, blocks):
        assert blocked_by(content) is blocks


class TestTags:
    """m.tag."""

    def test_what_is_none_is_left_out(self):
        assert tags_in(b'{"tags": {"a": {}, "b": 7, "c": {"order": 2}}}') == {"a": {}}

    @pytest.mark.parametrize("content", [None, b"{}", b'{"tags": []}'])
    def test_there_may_be_none(self, content):
        assert tags_in(content) == {}

    @pytest.mark.parametrize("order", [0, 1, 0.5])
    def test_an_order_is_between_0_and_1(self, order):
        assert is_tag({"order": order})
