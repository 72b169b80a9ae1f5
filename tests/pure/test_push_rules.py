"""Push rules: what they match, in which order, and how users change them."""

import fnmatch
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidInput, NoSuchNeighbour, NotFound, TooLarge
from homeserver.push_rules import editing, glob
from homeserver.push_rules.conditions import Circumstances, Reader
from homeserver.push_rules.editing import WantedRule
from homeserver.push_rules.evaluation import DEFAULT_PROGRAM, Program, program_of
from homeserver.push_rules.predefined import PREDEFINED
from homeserver.push_rules.properties import MAX_SEARCHED, MISSING, EventView, parse_path
from homeserver.push_rules.rules import KINDS, Outcome, PushRule
from homeserver.push_rules.ruleset import DEFAULT, Ruleset

ALICE, BOB = "@alice:example.org", "@bob:example.org"
ROOM = "!room:example.org"
NOTIFY = ("notify",)
LOUD = ("notify", {"set_tweak": "sound", "value": "default"}, {"set_tweak": "highlight"})


def view(
    event_type: str = "m.room.message", *, state_key: str | None = None, **content: Any
) -> EventView:
    return EventView(
        event_type=event_type, sender=ALICE, room_id=ROOM, state_key=state_key, content=content
    )


def says(body: str, **more: Any) -> EventView:
    return view(msgtype="m.text", body=body, **more)


def wanted(kind: str, rule_id: str, **more: Any) -> WantedRule:
    settings: dict[str, Any] = {"actions": NOTIFY, "conditions": (), "pattern": None}
    return WantedRule(kind, rule_id, **{**settings, **more})


def with_rules(*rules: WantedRule) -> Ruleset:
    """A user's, who made these rules one after the other."""
    ruleset = DEFAULT
    for rule in rules:
        ruleset = editing.with_rule(ruleset, rule)
    return ruleset


def bob_gets(event: EventView, *rules: WantedRule, name: str | None = None, **more: Any) -> Outcome:
    program = program_of(with_rules(*rules))
    return program.outcome(event, Reader(BOB, name), Circumstances(**more))


def condition_holds(event: EventView, name: str | None = None, **condition: Any) -> bool:
    rule = wanted("override", "one", conditions=(condition,))
    return bob_gets(event, rule, name=name).rule_id == "one"


class TestPaths:
    """Appendices, "Dot-separated property paths"."""

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            ("type", ("type",)),
            ("content.body", ("content", "body")),
            (r"content.m\.relates_to", ("content", "m.relates_to")),
            (r"content.m\\foo", ("content", r"m\foo")),
            (r"content.\x", ("content", r"\x")),
            (r"a\\.b", ("a\\", "b")),
            ("a..b.", ("a", "", "b", "")),
            ("", ("",)),
            ("\\", ("\\",)),
        ],
    )
    def test_dots_and_backslashes_are_escaped(self, key, path):
        assert parse_path(key) == path

    @given(st.lists(st.text(alphabet="ab.\\x", max_size=4), min_size=1, max_size=4))
    def test_escaped_names_are_found_again(self, names):
        key = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)
        assert parse_path(key) == tuple(names)

    def test_what_is_absent_is_missing(self):
        event = view(a={"b": 1}, c="text")
        assert event.value(parse_path("content.a.b")) == 1
        for key in ("content.a.c", "content.c.d", "content.a.b.c", "state_key", "type.x", "x"):
            assert event.value(parse_path(key)) is MISSING


class TestGlobs:
    """Appendices, "Glob-style matching"."""

    @given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="abA", max_size=10))
    def test_whole_texts_match_as_anywhere_else(self, pattern, text):
        expected = fnmatch.fnmatchcase(text.lower(), pattern)
        assert glob.whole(pattern)(text.lower()) == expected

    @given(st.text(alphabet="ab *?", max_size=8), st.text(alphabet="ab -", max_size=10))
    def test_words_match_between_boundaries(self, pattern, text):
        every = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
        starts = [at for at in range(len(text) + 1) if at == 0 or text[at - 1] not in "ab"]
        ends = [at for at in range(len(text) + 1) if at == len(text) or text[at] not in "ab"]
        expected = any(
            re.fullmatch(every, text[start:end], re.DOTALL)
            for start in starts
            for end in ends
            if start <= end
        )
        assert glob.words(pattern)(text) == expected

    def test_no_pattern_takes_ages(self):
        assert not glob.whole("*a" * 500 + "b")("a" * 8_000)
        assert not glob.words("*a" * 500 + "b")("a" * 8_000)


