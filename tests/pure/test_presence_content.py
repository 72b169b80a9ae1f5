"""Presence as Matrix clients are told of it. Source: C-S API v1.19 "Presence"."""

import pytest

from homeserver.presence_content import STATUS, presence_content
from homeserver.streams.presence import PresenceState


def content(status: str, **more) -> dict:
    return presence_content(PresenceState(status, **more), now_ms=10_000)


class TestPresenceContent:
    @pytest.mark.parametrize(
        ("status", "presence"),
        [("online", "online"), ("away", "unavailable"), ("busy", "unavailable")],
    )
    def test_statuses_are_presences(self, status, presence):
        assert content(status)["presence"] == presence
        assert content(status)["currently_active"] == (status == "online")

    def test_of_the_offline_only_that_is_told(self):
        assert content("offline") == {"presence": "offline"}

    def test_the_last_activity_was_so_long_ago(self):
        assert content("away", last_active_ms=4_000)["last_active_ago"] == 6_000
        assert content("away", last_active_ms=11_000)["last_active_ago"] == 0

    def test_a_message_tells_the_busy_from_the_away(self):
        assert "status_msg" not in content("away")
        assert content("busy")["status_msg"] == "Busy"
        assert content("busy", status_msg="Sawing")["status_msg"] == "Sawing"

    def test_what_clients_say_is_understood(self):
        assert {said: STATUS[said] for said in ("online", "unavailable", "offline")} == {
            "online": "online",
            "unavailable": "away",
            "offline": "offline",
        }
