"""Every REST operation over services that are made up: what is documented is what is served."""

from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

from clientapi.authentication import Ticket
from clientapi.native.rest.routes import add_routes, endpoints
from clientapi.native.services import NativeServices
from clientapi.rate_limits import RateLimits
from e2e.backed_up_keys import key_row
from e2e.device_lists import DeviceListChanges
from homeserver.actions.create_room import NewRoom
from homeserver.actions.registration import Invitation, Registrant
from homeserver.actions.room_settings import Changes
from homeserver.actions.tokens import Grant
from homeserver.actions.transactions import Sent
from homeserver.clock import SystemClock
from homeserver.config import RateLimitsConfig
from homeserver.errors import InvalidSignature
from homeserver.events.content import RoomEncryption
from homeserver.events.room_version import ROOM_VERSIONS
from homeserver.events.stored import RoomRecord
from homeserver.identifiers import EventID, RoomID, UserID, native_uuid
from homeserver.storage.key_backups import BackupRow
from homeserver.storage.one_time_keys import Stock
from homeserver.streams.people import Person
from homeserver.sync.encryption_news import EncryptionNews
from homeserver.sync.token import SyncToken
from homeserver.views.messages import MessageView, Reaction
from homeserver.views.presence import PresenceView
from homeserver.views.room_settings import RoomDetails
from homeserver.views.rooms import (
    ChannelView,
    EncryptedRoom,
    InviteView,
    MemberView,
    Recipient,
    RoomSummary,
)
from homeserver.views.sessions import SessionView
from homeserver.views.timeline import ReceiptView
from homeserver.views.users import UserView
from schema.operations import OPERATIONS
from tests.support.facade import ALICE, TOKEN, Facade

ROOM_ID = RoomID("!r:example.org")
ROOM = native_uuid(ROOM_ID)
MESSAGE = native_uuid("$message")
BOB = Person(2, UserID("@bob:example.org"), native_uuid("@bob:example.org"), "Bob", None)
ANN = Person(1, ALICE.user_id, ALICE.user_uuid, "Alice", "mxc://example.org/a")
NOW_MS = 1_731_925_800_042


def message_view(**changes) -> MessageView:
    values = {
        "event": None,
        "uuid": MESSAGE,
        "room_uuid": ROOM,
        "position": 5,
        "sender": BOB,
        "text": "Hello world",
        "created_at_ms": NOW_MS,
        "edited_at_ms": None,
        "reply_to": None,
        "thread": None,
        "thread_count": 0,
        "reactions": (),
        "deleted_at_ms": None,
    }
    return MessageView(**values | changes)


PLAIN = message_view()
RICH = message_view(
    edited_at_ms=NOW_MS + 1,
    reply_to=MESSAGE,
    thread=MESSAGE,
    thread_count=3,
    reactions=(Reaction("👍", 2, (BOB.uuid, ANN.uuid), True),),
)
TOMBSTONE = message_view(text="", deleted_at_ms=NOW_MS + 2)

RECORD = RoomRecord(
    room_nid=3,
    room_id=ROOM_ID,
    uuid=ROOM,
    version=ROOM_VERSIONS["12"],
    kind="group",
    published=False,
    created_at=NOW_MS,
    deleted_at=None,
)
DETAILS = RoomDetails(
    uuid=ROOM,
    room_id=ROOM_ID,
    kind="group",
    name="Team",
    topic=None,
    avatar_url=None,
    created_at_ms=NOW_MS,
    public=False,
    history_visibility="shared",
    members=(ANN, BOB),
    member_count=2,
    role="admin",
)
SUMMARY = RoomSummary(
    uuid=ROOM,
    room_id=ROOM_ID,
    kind="group",
    name="Team",
    topic="Tea",
    avatar_url=None,
    encryption=None,
    last_message=RICH,
    unread_count=3,
    last_read_id=MESSAGE,
    member_count=2,
)
EMPTY_SUMMARY = RoomSummary(
    uuid=ROOM,
    room_id=ROOM_ID,
    kind="direct",
    name=None,
    topic=None,
    avatar_url=None,
    encryption=None,
    last_message=None,
    unread_count=0,
    last_read_id=None,
    member_count=1,
)
USER = UserView(
    uuid=ANN.uuid,
    user_id=ANN.user_id,
    name="Alice",
    email="alice@example.com",
    avatar_url=None,
    status="online",
)
SESSION = SessionView(
    uuid=ALICE.session_uuid,
    device_id="PHONE",
    name="",
    created_at_ms=NOW_MS,
    last_seen_at_ms=NOW_MS,
    last_seen_ip="192.0.2.1",
    user_agent="curl",
    expires_at_ms=NOW_MS + 1,
    is_current=True,
)
GRANT = Grant(requester=ALICE, access_token="a.b.c", expires_in_s=60, refresh_token="fresh")
SENT = Sent(MESSAGE, ROOM, EventID("$message"), NOW_MS, 5)


