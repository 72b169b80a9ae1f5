"""Which events notify whom, and how (pushrules.yaml)."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Query, Route
from clientapi.matrix.services import MatrixServices
from homeserver.actions.push_rules import PushRules
from homeserver.push_rules.editing import WantedRule
from homeserver.requester import Requester


class RuleBody(Body):
    """A rule."""

    actions: list[str | dict[str, Any]]
    conditions: list[dict[str, Any]] = Field(default_factory=list)
    pattern: str | None = None


class RulePlace(Query):
    """Rules that it is to stand beside."""

    before: str | None = None
    after: str | None = None


class EnabledBody(Body):
    """Whether a rule is on."""

    enabled: bool


class ActionsBody(Body):
    """What a rule does."""

    actions: list[str | dict[str, Any]]


class PushRulesEndpoints:
    """Endpoints of pushrules.yaml."""

    def __init__(self, *, push_rules: PushRules) -> None:
        self._push_rules = push_rules

    async def get_push_rules(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return (await self._push_rules.all(by)).as_json(by.user_id)

    async def get_push_rules_global(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        shown: Json = (await self._push_rules.all(by)).as_json(by.user_id)["global"]
        return shown

    async def get_push_rule(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        rule = await self._push_rules.one(by, *_named(call))
        return rule.as_json(by.user_id)

    async def set_push_rule(self, call: Call[RulePlace, RuleBody], by: Requester) -> Json:
        kind, rule_id = _named(call)
        wanted = WantedRule(
            kind=kind,
            rule_id=rule_id,
            actions=call.body.actions,
            conditions=call.body.conditions,
            pattern=call.body.pattern,
            before=call.query.before,
            after=call.query.after,
        )
        await self._push_rules.put(by, wanted)
        return {}

    async def delete_push_rule(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        await self._push_rules.delete(by, *_named(call))
        return {}

    async def is_push_rule_enabled(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"enabled": (await self._push_rules.one(by, *_named(call))).enabled}

    async def set_push_rule_enabled(self, call: Call[NoQuery, EnabledBody], by: Requester) -> Json:
        await self._push_rules.enable(by, *_named(call), enabled=call.body.enabled)
        return {}

    async def get_push_rule_actions(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"actions": list((await self._push_rules.one(by, *_named(call))).actions)}

    async def set_push_rule_actions(self, call: Call[NoQuery, ActionsBody], by: Requester) -> Json:
        await self._push_rules.set_actions(by, *_named(call), call.body.actions)
        return {}


def _named(call: Call[Any, Any]) -> tuple[str, str]:
    return call.parameters["kind"], call.parameters["ruleId"]


def routes(services: MatrixServices) -> Iterator[Route]:
    rules = PushRulesEndpoints(push_rules=services.push_rules)
    one = "v3/pushrules/global/{kind}/{ruleId}"
    # Clients leave the slash at the end away.
    yield Route(
        method="GET", path="v3/pushrules/", run=rules.get_push_rules, unstable=("v3/pushrules",)
    )
    yield Route(
        method="GET",
        path="v3/pushrules/global/",
        run=rules.get_push_rules_global,
        unstable=("v3/pushrules/global",),
    )
    yield Route(method="GET", path=one, run=rules.get_push_rule)
    yield Route(method="PUT", path=one, run=rules.set_push_rule, query=RulePlace, body=RuleBody)
    yield Route(method="DELETE", path=one, run=rules.delete_push_rule)
    yield Route(method="GET", path=f"{one}/enabled", run=rules.is_push_rule_enabled)
    yield Route(
        method="PUT", path=f"{one}/enabled", run=rules.set_push_rule_enabled, body=EnabledBody
    )
    yield Route(method="GET", path=f"{one}/actions", run=rules.get_push_rule_actions)
    yield Route(
        method="PUT", path=f"{one}/actions", run=rules.set_push_rule_actions, body=ActionsBody
    )
