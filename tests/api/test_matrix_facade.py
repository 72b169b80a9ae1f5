"""What holds for every endpoint of the Matrix API."""


class TestUnknownEndpoints:
    """C-S API v1.19 "M_UNRECOGNIZED"."""

    async def test_an_unknown_path_is_not_found(self, server):
        status, body = await server.nobody.request("GET", "/_matrix/client/v3/nothing")
        assert (status, body["errcode"]) == (404, "M_UNRECOGNIZED")

    async def test_an_unknown_method_is_not_allowed(self, server):
        status, body = await server.nobody.request("DELETE", "/_matrix/client/versions")
        assert (status, body["errcode"]) == (405, "M_UNRECOGNIZED")


class TestTokens:
    """C-S API v1.19 "Using access tokens"."""

    async def test_a_request_without_a_token_is_told_so(self, server):
        assert (
            await server.nobody.is_refused("GET", "v3/account/whoami", status=401)
            == "M_MISSING_TOKEN"
        )

    async def test_an_unknown_token_is_told_so(self, server):
        server.nobody.token = "nonsense"
        assert (
            await server.nobody.is_refused("GET", "v3/account/whoami", status=401)
            == "M_UNKNOWN_TOKEN"
        )


class TestCrossOrigin:
    """C-S API v1.19 "Web browser clients"."""

    async def test_every_origin_may_ask(self, server):
        answer = await server.client.get("/_matrix/client/versions")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"

    async def test_a_preflight_is_answered_everywhere(self, server):
        answer = await server.client.options("/_matrix/client/v3/sync")
        assert answer.status == 204
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


class TestVersions:
    """getVersions."""

    async def test_the_versions_of_the_specification_are_told(self, server):
        assert "v1.19" in (await server.nobody.get("/_matrix/client/versions"))["versions"]
