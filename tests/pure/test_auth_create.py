"""Auth rule 1: m.room.create."""

from dataclasses import replace

import pytest

from homeserver.auth.rules import Rule, authorise, authorise_create, check_auth_events
from homeserver.auth.verdict import ACCEPTED, Rejected
from homeserver.events.event import Event
from homeserver.identifiers import EventID, RoomID, UserID
from tests.support.room_factory import ALICE, CHARLIE, RoomFactory
from tests.support.versions import versions


def create_event(version, creator=ALICE, **content) -> Event:
    return RoomFactory.created(version, creator=creator, content=content).create


def with_content(create, **content) -> Event:
    return replace(create, content={**create.content, **content})


@versions()
class TestCreate:
    """Auth rule 1."""

    def test_a_create_event_is_accepted_without_any_state(self, version):
        create = create_event(version)
        assert authorise(create, {}) == ACCEPTED
        assert check_auth_events(create, {}, frozenset()) == ACCEPTED

    def test_1_1_a_create_event_with_previous_events_is_rejected(self, version):
        create = replace(create_event(version), prev_events=(EventID("$earlier"),))
        assert authorise_create(create) == Rejected(Rule.CREATE_HAS_PREV_EVENTS)

    def test_1_3_a_recognised_room_version_is_accepted(self, version):
        assert authorise_create(with_content(create_event(version), room_version="1")) == ACCEPTED

    def test_1_3_a_missing_room_version_is_accepted(self, version):
        create = create_event(version)
        rest = {key: create.content[key] for key in create.content if key != "room_version"}
        assert authorise_create(replace(create, content=rest)) == ACCEPTED

    @pytest.mark.parametrize("name", ["0", "13", "org.example.own", "", None, 1, ["1"], {}])
    def test_1_3_any_other_room_version_is_rejected(self, version, name):
        create = with_content(create_event(version), room_version=name)
        assert authorise_create(create) == Rejected(Rule.CREATE_UNKNOWN_ROOM_VERSION)


class TestRoomIDOfCreate:
    """Auth rule 1.2."""

    @versions(1, 11)
    def test_the_room_id_is_of_the_sender_s_server(self, version):
        foreign = replace(create_event(version), sender=CHARLIE)
        assert authorise_create(foreign) == Rejected(Rule.CREATE_ROOM_ID_DOMAIN)
        assert authorise_create(replace(foreign, room_id=RoomID("!x:two.example"))) == ACCEPTED

    @versions(1, 11)
    def test_a_port_is_part_of_the_server(self, version):
        create = replace(create_event(version), sender=UserID("@alice:one.example:8448"))
        assert authorise_create(create) == Rejected(Rule.CREATE_ROOM_ID_DOMAIN)

    @versions(12)
    def test_a_create_event_that_names_a_room_is_rejected(self, version):
        create = replace(create_event(version), room_id=RoomID("!chosen"))
        assert authorise_create(create) == Rejected(Rule.CREATE_HAS_ROOM_ID)


class TestCreatorOfCreate:
    """Auth rule 1.4."""

    @versions(1, 10)
    def test_a_create_event_without_a_creator_is_rejected(self, version):
        create = replace(create_event(version), content={"room_version": version.name})
        assert authorise_create(create) == Rejected(Rule.CREATE_WITHOUT_CREATOR)

    @versions(1, 10)
    def test_the_creator_may_be_anything(self, version):
        assert authorise_create(with_content(create_event(version), creator=None)) == ACCEPTED

    @versions(11)
    def test_the_creator_need_not_be_named(self, version):
        create = create_event(version)
        assert "creator" not in create.content
        assert authorise_create(create) == ACCEPTED

    @versions(12)
    @pytest.mark.parametrize(
        "creators", [[], [CHARLIE], ["@Historical! User:two.example", "@:two.example:8448"]]
    )
    def test_additional_creators_are_user_ids(self, version, creators):
        assert authorise_create(create_event(version, additional_creators=creators)) == ACCEPTED

    @versions(12)
    @pytest.mark.parametrize(
        "creators",
        [
            None,
            CHARLIE,
            {CHARLIE: 100},
            [CHARLIE, 5],
            [None],
            [[CHARLIE]],
            ["charlie:two.example"],
            ["@charlie"],
            ["@charlie:"],
            ["@charlie:not a server"],
            ["@" + "c" * 255 + ":two.example"],
        ],
    )
    def test_additional_creators_of_any_other_form_are_rejected(self, version, creators):
        create = with_content(create_event(version), additional_creators=creators)
        assert authorise_create(create) == Rejected(Rule.CREATE_ADDITIONAL_CREATORS)

    @versions(1, 11)
    def test_additional_creators_mean_nothing_before(self, version):
        assert authorise_create(create_event(version, additional_creators=5)) == ACCEPTED
