"""User-interactive authentication as a state machine."""

from clientapi.matrix.auth_stages import (
    DUMMY,
    OWN_PASSWORD,
    PASSWORD,
    REGISTRATION_TOKEN,
    TERMS,
    Flows,
    policies_of,
    registration_flows,
)
from homeserver.config import Policy

TWO = Flows((("a", "b"), ("a", "c")), {"c": {"key": "value"}})
RULES = Policy(id="rules", version="2", name="Rules", url="https://example.org/rules")
REGLES = RULES.model_copy(update={"language": "fr", "name": "Règles"})


class TestFlows:
    """C-S API v1.19 "User-interactive API in the REST API"."""

    def test_stages_are_completed_in_order(self):
        assert TWO.allow((), "a")
        assert not TWO.allow((), "b")
        assert TWO.allow(("a",), "b")
        assert TWO.allow(("a",), "c")

    def test_one_flow_suffices(self):
        assert not TWO.are_complete(("a",))
        assert TWO.are_complete(("a", "c"))

    def test_stages_of_two_flows_do_not_mix(self):
        assert not TWO.allow(("a", "b"), "c")

    def test_a_client_is_told_what_there_is_and_what_is_done(self):
        assert TWO.challenge("s", ("a",)) == {
            "session": "s",
            "flows": [{"stages": ["a", "b"]}, {"stages": ["a", "c"]}],
            "params": {"c": {"key": "value"}},
            "completed": ["a"],
        }

    def test_at_first_nothing_is_said_of_completion(self):
        assert "completed" not in OWN_PASSWORD.challenge("s", ())
        assert OWN_PASSWORD.has(PASSWORD)


class TestRegistration:
    def test_when_everybody_may_register_there_is_a_stage_nevertheless(self):
        assert registration_flows(needs_token=False, policies={}).flows == ((DUMMY,),)

    def test_a_token_comes_before_terms(self):
        flows = registration_flows(needs_token=True, policies=policies_of([RULES]))
        assert flows.flows == ((REGISTRATION_TOKEN, TERMS),)

    def test_documents_are_told_by_language(self):
        assert registration_flows(
            needs_token=False, policies=policies_of([RULES, REGLES])
        ).params == {
            TERMS: {
                "policies": {
                    "rules": {
                        "version": "2",
                        "en": {"name": "Rules", "url": "https://example.org/rules"},
                        "fr": {"name": "Règles", "url": "https://example.org/rules"},
                    }
                }
            }
        }