class TestConditions:
    """C-S API v1.19 "Conditions", with the examples of that section."""

    @pytest.mark.parametrize("topic", ["Lunch plans", "LUNCH"])
    def test_an_event_match_is_for_the_whole_value(self, topic):
        event = view("m.room.topic", state_key="", topic=topic)
        assert condition_holds(event, kind="event_match", key="content.topic", pattern="lunc?*")

    @pytest.mark.parametrize("topic", [" lunch", "lunc", None, 7, ["lunch"]])
    def test_other_values_do_not_match(self, topic):
        event = view("m.room.topic", state_key="", topic=topic)
        assert not condition_holds(event, kind="event_match", key="content.topic", pattern="lunc?*")

    def test_what_is_absent_does_not_even_match_a_star(self):
        assert not condition_holds(view(), kind="event_match", key="content.topic", pattern="*")

    @pytest.mark.parametrize("body", ["An example event.", "exple", "An exciting triple-whammy"])
    def test_in_the_body_a_part_between_word_boundaries_matches(self, body):
        condition = {"kind": "event_match", "key": "content.body", "pattern": "ex*ple"}
        assert condition_holds(says(body), **condition)

    @pytest.mark.parametrize("body", ["examples", "an_example", "2example"])
    def test_in_the_body_a_part_of_a_word_does_not_match(self, body):
        condition = {"kind": "event_match", "key": "content.body", "pattern": "example"}
        assert not condition_holds(says(body), **condition)

    def test_a_property_is_what_it_is(self):
        event = view(**{"m.federate": True, "count": 1, "nothing": None})
        is_ = {"kind": "event_property_is"}
        assert condition_holds(event, **is_, key=r"content.m\.federate", value=True)
        assert condition_holds(event, **is_, key="content.nothing", value=None)
        for value in ("true", 1, None):
            assert not condition_holds(event, **is_, key=r"content.m\.federate", value=value)
        assert not condition_holds(event, **is_, key="content.count", value=True)
        assert not condition_holds(event, **is_, key="content.absent", value=None)
        assert not condition_holds(event, **is_, key="content.count")

    def test_an_array_contains_whole_values(self):
        event = view(alt_aliases=["#a:b", 1, None, ["x"]], text="#a:b")
        contains = {"kind": "event_property_contains"}
        for value in ("#a:b", 1, None):
            assert condition_holds(event, **contains, key="content.alt_aliases", value=value)
        for value in (":b", True, "1"):
            assert not condition_holds(event, **contains, key="content.alt_aliases", value=value)
        assert not condition_holds(event, **contains, key="content.text", value="#a:b")

    @pytest.mark.parametrize(
        ("body", "holds"),
        [("hey Bob!", True), ("BOB", True), ("bobby", False), ("b.b", False), ("", False)],
    )
    def test_the_display_name_stands_in_the_body_as_words(self, body, holds):
        assert condition_holds(says(body), name="Bob", kind="contains_display_name") == holds
        assert not condition_holds(says(body), kind="contains_display_name")
        assert not condition_holds(says("bob"), name="b.b", kind="contains_display_name")

    @pytest.mark.parametrize(
        ("is_", "count", "holds"),
        [
            ("2", 2, True),
            ("==2", 3, False),
            ("<2", 2, False),
            ("<=2", 2, True),
            (">2", 3, True),
            (">=2", 1, False),
            ("2", None, False),
            ("=2", 2, False),
            ("two", 2, False),
            ("", 2, False),
        ],
    )
    def test_members_are_counted(self, is_, count, holds):
        rule = wanted("override", "one", conditions=({"kind": "room_member_count", "is": is_},))
        found = bob_gets(says("hello"), rule, member_count=count)
        assert (found.rule_id == "one") == holds

    def test_only_the_powerful_may_notify_the_room(self):
        event = says("all", **{"m.mentions": {"room": True}})
        powerful = bob_gets(event, may_notify=lambda key: key == "room")
        assert (powerful.rule_id, powerful.highlight) == (".m.rule.is_room_mention", True)
        weak = bob_gets(says("all", **{"m.mentions": {"room": True}}))
        assert weak.rule_id == ".m.rule.message"

    @pytest.mark.parametrize(
        "condition",
        [
            {"kind": "com.example.moon_is_full"},
            {"kind": "event_match", "key": "type"},
            {"kind": "event_match", "pattern": "*"},
            {"kind": "event_property_is", "value": None},
            {"kind": "sender_notification_permission"},
            {"kind": "room_member_count"},
        ],
    )
    def test_what_is_not_understood_never_matches(self, condition):
        assert not condition_holds(says("hello"), **condition)

    def test_only_the_beginning_of_a_very_long_body_is_searched(self):
        condition = {"kind": "event_match", "key": "content.body", "pattern": "word"}
        assert condition_holds(says("word " + "x" * 60_000), **condition)
        assert not condition_holds(says(". " * MAX_SEARCHED + "word"), **condition)


