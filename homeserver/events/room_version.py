"""Room versions as data: code asks a flag, and only this file contains a version number.

Source: Matrix v1.19, "Room Versions".
"""

from dataclasses import dataclass, field, replace
from enum import Enum


class EventIDFormat(Enum):
    """How an event gets its ID."""

    CHOSEN = "v1"
    """The creating server chooses it; the event carries it as `event_id`."""
    HASH_BASE64 = "v3"
    """`$` and the reference hash in unpadded standard Base64."""
    HASH_URLSAFE = "v4"
    """`$` and the reference hash in unpadded URL-safe Base64."""


class StateResolution(Enum):
    """Which algorithm joins the branches of a fork."""

    V1 = "1"
    V2 = "2"
    V2_1 = "2.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomVersion:
    """What is special about one room version. Each flag names the rule that it switches."""

    name: str
    event_id_format: EventIDFormat
    state_resolution: StateResolution
    enforce_key_validity: bool
    """Signatures count only while the key is valid (since v5)."""
    strict_canonical_json: bool
    """Integers only within ±(2^53 - 1), no floats, not even as power levels (since v6)."""
    aliases_have_own_rule: bool
    """`m.room.aliases` has an auth rule and keeps `aliases` when redacted (until v5)."""
    redaction_needs_level: bool
    """`m.room.redaction` is checked by auth rules (v1 and v2)."""
    notifications_levels_checked: bool
    """Changes of `notifications` in power levels are checked like other levels (since v6)."""
    knocking: bool
    """Join rule `knock` and membership `knock` (since v7)."""
    restricted_joins: bool
    """Join rule `restricted`, whose `allow` survives redaction (since v8)."""
    redaction_keeps_join_authorised: bool
    """`join_authorised_via_users_server` survives redaction (since v9)."""
    knock_restricted: bool
    """Join rule `knock_restricted` (since v10)."""
    integer_power_levels: bool
    """Power levels must be integers; before, decimal strings count too (since v10)."""
    implicit_creator: bool
    """The creator is the sender of the create event; no `creator` in content (since v11)."""
    redacts_in_content: bool
    """What a redaction redacts stands in its content (since v11)."""
    updated_redaction: bool
    """The redaction algorithm of v11: create keeps all content, power levels keep `invite`,
    redactions keep `redacts`, memberships keep `third_party_invite.signed`; the top level loses
    `origin`, `membership` and `prev_state`."""
    privileged_creators: bool
    """Creators (and `additional_creators`) outrank every power level (since v12)."""
    room_id_is_create_hash: bool
    """The room ID is the hash of the create event, which is not an auth event (since v12)."""

    events_carry_id: bool = field(init=False)
    """Events have an `event_id`, must be signed by its server, and name other events in pairs of
    ID and hashes (v1 and v2)."""
    max_depth: int = field(init=False)
    """Where `depth` stops growing: the largest integer of the event format."""

    def __post_init__(self) -> None:
        carry_id = self.event_id_format is EventIDFormat.CHOSEN
        object.__setattr__(self, "events_carry_id", carry_id)
        max_depth = 2**53 - 1 if self.strict_canonical_json else 2**63 - 1
        object.__setattr__(self, "max_depth", max_depth)


V1 = RoomVersion(
    name="1",
    event_id_format=EventIDFormat.CHOSEN,
    state_resolution=StateResolution.V1,
    enforce_key_validity=False,
    strict_canonical_json=False,
    aliases_have_own_rule=True,
    redaction_needs_level=True,
    notifications_levels_checked=False,
    knocking=False,
    restricted_joins=False,
    redaction_keeps_join_authorised=False,
    knock_restricted=False,
    integer_power_levels=False,
    implicit_creator=False,
    redacts_in_content=False,
    updated_redaction=False,
    privileged_creators=False,
    room_id_is_create_hash=False,
)
V2 = replace(V1, name="2", state_resolution=StateResolution.V2)
V3 = replace(V2, name="3", event_id_format=EventIDFormat.HASH_BASE64, redaction_needs_level=False)
V4 = replace(V3, name="4", event_id_format=EventIDFormat.HASH_URLSAFE)
V5 = replace(V4, name="5", enforce_key_validity=True)
V6 = replace(
    V5,
    name="6",
    strict_canonical_json=True,
    aliases_have_own_rule=False,
    notifications_levels_checked=True,
)
V7 = replace(V6, name="7", knocking=True)
V8 = replace(V7, name="8", restricted_joins=True)
V9 = replace(V8, name="9", redaction_keeps_join_authorised=True)
V10 = replace(V9, name="10", knock_restricted=True, integer_power_levels=True)
V11 = replace(
    V10, name="11", implicit_creator=True, redacts_in_content=True, updated_redaction=True
)
V12 = replace(
    V11,
    name="12",
    state_resolution=StateResolution.V2_1,
    privileged_creators=True,
    room_id_is_create_hash=True,
)

ROOM_VERSIONS = {
    version.name: version for version in (V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12)
}
DEFAULT_ROOM_VERSION = V12
