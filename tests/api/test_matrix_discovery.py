"""What clients find out before and after they log in: versions, well-known files, capabilities;
and what is issued to them: OpenID tokens, TURN credentials.
"""

import hmac
from base64 import b64encode

import pytest
from pydantic import SecretStr

from homeserver.config import PolicyServerConfig, ServerConfig, SupportConfig, TurnConfig
from tests.support.api_server import OPEN
from tests.support.matrix_server import MatrixServer, matrix_server, q
from tests.support.matrix_spec import check_answer


async def well_known(server: MatrixServer, name: str) -> tuple[int, dict]:
    path = f"/.well-known/matrix/{name}"
    status, answer = await server.nobody.request("GET", path)
    check_answer("GET", path, status, answer)
    return status, answer


class TestVersions:
    """getVersions."""

    async def test_those_of_the_specification(self, server):
        told = await server.nobody.get("versions")
        assert "v1.1" in told["versions"]
        assert "v1.19" in told["versions"]
        assert all(told["unstable_features"].values())

    async def test_a_token_that_has_ended_does_not_matter(self, server):
        server.nobody.token = "nonsense"
        assert await server.nobody.get("versions")


class TestWellKnown:
    """getWellknown, getWellknownSupport, getWellknownPolicy."""

    @pytest.mark.parametrize("name", ["client", "support", "policy_server"])
    async def test_what_is_not_configured_is_not_found(self, server, name):
        status, answer = await well_known(server, name)
        assert (status, answer["errcode"]) == (404, "M_NOT_FOUND")

    async def test_what_is_configured_is_told_to_every_page(self, database):
        config = OPEN.model_copy(
            update={
                "server": ServerConfig(public_url="https://matrix.example.org"),
                "support": SupportConfig(
                    admin_matrix_id="@root:example.org",
                    admin_email="root@example.org",
                    security_email="security@example.org",
                    page="https://example.org/help",
                ),
                "policy_server": PolicyServerConfig(ed25519_public_key="abc"),
            }
        )
        async with matrix_server(database, config=config) as server:
            assert await well_known(server, "client") == (
                200,
                {"m.homeserver": {"base_url": "https://matrix.example.org"}},
            )
            assert await well_known(server, "support") == (
                200,
                {
                    "contacts": [
                        {
                            "role": "m.role.admin",
                            "email_address": "root@example.org",
                            "matrix_id": "@root:example.org",
                        },
                        {"role": "m.role.security", "email_address": "security@example.org"},
                    ],
                    "support_page": "https://example.org/help",
                },
            )
            assert await well_known(server, "policy_server") == (
                200,
                {"public_keys": {"ed25519": "abc"}},
            )
            answer = await server.client.get("/.well-known/matrix/client")
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


class TestCapabilities:
    """getCapabilities."""

    async def test_all_stable_room_versions(self, server):
        alice = await server.registers("alice")
        told = (await alice.get("v3/capabilities"))["capabilities"]
        versions = told["m.room_versions"]
        assert versions["default"] == "12"
        assert versions["available"] == {str(number): "stable" for number in range(1, 13)}

    async def test_what_people_may_do(self, server):
        alice = await server.registers("alice")
        told = (await alice.get("v3/capabilities"))["capabilities"]
        assert told["m.change_password"] == {"enabled": True}
        assert told["m.3pid_changes"] == {"enabled": False}
        assert told["m.get_login_token"] == {"enabled": False}
        assert told["m.profile_fields"]["enabled"] is True
        assert "m.account_moderation" not in told


class TestOpenID:
    """requestOpenIdToken."""

    async def test_a_token_for_oneself(self, server, database):
        alice = await server.registers("alice")
        path = f"v3/user/{q(alice.user_id)}/openid/request_token"
        issued = await alice.post(path)
        assert (issued["token_type"], issued["matrix_server_name"]) == ("Bearer", "example.org")
        assert issued["expires_in"] == 3600
        async with database.connection() as db:
            rows = await db.fetch("SELECT * FROM openid_tokens")
        assert len(rows) == 1
        assert issued["access_token"] not in str(rows)

    async def test_not_for_others(self, server):
        alice = await server.registers("alice")
        path = f"v3/user/{q('@bob:example.org')}/openid/request_token"
        assert await alice.is_refused("POST", path, {}, status=403) == "M_FORBIDDEN"
        path = "v3/user/nobody/openid/request_token"
        assert await alice.is_refused("POST", path, {}, status=400) == "M_INVALID_PARAM"


class TestTurnServer:
    """getTurnServer."""

    async def test_credentials_are_for_a_time_and_a_user(self, database):
        turn = TurnConfig(uris=("turn:turn.example.org",), shared_secret=SecretStr("secret"))
        config = OPEN.model_copy(update={"turn": turn})
        async with matrix_server(database, config=config) as server:
            alice = await server.registers("alice")
            told = await alice.get("v3/voip/turnServer")
        assert told["uris"] == ["turn:turn.example.org"]
        assert told["ttl"] == 86_400
        assert told["username"].endswith(":@alice:example.org")
        mac = hmac.digest(b"secret", told["username"].encode(), "sha1")
        assert told["password"] == b64encode(mac).decode()

    async def test_without_servers_there_is_nothing(self, server):
        """The schema has no answer without credentials; MSC4166: then there is nothing to find."""
        alice = await server.registers("alice")
        assert await alice.is_refused("GET", "v3/voip/turnServer", status=404) == "M_NOT_FOUND"


class TestThirdPartyNetworks:
    """third_party_lookup.yaml."""

    async def test_there_are_none(self, server):
        alice = await server.registers("alice")
        assert await alice.get("v3/thirdparty/protocols") == {}
        for path, query in (
            ("protocol/irc", {}),
            ("location/irc", {}),
            ("user/irc", {}),
            ("location", {"alias": "#a:example.org"}),
            ("user", {"userid": "@a:example.org"}),
        ):
            refusal = await alice.is_refused("GET", f"v3/thirdparty/{path}", status=404, **query)
            assert refusal == "M_NOT_FOUND"

    async def test_what_is_sought_must_be_said(self, server):
        alice = await server.registers("alice")
        for path in ("location", "user"):
            refusal = await alice.is_refused("GET", f"v3/thirdparty/{path}", status=400)
            assert refusal == "M_MISSING_PARAM"
