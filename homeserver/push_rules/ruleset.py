"""All push rules of a user: the predefined ones, as he changed them, with his own before them.

Kept as the content of account data `m.push_rules`; who has none has the predefined rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from homeserver.push_rules.predefined import MASTER, PREDEFINED
from homeserver.push_rules.rules import (
    CONTENT,
    KINDS,
    OVERRIDE,
    WITH_CONDITIONS,
    PushRule,
    effective_actions,
)

PUSH_RULES = "m.push_rules"
"""The type of account data."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The rules of each kind, in the order in which they are checked."""

    kinds: Mapping[str, tuple[PushRule, ...]]

    @classmethod
    def of(cls, content: Any) -> Self:
        """From content as `as_json` made it, at any time; whatever cannot be read is left out."""
        given = content.get("global") if isinstance(content, Mapping) else None
        by_kind = given if isinstance(given, Mapping) else {}
        return cls({kind: _merged(kind, _rules(kind, by_kind.get(kind))) for kind in KINDS})

    def as_json(self, user_id: str) -> dict[str, Any]:
        """The content of `m.push_rules` as the user with this ID is shown it."""
        return {
            "global": {
                kind: [rule.as_json(user_id) for rule in rules]
                for kind, rules in self.kinds.items()
            }
        }

    def find(self, kind: str, rule_id: str) -> PushRule | None:
        return next((rule for rule in self.kinds[kind] if rule.rule_id == rule_id), None)

    def own(self, kind: str) -> list[PushRule]:
        """The rules that the user made."""
        return [rule for rule in self.kinds[kind] if not rule.is_predefined]

    def with_rules(self, kind: str, rules: Iterator[PushRule] | list[PushRule]) -> "Ruleset":
        """The same with all rules of a kind put in order anew."""
        return Ruleset({**self.kinds, kind: _merged(kind, list(rules))})

    def __iter__(self) -> Iterator[tuple[str, PushRule]]:
        """Every rule with its kind, in the order in which they are checked."""
        for kind, rules in self.kinds.items():
            for rule in rules:
                yield kind, rule


def _merged(kind: str, rules: list[PushRule]) -> tuple[PushRule, ...]:
    """C-S API v1.19 "Predefined Rules": after the user's own, but for the master rule."""
    own = [rule for rule in rules if not rule.is_predefined]
    given = {rule.rule_id: rule for rule in rules if rule.is_predefined}
    predefined = [_changed(rule, given.get(rule.rule_id)) for rule in PREDEFINED[kind]]
    first = [rule for rule in predefined if kind == OVERRIDE and rule.rule_id == MASTER]
    return (*first, *own, *(rule for rule in predefined if rule not in first))


def _changed(rule: PushRule, given: PushRule | None) -> PushRule:
    """What can be changed about a predefined rule is whether it is on, and what it does."""
    if given is None:
        return rule
    return replace(rule, enabled=given.enabled, actions=given.actions)


def _rules(kind: str, given: Any) -> list[PushRule]:
    rules = [_rule(kind, each) for each in given] if isinstance(given, list) else []
    found = {rule.rule_id: rule for rule in rules if rule is not None}
    return list(found.values())


def _rule(kind: str, given: Any) -> PushRule | None:
    if not isinstance(given, Mapping) or not isinstance(given.get("rule_id"), str):
        return None
    actions = [each for each in _list(given.get("actions")) if isinstance(each, str | Mapping)]
    conditions = [each for each in _list(given.get("conditions")) if isinstance(each, Mapping)]
    pattern = given.get("pattern")
    return PushRule(
        rule_id=given["rule_id"],
        actions=effective_actions(actions),
        conditions=tuple(conditions) if kind in WITH_CONDITIONS else None,
        pattern=pattern if kind == CONTENT and isinstance(pattern, str) else None,
        enabled=given.get("enabled") is not False,
    )


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


DEFAULT = Ruleset.of(None)
"""The rules of somebody who never changed any."""