class TestPredefinedRules:
    """C-S API v1.19 "Predefined Rules"."""

    def test_they_are_those_of_the_specification_in_its_order(self):
        names = {kind: [rule.rule_id[8:] for rule in rules] for kind, rules in PREDEFINED.items()}
        assert names == {
            "override": [
                "master",
                "suppress_notices",
                "invite_for_me",
                "member_event",
                "is_user_mention",
                "is_room_mention",
                "tombstone",
                "reaction",
                "room.server_acl",
                "suppress_edits",
            ],
            "content": [],
            "room": [],
            "sender": [],
            "underride": [
                "call",
                "encrypted_room_one_to_one",
                "room_one_to_one",
                "message",
                "encrypted",
            ],
        }

    @pytest.mark.parametrize(
        ("event", "rule", "notify", "highlight", "sound"),
        [
            (says("hello"), "message", True, False, None),
            (view("m.room.encrypted"), "encrypted", True, False, None),
            (view("m.call.invite"), "call", True, False, "ring"),
            (view(msgtype="m.notice", body="x"), "suppress_notices", False, False, None),
            (view("m.reaction"), "reaction", False, False, None),
            (view("m.sticker"), "", False, False, None),
            (
                view("m.room.member", state_key=BOB, membership="invite"),
                "invite_for_me",
                True,
                False,
                "default",
            ),
            (
                view("m.room.member", state_key=ALICE, membership="invite"),
                "member_event",
                False,
                False,
                None,
            ),
            (
                says("x", **{"m.mentions": {"user_ids": [ALICE, BOB]}}),
                "is_user_mention",
                True,
                True,
                "default",
            ),
            (says("bob", **{"m.mentions": {"user_ids": "x"}}), "message", True, False, None),
            (view("m.room.tombstone", state_key=""), "tombstone", True, True, None),
            (view("m.room.tombstone"), "", False, False, None),
            (view("m.room.server_acl", state_key=""), "room.server_acl", False, False, None),
            (
                says("*", **{"m.relates_to": {"rel_type": "m.replace"}}),
                "suppress_edits",
                False,
                False,
                None,
            ),
        ],
    )
    def test_what_they_make_of_an_event(self, event, rule, notify, highlight, sound):
        found = bob_gets(event, member_count=3)
        assert found.rule_id == (f".m.rule.{rule}" if rule else "")
        assert (found.notify, found.highlight, found.sound) == (notify, highlight, sound)

    def test_between_two_a_message_has_a_sound(self):
        assert bob_gets(says("hello"), member_count=2).sound == "default"
        assert bob_gets(view("m.room.encrypted"), member_count=2).sound == "default"

    def test_the_master_rule_silences_everything(self):
        ruleset = editing.with_rule(DEFAULT, wanted("override", "mine"))
        off = editing.with_enabled(ruleset, "override", ".m.rule.master", enabled=True)
        assert Program(off).outcome(says("hello"), Reader(BOB)).rule_id == ".m.rule.master"
        assert Program(off).mutes(ROOM)

    def test_somebody_without_changes_shares_their_program(self):
        assert program_of(Ruleset.of(None)) is DEFAULT_PROGRAM
        assert program_of(Ruleset.of(DEFAULT.as_json(BOB))) is DEFAULT_PROGRAM


