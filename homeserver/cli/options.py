"""Options that commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from homeserver import config
from homeserver.config import Config

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", envvar="FOYER_CONFIG", help="Configuration file (TOML)."
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Data folder, over what is configured."),
]
ServerNameOption = Annotated[
    str | None,
    typer.Option("--server-name", metavar="NAME", help="Server name, over what is configured."),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_settings(
    path: Path | None,
    *,
    data_dir: Path | None = None,
    server_name: str | None = None,
    listen: str | None = None,
    media_listen: str | None = None,
) -> Config:
    """The settings of the file, the environment and these options. Raises ConfigError."""
    overrides = {
        "server.data_dir": data_dir,
        "server.name": server_name,
        "server.bind_addr": listen,
        "media.bind_addr": media_listen,
    }
    return config.load(path, os.environ, overrides)
