"""`foyer serve`."""

from typing import Annotated

import typer

from homeserver.cli.options import ConfigOption, DataDirOption, ServerNameOption, load_settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

ListenOption = Annotated[
    str | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Address of clients; port 0: any."),
]


@app.command("serve")
def serve(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    listen: ListenOption = None,
    server_name: ServerNameOption = None,
) -> None:
    """Run the server until it is stopped with Ctrl-C or SIGTERM.

    It needs no configuration: the first start makes the data folder, a database in it, keys, and a
    code with which the first administrator registers.

    Examples:

    - `foyer serve`
    - `foyer serve --data-dir /var/lib/foyer --server-name example.org --listen 0.0.0.0:8081`
    - `foyer serve --config /etc/foyer.toml`
    """
    # Only this command needs the whole server; the others start faster without it.
    from homeserver.app import run  # noqa: PLC0415

    settings = load_settings(config, data_dir=data_dir, listen=listen, server_name=server_name)
    raise typer.Exit(run(settings))
