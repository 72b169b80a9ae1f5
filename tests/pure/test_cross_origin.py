"""Which pages may call the server."""

from clientapi.cross_origin import CrossOrigin

APP = "https://app.example.com"
ALLOW = "Access-Control-Allow-Origin"


class TestOrigins:
    def test_without_origins_no_page_may(self):
        assert CrossOrigin(origins=[]).headers(APP) == {}

    def test_a_named_origin_may(self):
        headers = CrossOrigin(origins=[APP]).headers(APP)
        assert headers[ALLOW] == APP
        assert headers["Vary"] == "Origin"

    def test_another_origin_may_not_and_caches_know(self):
        assert CrossOrigin(origins=[APP]).headers("https://evil.example") == {"Vary": "Origin"}

    def test_a_request_without_origin_is_told_apart_by_caches(self):
        assert CrossOrigin(origins=[APP]).headers(None) == {"Vary": "Origin"}

    def test_a_star_allows_every_origin(self):
        assert CrossOrigin(origins=["*"]).headers("null")[ALLOW] == "*"

    def test_nobody_gets_credentials(self):
        for origins in ([APP], ["*"]):
            headers = CrossOrigin(origins=origins).headers(APP)
            assert "Access-Control-Allow-Credentials" not in headers

    def test_pages_may_read_when_to_try_again(self):
        headers = CrossOrigin(origins=["*"]).headers(APP)
        assert "Retry-After" in headers["Access-Control-Expose-Headers"]


class TestPreflight:
    def test_an_allowed_origin_learns_methods_and_headers(self):
        headers = CrossOrigin(origins=[APP]).preflight_headers(APP)
        assert "PATCH" in headers["Access-Control-Allow-Methods"]
        assert "Authorization" in headers["Access-Control-Allow-Headers"]

    def test_another_origin_learns_nothing(self):
        assert CrossOrigin(origins=[APP]).preflight_headers("https://evil.example") is None
        assert CrossOrigin(origins=[APP]).preflight_headers(None) is None
