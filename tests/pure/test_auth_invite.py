"""Auth rule 5.4 (v8 to v11: 4.4): invites, also those of third parties."""

from typing import Any

import pytest

from homeserver.auth.rules import Rule
from homeserver.auth.third_party_invite import MAX_VERIFICATIONS
from homeserver.auth.verdict import ACCEPTED, Rejected
from homeserver.events import base64
from homeserver.events.signing import SigningKey, sign_json
from homeserver.identifiers import UserID
from tests.support.judging import chat, judge, odd
from tests.support.room_factory import ALICE, BOB, CHARLIE, DORA, RoomFactory
from tests.support.versions import versions

IDENTITY_KEY = SigningKey.from_seed(b"identity" * 4, "ed25519:0")
OTHER_KEY = SigningKey.from_seed(b"somebody" * 4, "ed25519:0")


@versions()
class TestInvite:
    """Auth rules 5.4.2 to 5.4.5."""

    def test_5_4_2_who_is_not_joined_does_not_invite(self, version):
        room = chat(version)
        invite = room.invite(BOB, CHARLIE)
        assert judge(room, invite) == Rejected(Rule.INVITE_SENDER_NOT_JOINED)
        room.invite(ALICE, DORA)
        invite = room.invite(DORA, CHARLIE)
        assert judge(room, invite) == Rejected(Rule.INVITE_SENDER_NOT_JOINED)

    def test_5_4_3_who_is_joined_or_banned_is_not_invited(self, version):
        room = chat(version, members=(BOB,))
        invite = room.invite(ALICE, BOB)
        assert judge(room, invite) == Rejected(Rule.INVITE_TARGET_JOINED_OR_BANNED)
        room.ban(ALICE, CHARLIE)
        invite = room.invite(ALICE, CHARLIE)
        assert judge(room, invite) == Rejected(Rule.INVITE_TARGET_JOINED_OR_BANNED)

    def test_5_4_4_anybody_invites_by_default(self, version):
        room = chat(version, members=(BOB,))
        assert judge(room, room.invite(BOB, CHARLIE)) == ACCEPTED

    def test_5_4_4_who_has_left_or_is_invited_already_is_invited(self, version):
        room = chat(version, members=(BOB, CHARLIE))
        room.leave(CHARLIE)
        assert judge(room, room.invite(BOB, CHARLIE)) == ACCEPTED
        assert judge(room, room.invite(ALICE, CHARLIE)) == ACCEPTED

    def test_5_4_5_an_invite_below_the_invite_level_is_rejected(self, version):
        room = chat(version, members=(BOB, CHARLIE), users={BOB: 30}, levels={"invite": 30})
        assert judge(room, room.invite(BOB, DORA)) == ACCEPTED
        assert judge(room, room.invite(CHARLIE, DORA)) == Rejected(Rule.INVITE_LEVEL)

    def test_without_power_levels_anybody_invites(self, version):
        room = RoomFactory.created(version)
        room.join(ALICE)
        room.invite(ALICE, BOB)
        room.join(BOB)
        assert judge(room, room.invite(BOB, CHARLIE)) == ACCEPTED


@versions(7)
def test_an_invite_answers_a_knock(version):
    room = chat(version, join_rule="knock")
    room.knock(BOB)
    assert judge(room, room.invite(ALICE, BOB)) == ACCEPTED


def promised(version, *, sender=ALICE, keys: Any = None, **settings) -> RoomFactory:
    """A room in which `sender` has invited an e-mail address with the token "abc"."""
    room = chat(version, members=(sender,) if sender != ALICE else (), **settings)
    content = {"display_name": "c…", "key_validity_url": "https://id.example/valid"}
    if keys is None:
        keys = {"public_key": base64.encode(IDENTITY_KEY.verify_key.raw)}
    room.send(sender, "m.room.third_party_invite", {**content, **keys}, "abc")
    return room


def signed(key=IDENTITY_KEY, mxid=CHARLIE, token="abc", **more) -> dict[str, Any]:
    return sign_json({"mxid": mxid, "token": token, **more}, "id.example", key)


def redeem(room, invite: Any, *, sender=ALICE, target=CHARLIE):
    content = {"membership": "invite", "third_party_invite": invite}
    return judge(room, odd(room, sender, "m.room.member", content, target))


