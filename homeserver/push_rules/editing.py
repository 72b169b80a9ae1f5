"""Changing push rules: what a user may do to his ruleset.

Source: C-S API v1.19 pushrules.yaml. Raises InvalidInput, NotFound, NoSuchNeighbour, TooLarge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from homeserver.errors import InvalidInput, NoSuchNeighbour, NotFound, TooLarge
from homeserver.push_rules.rules import (
    CONTENT,
    KINDS,
    WITH_CONDITIONS,
    Action,
    Condition,
    PushRule,
    effective_actions,
)
from homeserver.push_rules.ruleset import Ruleset

MAX_OWN_RULES = 1_000
MAX_RULE_ID_BYTES = 255
MAX_ACTIONS = 16
MAX_CONDITIONS = 64
MAX_PATTERN_CHARS = 16_384
"""In all patterns of a user that are looked for in every message that he gets."""
MAX_TEXT_CHARS = 1_024


@dataclass(frozen=True, slots=True)
class WantedRule:
    """A rule as a client describes it. before, after: IDs of rules that it is to stand beside."""

    kind: str
    rule_id: str
    actions: Sequence[Action]
    conditions: Sequence[Condition]
    pattern: str | None
    before: str | None = None
    after: str | None = None


def found(ruleset: Ruleset, kind: str, rule_id: str) -> PushRule:
    """Raises NotFound where there is no such rule, InvalidInput where there are no such kinds."""
    _check_kind(kind)
    rule = ruleset.find(kind, rule_id)
    if rule is None:
        raise NotFound("The push rule was not found.", kind="push rule")
    return rule


def with_rule(ruleset: Ruleset, wanted: WantedRule) -> Ruleset:
    """A rule is added, or changed where there is one with its ID.

    A new one is the most important of the user's own of its kind, unless a place is named. One that
    is changed stays where it is, and switched off if it was.
    """
    _check_wanted(wanted)
    rules = ruleset.own(wanted.kind)
    index = next((i for i, each in enumerate(rules) if each.rule_id == wanted.rule_id), None)
    enabled = True if index is None else rules.pop(index).enabled
    place = _place(rules, wanted)
    rules.insert(index or 0 if place is None else place, _made(wanted, enabled=enabled))
    changed = ruleset.with_rules(wanted.kind, _with_predefined(ruleset, wanted.kind, rules))
    _check_size(changed)
    return changed


def without_rule(ruleset: Ruleset, kind: str, rule_id: str) -> Ruleset:
    if found(ruleset, kind, rule_id).is_predefined:
        raise InvalidInput("Rules of the server cannot be deleted.", field="ruleId")
    rules = [rule for rule in ruleset.kinds[kind] if rule.rule_id != rule_id]
    return ruleset.with_rules(kind, rules)


def with_enabled(ruleset: Ruleset, kind: str, rule_id: str, *, enabled: bool) -> Ruleset:
    rule = found(ruleset, kind, rule_id)
    return _with_changed(ruleset, kind, replace(rule, enabled=enabled))


def with_actions(ruleset: Ruleset, kind: str, rule_id: str, actions: Sequence[Action]) -> Ruleset:
    rule = found(ruleset, kind, rule_id)
    _check_actions(actions)
    return _with_changed(ruleset, kind, replace(rule, actions=effective_actions(actions)))


def _with_changed(ruleset: Ruleset, kind: str, changed: PushRule) -> Ruleset:
    rules = [changed if rule.rule_id == changed.rule_id else rule for rule in ruleset.kinds[kind]]
    return ruleset.with_rules(kind, rules)


def _with_predefined(ruleset: Ruleset, kind: str, own: Sequence[PushRule]) -> list[PushRule]:
    return [*own, *(rule for rule in ruleset.kinds[kind] if rule.is_predefined)]


def _made(wanted: WantedRule, *, enabled: bool) -> PushRule:
    return PushRule(
        rule_id=wanted.rule_id,
        actions=effective_actions(wanted.actions),
        conditions=tuple(wanted.conditions) if wanted.kind in WITH_CONDITIONS else None,
        pattern=wanted.pattern if wanted.kind == CONTENT else None,
        enabled=enabled,
    )


def _place(rules: Sequence[PushRule], wanted: WantedRule) -> int | None:
    """Where `before` and `after` put it; "if both are provided", `before` counts."""
    neighbour = wanted.after if wanted.before is None else wanted.before
    if neighbour is None:
        return None
    for index, rule in enumerate(rules):
        if rule.rule_id == neighbour:
            return index if wanted.before is not None else index + 1
    raise NoSuchNeighbour(f"before/after rule not found: {neighbour}")


def _check_wanted(wanted: WantedRule) -> None:
    _check_kind(wanted.kind)
    _check_rule_id(wanted.rule_id)
    _check_actions(wanted.actions)
    if wanted.kind == CONTENT and wanted.pattern is None:
        raise InvalidInput("A content rule needs a pattern.", field="pattern")
    if wanted.pattern is not None:
        _check_text(wanted.pattern, "pattern")
    if len(wanted.conditions) > MAX_CONDITIONS:
        raise InvalidInput("There are too many conditions.", field="conditions")
    for condition in wanted.conditions:
        _check_condition(condition)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InvalidInput(f"There are no push rules of the kind {kind!r}.", field="kind")


def _check_rule_id(rule_id: str) -> None:
    if not 0 < len(rule_id.encode("utf-8", "replace")) <= MAX_RULE_ID_BYTES:
        raise InvalidInput("The ID of a rule has 1 to 255 bytes.", field="ruleId")
    if rule_id.startswith("."):
        raise InvalidInput("IDs that begin with a dot are the server's own.", field="ruleId")
    if "/" in rule_id or "\\" in rule_id or "\0" in rule_id:
        raise InvalidInput("The ID of a rule has no slashes.", field="ruleId")


def _check_actions(actions: Sequence[Action]) -> None:
    if len(actions) > MAX_ACTIONS:
        raise InvalidInput("There are too many actions.", field="actions")
    for action in actions:
        if isinstance(action, str):
            known = action in ("notify", "dont_notify", "coalesce")
        else:
            known = isinstance(action.get("set_tweak"), str) and _is_flat(action)
        if not known:
            raise InvalidInput("This server knows no such action.", field="actions")


def _check_condition(condition: Condition) -> None:
    if not isinstance(condition.get("kind"), str):
        raise InvalidInput("A condition has a kind.", field="conditions")
    if not _is_flat(condition):
        raise InvalidInput("A condition has nothing but simple values.", field="conditions")


def _is_flat(given: Any) -> bool:
    for key, each in given.items():
        if len(key) > MAX_TEXT_CHARS or (isinstance(each, str) and len(each) > MAX_TEXT_CHARS):
            return False
        if isinstance(each, dict | list | float):
            return False
    return True


def _check_text(text: str, field: str) -> None:
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput(f"It has at most {MAX_TEXT_CHARS} characters.", field=field)


def _check_size(ruleset: Ruleset) -> None:
    own = [rule for kind in KINDS for rule in ruleset.own(kind)]
    if len(own) > MAX_OWN_RULES:
        raise TooLarge(f"Nobody has more than {MAX_OWN_RULES} push rules of his own.")
    if sum(map(_searched_chars, own)) > MAX_PATTERN_CHARS:
        raise TooLarge("The patterns of your push rules are too long together.")


def _searched_chars(rule: PushRule) -> int:
    """Of patterns that must be looked for; others are compared with a value, which is cheap."""
    patterns = [
        pattern
        for each in rule.conditions or ()
        if isinstance(pattern := each.get("pattern"), str)
        and (each.get("key") == "content.body" or "*" in pattern or "?" in pattern)
    ]
    return sum(map(len, patterns)) + len(rule.pattern or "")
