"""`foyer config …`: looking at settings."""

import typer

from homeserver import config as settings
from homeserver.cli import output
from homeserver.cli.options import ConfigOption, DataDirOption, JSONOption, load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Check and show the configuration.",
)


@app.command()
def check(
    config: ConfigOption = None, data_dir: DataDirOption = None, *, json: JSONOption = False
) -> None:
    """Read the configuration as `foyer serve` would, and say what is wrong with it.

    Exit code 3 if anything is.

    Examples:

    - `foyer config check --config /etc/foyer.toml`
    """
    load_settings(config, data_dir=data_dir)
    if json:
        output.print_json({"ok": True})
    else:
        output.print_line("The configuration is good.")


@app.command()
def show(
    config: ConfigOption = None, data_dir: DataDirOption = None, *, json: JSONOption = False
) -> None:
    """Print all settings as they are in effect, without secrets.

    Examples:

    - `foyer config show --config /etc/foyer.toml`
    - `FOYER__SERVER__NAME=example.org foyer config show`
    """
    loaded = load_settings(config, data_dir=data_dir)
    if json:
        output.print_json(loaded.model_dump(mode="json"))
    else:
        output.print_text(settings.to_toml(loaded))


@app.command()
def example(*, json: JSONOption = False) -> None:
    """Print a configuration file with every setting, its meaning and its default.

    Examples:

    - `foyer config example > foyer.toml`
    """
    if json:
        output.print_json({"toml": settings.example()})
    else:
        output.print_text(settings.example())
