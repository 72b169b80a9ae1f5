"""User-interactive authentication as a state machine: which stages there are, and what is done.

Nothing here waits or looks anything up. Source: C-S API v1.19 "User-Interactive Authentication
API".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PASSWORD = "m.login.password"  # noqa: S105 - the name of a stage
DUMMY = "m.login.dummy"
TERMS = "m.login.terms"
REGISTRATION_TOKEN = "m.login.registration_token"  # noqa: S105 - the name of a stage

Flow = tuple[str, ...]
"""Stages, in the order in which they must be completed."""


@dataclass(frozen=True, slots=True)
class Flows:
    """The ways to prove oneself, one of which suffices.
    params: what clients must know about stages, by stage.
    """

    flows: tuple[Flow, ...]
    params: Mapping[str, Any] = field(default_factory=dict)

    def has(self, stage: str) -> bool:
        return any(stage in flow for flow in self.flows)

    def allow(self, completed: Flow, stage: str) -> bool:
        """Whether the stage comes next on some way."""
        done = (*completed, stage)
        return any(flow[: len(done)] == done for flow in self.flows)

    def are_complete(self, completed: Flow) -> bool:
        return completed in self.flows

    def challenge(self, session: str, completed: Flow) -> dict[str, Any]:
        """What the client is told that has more to prove."""
        told: dict[str, Any] = {
            "session": session,
            "flows": [{"stages": list(flow)} for flow in self.flows],
            "params": dict(self.params),
        }
        return {**told, "completed": list(completed)} if completed else told


OWN_PASSWORD = Flows(((PASSWORD,),))


def registration_flows(*, needs_token: bool, policies: Mapping[str, Any]) -> Flows:
    """policies: documents that must be accepted, as `m.login.terms` has them."""
    stages: list[str] = []
    if needs_token:
        stages.append(REGISTRATION_TOKEN)
    if policies:
        stages.append(TERMS)
    params = {TERMS: {"policies": policies}} if policies else {}
    return Flows((tuple(stages or [DUMMY]),), params)


def policies_of(documents: Sequence[Any]) -> dict[str, Any]:
    """`m.login.terms` parameters. documents: `homeserver.config.Policy`, one a language."""
    policies: dict[str, Any] = {}
    for each in documents:
        policy = policies.setdefault(each.id, {"version": each.version})
        policy[each.language] = {"name": each.name, "url": each.url}
    return policies
