"""Matrix v1.19 "Room Versions": which version has what."""

import pytest

from homeserver.events.room_version import (
    DEFAULT_ROOM_VERSION,
    ROOM_VERSIONS,
    EventIDFormat,
    StateResolution,
)

SINCE = {
    "enforce_key_validity": 5,
    "strict_canonical_json": 6,
    "notifications_levels_checked": 6,
    "knocking": 7,
    "restricted_joins": 8,
    "redaction_keeps_join_authorised": 9,
    "knock_restricted": 10,
    "integer_power_levels": 10,
    "implicit_creator": 11,
    "redacts_in_content": 11,
    "updated_redaction": 11,
    "privileged_creators": 12,
    "room_id_is_create_hash": 12,
}
UNTIL = {"events_carry_id": 2, "redaction_needs_level": 2, "aliases_have_own_rule": 5}


def versions_with(flag):
    return [int(name) for name, version in ROOM_VERSIONS.items() if getattr(version, flag)]


class TestRoomVersions:
    def test_versions_1_to_12_are_known_by_their_names(self):
        assert [int(name) for name in ROOM_VERSIONS] == list(range(1, 13))
        assert all(version.name == name for name, version in ROOM_VERSIONS.items())

    def test_new_rooms_have_version_12(self):
        """ "Servers SHOULD use room version 12 as the default room version"."""
        assert DEFAULT_ROOM_VERSION.name == "12"

    @pytest.mark.parametrize("flag", SINCE)
    def test_what_a_version_adds_stays(self, flag):
        assert versions_with(flag) == list(range(SINCE[flag], 13))

    @pytest.mark.parametrize("flag", UNTIL)
    def test_what_a_version_removes_is_gone(self, flag):
        assert versions_with(flag) == list(range(1, UNTIL[flag] + 1))

    def test_event_ids_changed_in_versions_3_and_4(self):
        chosen, base64, urlsafe = EventIDFormat
        formats = [version.event_id_format for version in ROOM_VERSIONS.values()]
        assert formats == [chosen] * 2 + [base64] + [urlsafe] * 9

    def test_state_resolution_changed_in_versions_2_and_12(self):
        first, second, second_and_a_bit = StateResolution
        algorithms = [version.state_resolution for version in ROOM_VERSIONS.values()]
        assert algorithms == [first] + [second] * 10 + [second_and_a_bit]

    def test_depth_is_limited_by_canonical_json_since_version_6(self):
        limits = [version.max_depth for version in ROOM_VERSIONS.values()]
        assert limits == [2**63 - 1] * 5 + [2**53 - 1] * 7