class TestOrder:
    """C-S API v1.19 "Push Rules": kinds in their order, own rules before predefined ones."""

    def test_kinds_are_checked_one_after_the_other(self):
        rules = [
            wanted("underride", "u", actions=LOUD),
            wanted("sender", ALICE),
            wanted("room", ROOM),
            wanted("content", "c", pattern="hello"),
            wanted("override", "o"),
        ]
        matched = [
            bob_gets(says("hello"), *rules[:count]).rule_id for count in range(1, len(rules) + 1)
        ]
        assert matched == ["u", ALICE, ROOM, "c", "o"]

    def test_own_rules_come_before_predefined_ones(self):
        mine = wanted("override", "mine", actions=LOUD)
        assert bob_gets(view(msgtype="m.notice"), mine).rule_id == "mine"

    def test_a_disabled_rule_never_matches(self):
        ruleset = with_rules(wanted("override", "mine"))
        ruleset = editing.with_enabled(ruleset, "override", "mine", enabled=False)
        assert Program(ruleset).outcome(says("x"), Reader(BOB)).rule_id == ".m.rule.message"

    @pytest.mark.parametrize("historical", ["dont_notify", "coalesce"])
    def test_historical_actions_are_no_actions(self, historical):
        ruleset = with_rules(wanted("override", "mine", actions=(historical,)))
        assert ruleset.find("override", "mine").actions == ()
        assert not Program(ruleset).outcome(says("x"), Reader(BOB)).notify

    @pytest.mark.parametrize(
        ("tweak", "highlight"),
        [({}, True), ({"value": True}, True), ({"value": False}, False), ({"value": 1}, False)],
    )
    def test_a_highlight_without_a_value_is_one(self, tweak, highlight):
        actions = ("notify", {"set_tweak": "highlight"} | tweak)
        assert bob_gets(says("x"), wanted("override", "o", actions=actions)).highlight == highlight


class TestMuting:
    def test_a_room_is_muted_by_a_rule_about_it(self):
        by_kind = program_of(with_rules(wanted("room", ROOM, actions=())))
        condition = {"kind": "event_match", "key": "room_id", "pattern": ROOM}
        override = wanted("override", ROOM, actions=(), conditions=(condition,))
        for program in (by_kind, program_of(with_rules(override))):
            assert program.mutes(ROOM)
            assert not program.mutes("!other:example.org")
        assert not DEFAULT_PROGRAM.mutes(ROOM)