@versions()
class TestThirdPartyInvite:
    """Auth rule 5.4.1."""

    def test_the_owner_of_the_address_is_invited(self, version):
        assert redeem(promised(version), {"signed": signed()}) == ACCEPTED

    def test_the_sender_need_not_be_joined_any_more(self, version):
        room = promised(version, sender=BOB)
        room.leave(BOB)
        assert redeem(room, {"signed": signed()}, sender=BOB) == ACCEPTED

    def test_5_4_1_1_who_is_banned_is_not_invited(self, version):
        room = promised(version)
        room.ban(ALICE, CHARLIE)
        verdict = redeem(room, {"signed": signed()})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_BANNED)

    @pytest.mark.parametrize("invite", [None, 5, "x", [], {}, {"signed": None}, {"signed": [1]}])
    def test_5_4_1_2_an_invite_without_signed_is_rejected(self, version, invite):
        verdict = redeem(promised(version), invite)
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_WITHOUT_SIGNED)

    @pytest.mark.parametrize("missing", ["mxid", "token"])
    def test_5_4_1_3_signed_without_mxid_or_token_is_rejected(self, version, missing):
        rest = {key: value for key, value in signed().items() if key != missing}
        verdict = redeem(promised(version), {"signed": rest})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_INCOMPLETE)

    @pytest.mark.parametrize("mxid", [DORA, None, 5, [CHARLIE]])
    def test_5_4_1_4_an_invite_of_another_user_is_rejected(self, version, mxid):
        verdict = redeem(promised(version), {"signed": signed(mxid=mxid)})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_OTHER_USER)

    @pytest.mark.parametrize("token", ["abcd", "", None, 5, ["abc"]])
    def test_5_4_1_5_an_unknown_token_is_rejected(self, version, token):
        verdict = redeem(promised(version), {"signed": signed(token=token)})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_UNKNOWN_TOKEN)

    def test_5_4_1_6_an_invite_by_another_sender_is_rejected(self, version):
        room = promised(version, sender=BOB)
        verdict = redeem(room, {"signed": signed()}, sender=ALICE)
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_OTHER_SENDER)

    def test_5_4_1_7_2_any_of_several_public_keys_will_do(self, version):
        keys = [
            {"public_key": base64.encode(OTHER_KEY.verify_key.raw)},
            {"public_key": base64.encode_urlsafe(IDENTITY_KEY.verify_key.raw)},
        ]
        assert (
            redeem(promised(version, keys={"public_keys": keys}), {"signed": signed()}) == ACCEPTED
        )

    def test_5_4_1_7_any_of_several_signatures_will_do(self, version):
        both = sign_json(signed(OTHER_KEY), "other.example", IDENTITY_KEY)
        assert redeem(promised(version), {"signed": both}) == ACCEPTED

    def test_5_4_1_8_a_signature_by_another_key_is_rejected(self, version):
        verdict = redeem(promised(version), {"signed": signed(OTHER_KEY)})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_SIGNATURE)

    def test_5_4_1_8_a_signature_of_something_else_is_rejected(self, version):
        verdict = redeem(promised(version), {"signed": {**signed(), "more": True}})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_SIGNATURE)

    def test_5_4_1_8_a_signature_by_another_algorithm_is_rejected(self, version):
        signature = signed()["signatures"]["id.example"]["ed25519:0"]
        changed = {**signed(), "signatures": {"id.example": {"rsa:0": signature}}}
        verdict = redeem(promised(version), {"signed": changed})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_SIGNATURE)

    @pytest.mark.parametrize(
        "signatures",
        [
            None,
            [],
            {"id.example": None},
            {"id.example": {"ed25519:0": None}},
            {"id.example": {"ed25519:0": "ä"}},
            {"id.example": {"ed25519:0": "AAAA"}},
        ],
    )
    def test_5_4_1_8_signatures_of_any_form_are_read(self, version, signatures):
        verdict = redeem(promised(version), {"signed": {**signed(), "signatures": signatures}})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_SIGNATURE)

    @pytest.mark.parametrize(
        "keys",
        [
            {},
            {"public_key": None},
            {"public_key": "AAAA"},
            {"public_key": "no Base64"},
            {"public_keys": {"public_key": "AAAA"}},
            {"public_keys": [None, "AAAA", {}, {"public_key": 5}]},
        ],
    )
    def test_5_4_1_8_keys_of_any_form_are_read(self, version, keys):
        verdict = redeem(promised(version, keys=keys), {"signed": signed()})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_SIGNATURE)

    def test_5_4_1_8_what_has_no_canonical_json_is_not_signed(self, version):
        verdict = redeem(promised(version), {"signed": {**signed(), "odd": "\ud800"}})
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_SIGNATURE)

    def test_a_third_party_invite_is_judged_as_such_even_where_another_would_do(self, version):
        room = promised(version)
        assert judge(room, room.invite(ALICE, CHARLIE)) == ACCEPTED
        verdict = redeem(room, None, target=DORA)
        assert verdict == Rejected(Rule.THIRD_PARTY_INVITE_WITHOUT_SIGNED)


@versions(12)
def test_countless_signatures_and_keys_cost_a_bounded_number_of_verifications(version, monkeypatch):
    room = promised(
        version,
        keys={"public_keys": [{"public_key": base64.encode(bytes([i] * 32))} for i in range(99)]},
    )
    tried: list[UserID] = []
    monkeypatch.setattr(
        "homeserver.auth.third_party_invite.signature_valid",
        lambda *names_and_key: bool(tried.append(names_and_key)),
    )
    many = {f"ed25519:{i}": base64.encode(bytes(64)) for i in range(99)}
    redeem(room, {"signed": {**signed(), "signatures": {"id.example": many}}})
    assert len(tried) == MAX_VERIFICATIONS
