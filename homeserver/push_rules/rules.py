"""What a push rule is, and how rules are written.

Source: C-S API v1.19 "Push Rules"; definitions push_rule.yaml, push_ruleset.yaml.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Action = str | Mapping[str, Any]
Condition = Mapping[str, Any]

OVERRIDE, CONTENT, ROOM, SENDER, UNDERRIDE = KINDS = (
    "override",
    "content",
    "room",
    "sender",
    "underride",
)
"""In the order in which rules of these kinds are checked."""

WITH_CONDITIONS = frozenset((OVERRIDE, UNDERRIDE))

THE_USER = "[the user's Matrix ID]"
"""Stands in predefined rules for whoever they are shown to."""

# C-S API v1.19 "Historical Actions": ignored, as if they were not there.
_HISTORICAL = frozenset(("dont_notify", "coalesce"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule makes of an event. sound: a name; None: no sound. rule_id: "" if none matched."""

    notify: bool
    highlight: bool = False
    sound: str | None = None
    rule_id: str = ""
    actions: tuple[Action, ...] = ()


SILENT = Outcome(notify=False)


@dataclass(frozen=True, slots=True)
class PushRule:
    """A rule. conditions: only of override and underride rules; pattern: only of content rules."""

    rule_id: str
    actions: tuple[Action, ...]
    conditions: tuple[Condition, ...] | None = None
    pattern: str | None = None
    enabled: bool = True

    @property
    def is_predefined(self) -> bool:
        """C-S API v1.19 "Predefined Rules": their IDs start with a dot, and no others do."""
        return self.rule_id.startswith(".")

    def as_json(self, user_id: str) -> dict[str, Any]:
        """As the user with this ID is shown it."""
        shown: dict[str, Any] = {
            "rule_id": self.rule_id,
            "default": self.is_predefined,
            "enabled": self.enabled,
            "actions": list(self.actions),
        }
        if self.conditions is not None:
            shown["conditions"] = [self._shown(each, user_id) for each in self.conditions]
        if self.pattern is not None:
            shown["pattern"] = self.pattern
        return shown

    def _shown(self, condition: Condition, user_id: str) -> Condition:
        if not self.is_predefined:
            return condition
        return {key: user_id if each == THE_USER else each for key, each in condition.items()}


def outcome_of(rule: PushRule) -> Outcome:
    """What it comes to when the rule matches."""
    if "notify" not in rule.actions:
        return Outcome(notify=False, rule_id=rule.rule_id)
    tweaks = {
        each["set_tweak"]: each.get("value", True)
        for each in rule.actions
        if isinstance(each, Mapping) and isinstance(each.get("set_tweak"), str)
    }
    sound = tweaks.get("sound")
    return Outcome(
        notify=True,
        # "If a highlight tweak is given with no value, its value is defined to be true."
        highlight=tweaks.get("highlight", False) is True,
        sound=sound if isinstance(sound, str) else None,
        rule_id=rule.rule_id,
        actions=rule.actions,
    )


def effective_actions(actions: Sequence[Action]) -> tuple[Action, ...]:
    """Without those that mean nothing any more."""
    return tuple(each for each in actions if isinstance(each, Mapping) or each not in _HISTORICAL)