QUERIED = {
    "device_keys": {"@bob:example.org": {"PHONE": {}}},
    "master_keys": {},
    "self_signing_keys": {},
    "user_signing_keys": {},
    "failures": {},
}
BACKUP = BackupRow(
    backup_nid=1, algorithm="m.megolm_backup.v1", auth_data=b"{}", etag=3, key_count=2
)
BACKED_UP = key_row(
    ROOM_ID, "S", first_message_index=0, forwarded_count=0, is_verified=True, session_data={}
)
NEWS = EncryptionNews(
    token=SyncToken(events=5),
    to_device=[b'{"sender":"@bob:example.org","type":"m.dummy","content":{}}'],
    device_lists=DeviceListChanges(frozenset({BOB.user_id})),
    stock=Stock({"signed_curve25519": 5}, ("signed_curve25519",)),
)


class Service:
    """Answers each call with what it was given for it, and remembers the call."""

    def __init__(self, **answers) -> None:
        self._answers = answers
        self.calls = []

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            return self._answers.get(name)

        return call


class LoginService(Service):
    def subject(self, identifier):
        return identifier


class AuthenticatorService(Service):
    def issue_ticket(self, by):
        return Ticket(ticket="ticket", expires_in_s=30)

    async def authenticate(self, token, *, address=None):
        assert token == TOKEN
        return ALICE


@pytest.fixture
def services():
    return NativeServices(
        send=Service(message=SENT, edit=SENT, delete=SENT, react=SENT, unreact=SENT),
        create_room=Service(create=(RECORD, True)),
        room_settings=Service(update=RECORD, upgrade=RECORD),
        membership=Service(join=RECORD),
        receipts=Service(),
        typing=Service(),
        login=LoginService(login=GRANT),
        registration=Service(
            register=GRANT, create_invitation=Invitation(code="c", uses=1, expires_at_ms=NOW_MS)
        ),
        tokens=Service(refresh=GRANT),
        profile=Service(),
        encryption=SimpleNamespace(
            device_keys=Service(upload={"signed_curve25519": 5}, query=QUERIED),
            one_time_keys=Service(claim={"one_time_keys": {}, "failures": {}}),
            to_device=Service(),
            cross_signing=Service(
                add_signatures={BOB.user_id: {"PHONE": InvalidSignature("This is another.")}}
            ),
            key_backup=Service(
                create="1", get=BACKUP, put_keys=BACKUP, keys=[BACKED_UP], delete_keys=BACKUP
            ),
        ),
        encryption_sync=Service(since=NEWS),
        identity=Service(),
        account_data=Service(),
        account_data_views=Service(get=b'{"key":"abc"}'),
        rooms=Service(
            list=[SUMMARY, EMPTY_SUMMARY],
            get=DETAILS,
            members=[MemberView(ANN, "admin"), MemberView(BOB, "member")],
            directory=[ChannelView(ROOM, "Tea", None, None, 4, True)],
            invitations=[InviteView(DETAILS, BOB, NOW_MS)],
            encryption=EncryptedRoom(
                ROOM_ID, RoomEncryption(), "shared", [Recipient(BOB, "invite")]
            ),
        ),
        timeline=Service(
            page=[PLAIN, RICH],
            message=TOMBSTONE,
            thread=[RICH],
            receipts_of=[ReceiptView(BOB, NOW_MS, None)],
        ),
        search=Service(messages=[PLAIN]),
        users=Service(get=USER, me=USER, search=[USER]),
        presence=Service(get=PresenceView(BOB.uuid, "away", None)),
        sessions=Service(list=[SESSION]),
        authenticator=AuthenticatorService(),
        rate_limits=RateLimits(settings=RateLimitsConfig(enabled=False), clock=SystemClock()),
    )


@pytest.fixture
async def client(services):
    facade = Facade()
    application = facade.application([])
    add_routes(application, services)
    async with facade.serving(application) as client:
        yield client


