"""Settings: where they come from, which one wins, and what operators read when one is wrong."""

from pathlib import Path

import pytest

from homeserver.config import Config, ConfigError, example, load, reference_markdown, to_toml
from homeserver.config.settings import all_settings
from homeserver.documents import DOCUMENTS, stale
from homeserver.documents import write as write_documents

SEED = """
[server]
bind_addr = "0.0.0.0:8081"
cors_origins = ["https://app.example.com"]

[database]
url = "postgres://user:pass@localhost/chat"
max_connections = 20

[storage]
attachments_path = "/var/chat/attachments"
max_attachment_size_mb = 10

[websocket]
ping_interval_seconds = 30
max_connections_per_user = 5

[bridges.whatsapp]
enabled = false
api_url = "https://graph.facebook.com/v18.0/YOUR_PHONE_NUMBER_ID"
api_token = "YOUR_WHATSAPP_TOKEN"
webhook_secret = "YOUR_WEBHOOK_SECRET"

[bridges.googlechat]
enabled = false
credentials_path = "/etc/chat/google-credentials.json"

[logging]
level = "info"
format = "json"
"""
REPOSITORY = Path(__file__).parents[2]
JWT_SECRET = "correct horse battery staple, and more"


@pytest.fixture
def write(tmp_path):
    """Writes a configuration file and returns its path."""

    def _write(text):
        path = tmp_path / "foyer.toml"
        path.write_text(text)
        return path

    return _write


