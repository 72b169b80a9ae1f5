"""docs/spec-coverage.md: everything is listed, and what is not served has a reason."""

from clientapi.matrix.endpoint import Route
from homeserver.spec_coverage import (
    ENDPOINTS,
    operations,
    served_routes,
    unexplained,
)
from tests.support.matrix_spec import find


class TestOperations:
    def test_every_row_of_the_list_is_there(self):
        with ENDPOINTS.open() as lines:
            assert len(operations()) == sum(1 for _ in lines) - 1

    def test_what_is_not_served_has_a_reason(self):
        assert unexplained() == []


class TestRoutes:
    def test_what_calls_itself_stable_is_in_the_specification(self):
        strangers = [
            (route.method, route.path)
            for route in served_routes()
            if _is_stable(route) and find(route.method, route.paths[0]) is None
        ]
        # "Fallback" of user-interactive authentication: in the text, not in the OpenAPI files.
        fallback = "v3/auth/{authType}/fallback/web"
        assert {path for _, path in strangers} <= {fallback}


def _is_stable(route: Route) -> bool:
    return route.path.startswith(("v1/", "v3/"))
