"""pushrules.yaml."""

import pytest

from tests.support.matrix_server import MatrixUser, q

GLOBAL = "v3/pushrules/global"
PING = {"actions": ["notify"], "pattern": "ping"}


async def own(user: MatrixUser, kind: str) -> list[str]:
    """IDs of the rules that the user made, the most important first."""
    rules = (await user.get("v3/pushrules/"))["global"][kind]
    return [rule["rule_id"] for rule in rules if not rule["default"]]


class TestGetPushRules:
    """getPushRules, getPushRulesGlobal."""

    async def test_everybody_has_the_predefined_rules(self, alice):
        rules = (await alice.get("v3/pushrules/"))["global"]
        assert [rule["rule_id"] for rule in rules["override"]][:2] == [
            ".m.rule.master",
            ".m.rule.suppress_notices",
        ]
        assert len(rules["override"]) == 10
        assert len(rules["underride"]) == 5
        assert rules["content"] == rules["room"] == rules["sender"] == []

    async def test_rules_name_the_user_they_are_for(self, alice):
        rule = await alice.get(f"{GLOBAL}/override/.m.rule.is_user_mention")
        assert rule["conditions"][0]["value"] == alice.user_id

    async def test_the_global_ruleset_is_the_same(self, alice):
        await alice.put(f"{GLOBAL}/content/ping", PING)
        everything = await alice.get("v3/pushrules/")
        assert await alice.get(f"{GLOBAL}/") == everything["global"]

    async def test_everybody_has_their_own(self, server, alice):
        bob = await server.registers("bob")
        await alice.put(f"{GLOBAL}/content/ping", PING)
        assert await own(bob, "content") == []

    async def test_they_need_a_token(self, server):
        for path in ("v3/pushrules/", f"{GLOBAL}/"):
            assert await server.nobody.is_refused("GET", path, status=401) == "M_MISSING_TOKEN"

    async def test_they_are_account_data(self, alice):
        await alice.put(f"{GLOBAL}/content/ping", PING)
        path = f"v3/user/{q(alice.user_id)}/account_data/m.push_rules"
        assert await alice.get(path) == await alice.get("v3/pushrules/")


class TestGetPushRule:
    async def test_a_rule_is_shown(self, alice):
        await alice.put(f"{GLOBAL}/content/ping", PING)
        rule = await alice.get(f"{GLOBAL}/content/ping")
        assert rule == PING | {"rule_id": "ping", "default": False, "enabled": True}

    async def test_what_is_not_there_is_not_found(self, alice):
        for path in ("content/ping", "room/.m.rule.master", "override/none"):
            code = await alice.is_refused("GET", f"{GLOBAL}/{path}", status=404)
            assert code == "M_NOT_FOUND"

    async def test_there_are_no_other_kinds(self, alice):
        code = await alice.is_refused("GET", f"{GLOBAL}/device/x", status=400)
        assert code == "M_INVALID_PARAM"


class TestSetPushRule:
    async def test_each_kind_has_what_it_needs(self, alice):
        condition = {"kind": "room_member_count", "is": "<=10"}
        await alice.put(f"{GLOBAL}/override/a", {"actions": [], "conditions": [condition]})
        await alice.put(f"{GLOBAL}/underride/b", {"actions": ["notify"]})
        await alice.put(f"{GLOBAL}/content/c", PING)
        await alice.put(f"{GLOBAL}/room/{q('!room:example.org')}", {"actions": []})
        await alice.put(f"{GLOBAL}/sender/{q('@bob:example.org')}", {"actions": []})
        rules = (await alice.get("v3/pushrules/"))["global"]
        assert rules["override"][1]["conditions"] == [condition]
        assert rules["underride"][0]["conditions"] == []
        assert [rule["rule_id"] for rule in rules["room"]] == ["!room:example.org"]
        assert [rule["rule_id"] for rule in rules["sender"]] == ["@bob:example.org"]

    async def test_a_new_rule_comes_first_unless_a_place_is_named(self, alice):
        for rule_id in ("c", "b", "a"):
            await alice.put(f"{GLOBAL}/content/{rule_id}", PING)
        await alice.put(f"{GLOBAL}/content/x", PING, before="b")
        await alice.put(f"{GLOBAL}/content/y", PING, after="b")
        await alice.put(f"{GLOBAL}/content/z", PING, before="c", after="a")
        assert await own(alice, "content") == ["a", "x", "b", "y", "z", "c"]

    async def test_a_rule_with_the_same_id_is_changed(self, alice):
        for rule_id in ("b", "a"):
            await alice.put(f"{GLOBAL}/content/{rule_id}", PING)
        await alice.put(f"{GLOBAL}/content/b/enabled", {"enabled": False})
        await alice.put(f"{GLOBAL}/content/b", {"actions": [], "pattern": "pong"})
        assert await own(alice, "content") == ["a", "b"]
        rule = await alice.get(f"{GLOBAL}/content/b")
        assert (rule["pattern"], rule["enabled"]) == ("pong", False)

    async def test_a_place_beside_nothing_is_told_so(self, alice):
        for neighbour in ("someRuleId", ".m.rule.message"):
            path = f"{GLOBAL}/underride/x"
            code = await alice.is_refused(
                "PUT", path, {"actions": []}, status=400, before=neighbour
            )
            assert code == "M_UNKNOWN"
        assert await own(alice, "underride") == []

    @pytest.mark.parametrize("rule_id", [".mine", ".m.rule.message", "a%2Fb", "a%5Cb", "a" * 256])
    async def test_bad_ids_are_refused(self, alice, rule_id):
        path = f"{GLOBAL}/underride/{rule_id}"
        assert await alice.is_refused("PUT", path, {"actions": []}, status=400) == "M_INVALID_PARAM"

    @pytest.mark.parametrize(
        ("kind", "body", "code"),
        [
            ("content", {"actions": []}, "M_INVALID_PARAM"),
            ("content", {"actions": [], "pattern": 7}, "M_BAD_JSON"),
            ("content", {"pattern": "x"}, "M_BAD_JSON"),
            ("override", {"actions": "notify"}, "M_BAD_JSON"),
            ("override", {"actions": [7]}, "M_BAD_JSON"),
            ("override", {"actions": ["shout"]}, "M_INVALID_PARAM"),
            ("override", {"actions": [], "conditions": [{}]}, "M_INVALID_PARAM"),
            ("override", {"actions": [], "conditions": ["x"]}, "M_BAD_JSON"),
            ("other", {"actions": []}, "M_INVALID_PARAM"),
            ("override", b"{", "M_NOT_JSON"),
            ("override", [], "M_BAD_JSON"),
        ],
    )
    async def test_nonsense_is_refused(self, alice, kind, body, code):
        assert await alice.is_refused("PUT", f"{GLOBAL}/{kind}/x", body, status=400) == code

    async def test_rules_do_not_grow_for_ever(self, alice):
        body = {"actions": [], "pattern": "a" * 1_024}
        for number in range(16):
            await alice.put(f"{GLOBAL}/content/r{number}", body)
        code = await alice.is_refused("PUT", f"{GLOBAL}/content/more", body, status=413)
        assert code == "M_TOO_LARGE"

    async def test_conditions_that_nobody_knows_are_kept(self, alice):
        condition = {"kind": "org.example.full_moon", "phase": 7}
        await alice.put(f"{GLOBAL}/override/x", {"actions": [], "conditions": [condition]})
        assert (await alice.get(f"{GLOBAL}/override/x"))["conditions"] == [condition]

    async def test_historical_actions_go(self, alice):
        await alice.put(f"{GLOBAL}/override/x", {"actions": ["dont_notify"]})
        assert (await alice.get(f"{GLOBAL}/override/x"))["actions"] == []


