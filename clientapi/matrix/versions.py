"""Supported versions of the specification (versions.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices

# r0.6.1 and v1.1 say what very old clients look for.
VERSIONS = ("r0.6.1", *(f"v1.{minor}" for minor in range(1, 20)))

UNSTABLE_FEATURES = {
    # Simplified sliding sync (MSC4186).
    "org.matrix.simplified_msc3575": True,
    # Dehydrated devices.
    "org.matrix.msc3814": True,
    # Cross-signing (since v1.1), whose first keys need no proof (since v1.11).
    "org.matrix.e2e_cross_signing": True,
    "org.matrix.msc3967": True,
}
"""Proposals that are served before they are in the specification, by the name clients look for."""


async def get_versions(_call: Call[NoQuery, NoBody]) -> Json:
    """The same for everybody, so a token that has ended does not matter either."""
    return {"versions": list(VERSIONS), "unstable_features": UNSTABLE_FEATURES}


def routes(_services: MatrixServices) -> Iterator[Route]:
    yield Route(method="GET", path="versions", run=get_versions, auth=Auth.NONE)