VALUES = {
    "room_id": str(ROOM),
    "message_id": str(MESSAGE),
    "user_id": str(BOB.uuid),
    "session_id": str(ALICE.session_uuid),
    "key": "👍",
    "version": "1",
    "type": "m.secret_storage.default_key",
}
BODIES = {
    "login": {"email": "alice@example.com", "password": "b"},
    "register": {"email": "alice@example.com", "password": "b", "name": "Alice"},
    "refresh": {"refresh_token": "old"},
    "changePassword": {"current_password": "a", "new_password": "b"},
    "updateMe": {"name": "Alice"},
    "createInvitation": {},
    "createRoom": {"type": "group", "name": "Team", "members": [str(BOB.uuid)]},
    "updateRoom": {"name": "Team"},
    "upgradeRoom": {"version": "12"},
    "markRead": {"message_id": str(MESSAGE)},
    "setTyping": {"typing": True},
    "addMembers": {"user_ids": [str(BOB.uuid)]},
    "setRole": {"role": "admin"},
    "inviteUser": {"user_id": str(BOB.uuid)},
    "sendMessage": {"content": "Hello"},
    "editMessage": {"content": "Hello"},
    "uploadKeys": {},
    "queryKeys": {"device_keys": {"@bob:example.org": []}},
    "claimKeys": {"one_time_keys": {}},
    "sendToDevices": {"type": "m.dummy", "ref": "r1", "messages": {}},
    "setIdentity": {},
    "addSignatures": {"@bob:example.org": {"PHONE": {}}},
    "createBackup": {"algorithm": "m.megolm_backup.v1", "auth_data": {}},
    "updateBackup": {"algorithm": "m.megolm_backup.v1", "auth_data": {}},
    "putBackupKeys": {"rooms": {}},
    "putAccountData": {"key": "abc"},
}
QUERIES = {"searchUsers": {"q": "bo"}, "searchMessages": {"q": "tea"}}


async def ask(client, operation):
    path = operation.path.format_map(VALUES)
    return await client.request(
        operation.method,
        path,
        json=BODIES.get(operation.name),
        params=QUERIES.get(operation.name),
    )


class TestEveryOperation:
    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
    async def test_answers_as_documented(self, client, operation):
        response = await ask(client, operation)
        raw = await response.read()
        assert response.status == operation.status, raw
        answer = operation.answers[operation.status]
        if answer is None:
            assert raw == b""
        else:
            TypeAdapter(answer).validate_json(raw, extra="forbid")

    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
    async def test_needs_a_token_unless_it_is_public(self, client, operation):
        headers = {"Authorization": ""}
        path = operation.path.format_map(VALUES)
        response = await client.request(operation.method, path, headers=headers)
        assert (response.status == 401) == (not operation.public)

    def test_is_served_by_one_endpoint(self, services):
        names = [endpoint.operation.name for endpoint in endpoints(services)]
        assert sorted(names) == sorted(operation.name for operation in OPERATIONS)

    def test_of_the_table_must_be_served(self, services):
        """An operation without an endpoint would be documented and answer 404."""
        facade = Facade()
        application = facade.application([])
        add_routes(application, services)
        routes = {(route.method, route.resource.canonical) for route in application.router.routes()}
        assert routes >= {(operation.method, operation.path) for operation in OPERATIONS}


class TestMessages:
    async def test_a_plain_message_is_exactly_the_seeds(self, client):
        response = await client.get(f"/api/rooms/{ROOM}/messages")
        assert (await response.json())[0] == {
            "id": str(MESSAGE),
            "room_id": str(ROOM),
            "user_id": str(BOB.uuid),
            "user_name": "Bob",
            "content": "Hello world",
            "created_at": "2024-11-18T10:30:00.042Z",
            "reply_to": None,
            "attachments": [],
        }

    async def test_a_sent_message_answers_with_id_and_time(self, client):
        response = await client.post(f"/api/rooms/{ROOM}/messages", json={"content": "Hello"})
        assert await response.json() == {
            "id": str(MESSAGE),
            "created_at": "2024-11-18T10:30:00.042Z",
        }

    async def test_everything_a_message_says_reaches_the_action(self, client, services):
        body = {
            "content": "Hello",
            "reply_to": str(MESSAGE),
            "thread_id": str(MESSAGE),
            "ref": "r1",
        }
        await client.post(f"/api/rooms/{ROOM}/messages", json=body)
        options = {"reply_to": MESSAGE, "thread": MESSAGE, "attachments": (), "ref": "r1"}
        assert services.send.calls == [("message", (ALICE, ROOM, "Hello"), options)]

    async def test_search_passes_its_filters_on(self, client, services):
        query = {"q": "tea", "from": str(BOB.uuid), "room_id": str(ROOM), "limit": "3"}
        await client.get("/api/search", params=query)
        ((_, args, options),) = services.search.calls
        assert args == (ALICE, "tea")
        assert options == {"room": ROOM, "sender": BOB.uuid, "before": None, "limit": 3}


