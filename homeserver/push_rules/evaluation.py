"""What an event means to somebody by his push rules.

Rules are made ready once, however many events are held against them.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from homeserver.push_rules.conditions import (
    Circumstances,
    Holds,
    Reader,
    compile_condition,
    counted_to,
    words_in_body,
)
from homeserver.push_rules.properties import EventView
from homeserver.push_rules.rules import (
    CONTENT,
    ROOM,
    SENDER,
    SILENT,
    THE_USER,
    Outcome,
    PushRule,
    outcome_of,
)
from homeserver.push_rules.ruleset import DEFAULT, Ruleset

NOBODY = Reader(user_id="")
NO_CIRCUMSTANCES = Circumstances()
MESSAGE_TYPE = "m.room.message"


_Rules = Sequence[tuple[Sequence[Holds], Outcome]]
_Step = tuple[str | None, _Rules]
"""Rules, and a name under which what they make of an event can be kept for other readers."""


class Program:
    """The rules of one user, ready to be tried. Those that are disabled never match.

    counts_to: whether a room has more members than so many makes no difference to them.
    """

    __slots__ = ("_steps", "asks_for_name", "counts_to", "ruleset")

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._steps = _steps(ruleset)
        self.asks_for_name = any(
            condition.get("kind") == "contains_display_name"
            for _, rule in ruleset
            for condition in rule.conditions or ()
        )
        self.counts_to = max(
            (counted_to(condition) for _, rule in ruleset for condition in rule.conditions or ()),
            default=0,
        )

    @property
    def is_default(self) -> bool:
        return self is DEFAULT_PROGRAM

    def outcome(
        self, event: EventView, reader: Reader, circumstances: Circumstances = NO_CIRCUMSTANCES
    ) -> Outcome:
        """What the first rule that matches makes of the event; SILENT where none does."""
        matched = event.matched
        for name, rules in self._steps:
            if name is None:
                outcome = _first(rules, event, reader, circumstances)
            elif name in matched:
                outcome = matched[name]
            else:
                outcome = matched[name] = _first(rules, event, reader, circumstances)
            if outcome is not None:
                return outcome
        return SILENT

    def mutes(self, room_id: str) -> bool:
        """Whether messages of a room are silent when there is nothing special about them."""
        ordinary = EventView(
            event_type=MESSAGE_TYPE, sender="", room_id=room_id, state_key=None, content={}
        )
        return not self.outcome(ordinary, NOBODY).notify


def _steps(ruleset: Ruleset) -> list[_Step]:
    """Rules that are not about the reader are one step with their neighbours, if those are not."""
    return [
        (
            _name_of(rules) if shared else None,
            [(tuple(_holds(kind, rule)), outcome_of(rule)) for kind, rule in rules],
        )
        for shared, rules in (
            (shared, list(group))
            for shared, group in groupby(
                ((kind, rule) for kind, rule in ruleset if rule.enabled),
                key=lambda each: _is_shared(each[1]),
            )
        )
    ]


def _is_shared(rule: PushRule) -> bool:
    """Whether it means the same to everybody: what a predefined rule matches never changes."""
    values = (each for condition in rule.conditions or () for each in condition.values())
    return rule.is_predefined and THE_USER not in values


def _name_of(rules: Iterable[tuple[str, PushRule]]) -> str:
    """The same for the same rules with the same actions."""
    return repr([(rule.rule_id, rule.actions) for _, rule in rules])


def _first(
    rules: _Rules, event: EventView, reader: Reader, circumstances: Circumstances
) -> Outcome | None:
    for conditions, outcome in rules:
        for holds in conditions:
            if not holds(event, reader, circumstances):
                break
        else:
            return outcome
    return None


def _holds(kind: str, rule: PushRule) -> Sequence[Holds]:
    """C-S API v1.19 "Push Rules": what each kind looks at."""
    if kind == CONTENT:
        return [words_in_body(rule.pattern)] if rule.pattern is not None else [_never]
    if kind == ROOM:
        return [lambda event, _reader, _circumstances: event.room_id == rule.rule_id]
    if kind == SENDER:
        return [lambda event, _reader, _circumstances: event.sender == rule.rule_id]
    return [
        compile_condition(condition, predefined=rule.is_predefined)
        for condition in rule.conditions or ()
    ]


def _never(_event: EventView, _reader: Reader, _circumstances: Circumstances) -> bool:
    return False


DEFAULT_PROGRAM = Program(DEFAULT)


def program_of(ruleset: Ruleset) -> Program:
    """Rulesets without changes share one program."""
    return DEFAULT_PROGRAM if ruleset == DEFAULT else Program(ruleset)