class TestEditing:
    """pushrules.yaml, setPushRule and the others."""

    def ids(self, ruleset: Ruleset) -> list[str]:
        return [rule.rule_id for rule in ruleset.own("override")]

    def test_a_new_rule_is_the_most_important(self):
        ruleset = with_rules(wanted("override", "a"), wanted("override", "b"))
        assert self.ids(ruleset) == ["b", "a"]
        assert [rule.rule_id for rule in ruleset.kinds["override"]][:3] == [
            ".m.rule.master",
            "b",
            "a",
        ]

    def test_a_place_can_be_named(self):
        ruleset = with_rules(*(wanted("override", each) for each in "cba"))
        place = {"before": ("x", {"before": "b"}), "after": ("y", {"after": "b"})}
        for rule_id, where in place.values():
            ruleset = editing.with_rule(ruleset, wanted("override", rule_id, **where))
        assert self.ids(ruleset) == ["a", "x", "b", "y", "c"]
        moved = editing.with_rule(ruleset, wanted("override", "c", before="a", after="b"))
        assert self.ids(moved) == ["c", "a", "x", "b", "y"]

    def test_a_changed_rule_stays_where_and_as_it_is(self):
        ruleset = with_rules(*(wanted("override", each) for each in "cba"))
        ruleset = editing.with_enabled(ruleset, "override", "b", enabled=False)
        changed = editing.with_rule(ruleset, wanted("override", "b", actions=LOUD))
        assert self.ids(changed) == ["a", "b", "c"]
        rule = changed.find("override", "b")
        assert (rule.enabled, rule.actions) == (False, LOUD)

    @pytest.mark.parametrize("neighbour", ["none", ".m.rule.message", "x"])
    def test_there_is_no_place_beside_what_is_not_there(self, neighbour):
        for where in ("before", "after"):
            with pytest.raises(NoSuchNeighbour):
                with_rules(wanted("override", "x", **{where: neighbour}))

    @pytest.mark.parametrize(
        "bad",
        [
            {"kind": "other"},
            {"rule_id": ".mine"},
            {"rule_id": ""},
            {"rule_id": "a/b"},
            {"rule_id": "a\\b"},
            {"rule_id": "a" * 256},
            {"actions": ("shout",)},
            {"actions": ({"value": 1},)},
            {"actions": ({"set_tweak": "x", "value": {"deep": 1}},)},
            {"actions": NOTIFY * 17},
            {"conditions": ({"key": "type"},)},
            {"conditions": ({"kind": 1},)},
            {"conditions": ({"kind": "event_match", "pattern": "a" * 1_025},)},
            {"conditions": ({"kind": "x", "value": 0.5},)},
            {"conditions": ({"kind": "x"},) * 65},
            {"kind": "content"},
            {"kind": "content", "pattern": "a" * 1_025},
        ],
    )
    def test_nonsense_is_refused(self, bad):
        with pytest.raises(InvalidInput):
            editing.with_rule(DEFAULT, replace(wanted("override", "x"), **bad))

    def test_rules_and_patterns_end_somewhere(self):
        many = DEFAULT.with_rules(
            "override",
            [PushRule(f"r{index}", ()) for index in range(editing.MAX_OWN_RULES)],
        )
        with pytest.raises(TooLarge):
            editing.with_rule(many, wanted("override", "one more"))
        long = with_rules(*(wanted("content", f"r{i}", pattern="a" * 1_024) for i in range(16)))
        with pytest.raises(TooLarge):
            editing.with_rule(long, wanted("content", "one more", pattern="a"))

    def test_predefined_rules_can_be_changed_but_not_deleted(self):
        changed = editing.with_actions(DEFAULT, "underride", ".m.rule.message", LOUD)
        assert changed.find("underride", ".m.rule.message").actions == LOUD
        with pytest.raises(InvalidInput):
            editing.without_rule(DEFAULT, "underride", ".m.rule.message")

    def test_what_is_not_there_is_not_found(self):
        for edit in (
            lambda: editing.without_rule(DEFAULT, "override", "x"),
            lambda: editing.with_enabled(DEFAULT, "room", ".m.rule.master", enabled=True),
            lambda: editing.with_actions(DEFAULT, "override", "x", ()),
        ):
            with pytest.raises(NotFound):
                edit()
        with pytest.raises(InvalidInput):
            editing.found(DEFAULT, "other", "x")


class TestContent:
    """Account data `m.push_rules`."""

    def test_it_names_the_user_where_a_rule_is_about_him(self):
        shown = DEFAULT.as_json(BOB)["global"]
        mention = next(r for r in shown["override"] if r["rule_id"] == ".m.rule.is_user_mention")
        assert mention["conditions"][0]["value"] == BOB
        assert {rule["default"] for rules in shown.values() for rule in rules} == {True}

    rules = st.builds(
        wanted,
        st.sampled_from(KINDS),
        st.text(alphabet="abc", min_size=1, max_size=3),
        actions=st.sampled_from([(), NOTIFY, LOUD]),
        pattern=st.sampled_from(["x", "y*"]),
        conditions=st.sampled_from([(), ({"kind": "event_match", "key": "type", "pattern": "*"},)]),
    )

    @given(st.lists(rules, max_size=8))
    def test_what_was_written_is_read_again(self, several):
        ruleset = with_rules(*several)
        assert Ruleset.of(ruleset.as_json(BOB)) == ruleset

    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["rule_id", "actions", "conditions", "pattern", "enabled", "kind"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )

    @given(st.dictionaries(st.sampled_from(KINDS), json), json)
    def test_nonsense_does_no_harm(self, by_kind, content):
        ruleset = Ruleset.of({"global": by_kind})
        assert set(ruleset.kinds) == set(KINDS)
        Program(ruleset).outcome(view(body=content), Reader(BOB, "Bob"))
        Ruleset.of(content)

    @given(st.dictionaries(st.text(max_size=3), json, max_size=3))
    def test_nonsense_in_events_does_no_harm(self, content):
        everything = [
            wanted(
                "override",
                kind,
                conditions=(
                    {"kind": kind, "key": "content.a.b", "is": "2", "pattern": "a*", "value": "x"},
                ),
            )
            for kind in ("event_match", "event_property_is", "event_property_contains")
        ]
        bob_gets(view(**{"a": content, "m.mentions": content}), *everything)