class TestRooms:
    async def test_a_direct_room_that_exists_is_200(self, client, services):
        services.create_room._answers["create"] = (RECORD, False)
        body = {"type": "direct", "members": [str(BOB.uuid)]}
        assert (await client.post("/api/rooms", json=body)).status == 200

    async def test_everything_a_new_room_says_reaches_the_action(self, client, services):
        body = {
            "type": "channel",
            "name": "Tea",
            "topic": "Leaves",
            "members": [str(BOB.uuid)],
            "public": True,
            "version": "11",
            "alias": "tea",
            "history_visibility": "joined",
        }
        await client.post("/api/rooms", json=body)
        ((_, (_, wanted), _),) = services.create_room.calls
        assert wanted == NewRoom(
            kind="channel",
            name="Tea",
            topic="Leaves",
            members=(BOB.uuid,),
            public=True,
            version="11",
            alias="tea",
            history_visibility="joined",
        )

    async def test_what_a_change_does_not_name_stays(self, client, services):
        await client.patch(f"/api/rooms/{ROOM}", json={"topic": "", "members": []})
        ((_, (_, room, changes), _),) = services.room_settings.calls
        assert (room, changes) == (ROOM, Changes(topic="", members=()))

    async def test_an_invitation_does_not_tell_who_is_in_the_room(self, client):
        (invite,) = await (await client.get("/api/invites")).json()
        assert invite["room"]["members"] == []

    @pytest.mark.parametrize(("typing", "call"), [(True, "start"), (False, "stop")])
    async def test_typing_starts_and_stops(self, client, services, typing, call):
        await client.post(f"/api/rooms/{ROOM}/typing", json={"typing": typing})
        assert services.typing.calls == [(call, (ALICE, ROOM), {})]

    async def test_a_reason_may_come_with_a_removal(self, client, services):
        path = f"/api/rooms/{ROOM}/members/{BOB.uuid}"
        await client.delete(path, params={"reason": "spam"})
        assert services.membership.calls == [("remove", (ALICE, ROOM, BOB.uuid, "spam"), {})]

    async def test_a_ban_needs_no_body(self, client, services):
        await client.put(f"/api/rooms/{ROOM}/bans/{BOB.uuid}")
        assert services.membership.calls == [("ban", (ALICE, ROOM, BOB.uuid, None), {})]


class TestAccounts:
    async def test_a_login_answers_with_token_and_user(self, client):
        body = {"email": "alice@example.com", "password": "b"}
        answer = await (await client.post("/api/auth/login", json=body)).json()
        assert answer["token"] == "a.b.c"
        assert answer["user"] == {
            "id": str(ANN.uuid),
            "name": "Alice",
            "email": "alice@example.com",
            "avatar_url": None,
            "status": "online",
        }

    async def test_the_session_remembers_what_logged_in(self, client, services):
        body = {"email": "alice@example.com", "password": "b"}
        await client.post("/api/auth/login", json=body, headers={"User-Agent": "Tea/1.0"})
        ((_, (_, _, program), _),) = services.login.calls
        assert (program.address, program.user_agent) == ("127.0.0.1", "Tea/1.0")

    async def test_a_registration_passes_its_code_on(self, client, services):
        body = BODIES["register"] | {"username": "ann", "code": "abc"}
        await client.post("/api/auth/register", json=body)
        ((_, (registrant, code, _), _),) = services.registration.calls
        assert code == "abc"
        assert registrant == Registrant(
            email="alice@example.com", name="Alice", password="b", username="ann"
        )

    async def test_search_results_have_the_seeds_fields(self, client):
        (hit,) = await (await client.get("/api/users/search?q=alice")).json()
        assert hit == {"id": str(ANN.uuid), "name": "Alice", "email": "alice@example.com"}

    async def test_me_is_not_taken_for_the_identifier_of_a_user(self, client, services):
        assert (await client.get("/api/users/me")).status == 200
        assert services.users.calls == [("me", (ALICE,), {})]