def problems(path=None, environ=None, overrides=None):
    """The sentences that a configuration is refused with."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, overrides or {})
    return caught.value.problems


class TestSources:
    def test_without_any_source_everything_has_its_default(self):
        assert load(None, {}) == Config()

    def test_the_file_of_the_native_specification_works_as_written(self, write):
        config = load(write(SEED), {})
        assert config.server.bind == ("0.0.0.0", 8081)
        assert config.server.cors_origins == ("https://app.example.com",)
        assert config.database.url.get_secret_value() == "postgres://user:pass@localhost/chat"
        assert config.database.max_connections == 20
        assert config.bridges.whatsapp.webhook_secret.get_secret_value() == "YOUR_WEBHOOK_SECRET"

    def test_the_environment_wins_over_the_file(self, write):
        path = write('[server]\nname = "file.example"\nmax_body_bytes = 5')
        config = load(path, {"FOYER__SERVER__NAME": "env.example"})
        assert (config.server.name, config.server.max_body_bytes) == ("env.example", 5)

    def test_the_command_line_wins_over_the_environment(self):
        environ = {"FOYER__SERVER__BIND_ADDR": "127.0.0.1:1"}
        config = load(None, environ, {"server.bind_addr": "[::1]:2"})
        assert config.server.bind == ("::1", 2)

    def test_an_option_that_was_not_given_overrides_nothing(self):
        config = load(None, {"FOYER__SERVER__NAME": "env.example"}, {"server.name": None})
        assert config.server.name == "env.example"

    def test_nested_tables_can_be_set_by_the_environment(self):
        config = load(None, {"FOYER__BRIDGES__WHATSAPP__API_URL": "https://graph.example"})
        assert config.bridges.whatsapp.api_url == "https://graph.example"

    @pytest.mark.parametrize(
        "text",
        ["https://a.example, https://b.example", '["https://a.example","https://b.example"]'],
    )
    def test_lists_in_the_environment_are_json_or_separated_by_commas(self, text):
        config = load(None, {"FOYER__SERVER__CORS_ORIGINS": text})
        assert config.server.cors_origins == ("https://a.example", "https://b.example")

    def test_an_empty_list_in_the_environment_empties_that_of_the_file(self, write):
        config = load(write(SEED), {"FOYER__SERVER__CORS_ORIGINS": ""})
        assert config.server.cors_origins == ()

    def test_other_variables_are_none_of_our_business(self):
        assert load(None, {"PATH": "/bin", "FOYER_CONFIG": "foyer.toml"}) == Config()


class TestSecrets:
    def test_a_secret_can_stand_in_a_file_that_the_environment_names(self, tmp_path):
        (tmp_path / "jwt").write_text(f"{JWT_SECRET}\n")
        config = load(None, {"FOYER__AUTH__JWT_SECRET_FILE": str(tmp_path / "jwt")})
        assert config.auth.jwt_secret.get_secret_value() == JWT_SECRET

    def test_a_secret_can_stand_in_a_file_that_the_configuration_names(self, write, tmp_path):
        (tmp_path / "url").write_text("postgres://db/foyer")
        config = load(write(f'[database]\nurl_file = "{tmp_path / "url"}"'), {})
        assert config.database.url.get_secret_value() == "postgres://db/foyer"

    def test_a_secret_in_the_environment_wins_over_a_secret_file_of_the_configuration(self, write):
        path = write(f'[auth]\njwt_secret = "{"x" * 32}"')
        config = load(path, {"FOYER__AUTH__JWT_SECRET": JWT_SECRET})
        assert config.auth.jwt_secret.get_secret_value() == JWT_SECRET

    def test_a_secret_and_its_file_in_one_source_contradict_each_other(self, write):
        path = write(f'[auth]\njwt_secret = "{JWT_SECRET}"\njwt_secret_file = "jwt"')
        assert problems(path) == (
            f"{path}: auth.jwt_secret_file: auth.jwt_secret is given as well; one of them must go",
        )

    def test_a_secret_file_that_cannot_be_read_is_named(self, tmp_path):
        missing = tmp_path / "missing"
        assert problems(environ={"FOYER__DATABASE__URL_FILE": str(missing)}) == (
            f"FOYER__DATABASE__URL_FILE: {missing} cannot be read: No such file or directory",
        )

    def test_only_secrets_can_stand_in_files(self):
        (problem,) = problems(environ={"FOYER__SERVER__NAME_FILE": "name"})
        assert problem.startswith("FOYER__SERVER__NAME_FILE: no such setting")

    def test_no_secret_shows_in_a_repr_or_in_what_is_printed(self):
        config = load(None, {"FOYER__AUTH__JWT_SECRET": JWT_SECRET})
        assert JWT_SECRET not in repr(config)
        assert JWT_SECRET not in to_toml(config)
        assert 'jwt_secret = "***"' in to_toml(config)

    def test_a_secret_that_is_wrong_is_not_repeated_in_the_error(self):
        environ = {"FOYER__AUTH__JWT_SECRET": "hunter2", "FOYER__DATABASE__URL": "hunter2@db"}
        with pytest.raises(ConfigError) as caught:
            load(None, environ)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


class TestProblems:
    def test_an_unknown_key_of_the_file_names_the_nearest_known_one(self, write):
        path = write("[server]\nbind_adr = '127.0.0.1:1'")
        assert problems(path) == (
            f"{path}: server.bind_adr: no such setting; did you mean server.bind_addr?",
        )

    def test_an_unknown_variable_names_the_nearest_known_one(self):
        assert problems(environ={"FOYER__SERVR__NAME": "x"}) == (
            "FOYER__SERVR__NAME: no such setting; did you mean FOYER__SERVER__NAME?",
        )

    def test_a_key_like_no_other_gets_no_suggestion(self):
        assert problems(overrides={"xyzzy": 1}) == ("command line: xyzzy: no such setting",)

    @pytest.mark.parametrize("text", ["server = 5", "[server.name]\ntext = 'x'", "[[server]]"])
    def test_a_table_in_the_wrong_place_is_an_unknown_key(self, write, text):
        assert "no such setting" in problems(write(text))[0]

    def test_all_problems_are_told_at_once(self, write):
        path = write("[server]\nnmae = 'x'\nmax_body_bytes = 'many'")
        found = problems(path, {"FOYER__LOGGING__LEVEL": "loud"})
        assert [text.partition(": ")[0] for text in found] == [
            str(path),
            str(path),
            "FOYER__LOGGING__LEVEL",
        ]

    def test_a_file_that_is_absent_is_named(self, tmp_path):
        path = tmp_path / "absent.toml"
        assert problems(path) == (f"{path}: cannot be read: No such file or directory",)

    def test_a_file_that_is_not_toml_is_told_where(self, write):
        (problem,) = problems(write("[server\n"))
        assert "is not TOML" in problem
        assert "line 1" in problem

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("server.name", "not a name"),
            ("server.bind_addr", "8081"),
            ("server.bind_addr", "::1:8081"),
            ("server.bind_addr", "localhost:65536"),
            ("server.metrics_addr", "localhost"),
            ("server.public_url", "chat.example.org"),
            ("server.cors_origins", ["https://app.example.com/"]),
            ("server.cors_origins", ["app.example.com"]),
            ("server.cors_origins", "[1"),
            ("server.trusted_proxies", ["10.0.0.0/33"]),
            ("database.url", "mysql://db/foyer"),
            ("database.max_connections", 0),
            ("auth.jwt_secret", "short"),
            ("auth.registration", "sometimes"),
            ("websocket.ping_interval_seconds", 0),
            ("websocket.ping_interval_seconds", float("inf")),
            ("websocket.max_frame_bytes", 32_768),
            ("logging.format", "xml"),
        ],
    )
    def test_a_value_out_of_range_is_refused(self, key, value):
        assert problems(overrides={key: value})

    @pytest.mark.parametrize(
        ("key", "network"),
        [("bridges.whatsapp.enabled", "WhatsApp"), ("bridges.googlechat.enabled", "Google Chat")],
    )
    def test_a_bridge_that_does_not_exist_cannot_be_enabled(self, key, network):
        (problem,) = problems(overrides={key: True})
        assert problem.startswith(f"command line: {key}: must be false")
        assert f"no {network} bridge yet" in problem


class TestRendering:
    def test_what_is_printed_loads_as_the_same_configuration(self, write):
        config = load(write(SEED), {"FOYER__SERVER__TRUSTED_PROXIES": "10.0.0.0/8,::1"})
        assert load(write(to_toml(config, redact=False)), {}) == config

    def test_strings_survive_being_printed(self, write):
        config = load(None, {"FOYER__STORAGE__ATTACHMENTS_PATH": 'a"b\\c\td\x7fé😀'})
        assert load(write(to_toml(config)), {}) == config

    def test_the_example_changes_nothing(self, write):
        assert load(write(example()), {}) == Config()

    def test_the_example_shows_every_key_with_its_default(self, write):
        lines = [
            line.removeprefix("#") for line in example().splitlines() if not line.startswith("# ")
        ]
        path = write("\n".join(lines))
        assert load(path, {}) == Config()
        assert sum(" = " in line for line in lines) == len(list(all_settings()))

    def test_every_key_is_described(self):
        assert [setting.key for setting in all_settings() if not setting.description] == []

    def test_the_reference_names_every_key(self):
        page = reference_markdown()
        assert [s.key for s in all_settings() if f"`{s.name}`" not in page] == []


class TestTables:
    """Settings that are lists of tables, and what must fit together."""

    TERMS = """
        [[auth.terms]]
        id = "rules"
        version = "1"
        name = "Rules"
        url = "https://example.org/rules"
    """

    def test_documents_to_accept_are_tables(self, write):
        (policy,) = load(write(self.TERMS), {}).auth.terms
        assert (policy.id, policy.language) == ("rules", "en")

    def test_or_json_in_the_environment(self):
        text = '[{"id": "rules", "version": "1", "name": "R", "url": "https://example.org/r"}]'
        assert load(None, {"FOYER__AUTH__TERMS": text}).auth.terms[0].name == "R"

    def test_what_is_printed_is_read_again(self, write):
        config = load(write(self.TERMS), {})
        assert load(write(to_toml(config)), {}) == config

    def test_turn_servers_need_a_secret(self, write):
        (problem,) = problems(write('[turn]\nuris = ["turn:turn.example.org"]'))
        assert "shared_secret is missing" in problem

    @pytest.mark.parametrize(("word", "meaning"), [("invite", "token"), ("token", "token")])
    def test_invite_is_another_word_for_token(self, write, word, meaning):
        assert load(write(f'[auth]\nregistration = "{word}"'), {}).auth.registration == meaning


class TestGeneratedDocuments:
    @pytest.fixture
    def root(self, tmp_path):
        """A folder with the documents of this repository."""
        for path in DOCUMENTS:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text((REPOSITORY / path).read_text())
        write_documents(tmp_path)
        return tmp_path

    def test_what_was_written_is_not_stale(self, root):
        assert stale(root) == {}

    def test_a_document_that_was_edited_is_stale_until_it_is_written_again(self, root):
        (root / "docs/config.md").write_text("# Mine")
        assert list(stale(root)) == ["docs/config.md"]
        write_documents(root)
        assert (root / "docs/config.md").read_text() == reference_markdown()