class TestDeletePushRule:
    async def test_a_rule_goes(self, alice):
        await alice.put(f"{GLOBAL}/content/ping", PING)
        await alice.delete(f"{GLOBAL}/content/ping")
        assert await own(alice, "content") == []
        code = await alice.is_refused("DELETE", f"{GLOBAL}/content/ping", status=404)
        assert code == "M_NOT_FOUND"

    async def test_predefined_rules_stay(self, alice):
        path = f"{GLOBAL}/underride/.m.rule.message"
        assert await alice.is_refused("DELETE", path, status=400) == "M_INVALID_PARAM"
        assert (await alice.get(path))["enabled"]


class TestEnabled:
    """isPushRuleEnabled, setPushRuleEnabled."""

    @pytest.mark.parametrize("path", ["underride/.m.rule.message", "content/ping"])
    async def test_a_rule_is_switched_off_and_on(self, alice, path):
        await alice.put(f"{GLOBAL}/content/ping", PING)
        for enabled in (False, True):
            await alice.put(f"{GLOBAL}/{path}/enabled", {"enabled": enabled})
            assert await alice.get(f"{GLOBAL}/{path}/enabled") == {"enabled": enabled}
            assert (await alice.get(f"{GLOBAL}/{path}"))["enabled"] == enabled

    async def test_what_is_not_there_is_not_found(self, alice):
        path = f"{GLOBAL}/content/none/enabled"
        assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"
        code = await alice.is_refused("PUT", path, {"enabled": True}, status=404)
        assert code == "M_NOT_FOUND"

    async def test_it_is_true_or_false(self, alice):
        path = f"{GLOBAL}/underride/.m.rule.message/enabled"
        for body in ({}, {"enabled": "yes"}, {"enabled": 1}):
            assert await alice.is_refused("PUT", path, body, status=400) == "M_BAD_JSON"


class TestActions:
    """getPushRuleActions, setPushRuleActions."""

    @pytest.mark.parametrize("path", ["underride/.m.rule.message", "content/ping"])
    async def test_what_a_rule_does_is_changed(self, alice, path):
        await alice.put(f"{GLOBAL}/content/ping", PING)
        actions = ["notify", {"set_tweak": "sound", "value": "bing"}, {"set_tweak": "highlight"}]
        await alice.put(f"{GLOBAL}/{path}/actions", {"actions": actions})
        assert await alice.get(f"{GLOBAL}/{path}/actions") == {"actions": actions}

    async def test_what_is_not_there_is_not_found(self, alice):
        path = f"{GLOBAL}/content/none/actions"
        assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"
        assert await alice.is_refused("PUT", path, {"actions": []}, status=404) == "M_NOT_FOUND"

    async def test_unknown_actions_are_refused(self, alice):
        path = f"{GLOBAL}/underride/.m.rule.message/actions"
        code = await alice.is_refused("PUT", path, {"actions": ["shout"]}, status=400)
        assert code == "M_INVALID_PARAM"
