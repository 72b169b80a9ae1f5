"""What a run of all tests of the API must have shown."""

from tests.support.exercised import errors_not_shown, missing


class TestMissing:
    def test_what_nobody_asked_for(self):
        assert {"joinRoom: a success", "add3PID: a refusal"} <= set(missing([]))
        assert "joinRoom: a success" in missing([("joinRoom", 403)])

    def test_what_was_asked_for_as_it_is_meant(self):
        found = missing([("joinRoom", 200), ("add3PID", 403)])
        assert not [line for line in found if line.startswith(("joinRoom:", "add3PID:"))]

    def test_what_is_not_served_or_deprecated_is_not_asked_for(self):
        unwanted = "initialSync:", "getContent:"
        assert not [line for line in missing([]) if line.startswith(unwanted)]


class TestErrorsNotShown:
    def test_each_status_that_the_specification_names(self):
        assert "joinRoom: 403" in errors_not_shown([("joinRoom", 200)])
        assert "joinRoom: 403" not in errors_not_shown([("joinRoom", 403)])
