"""What an operator can set: read from a TOML file, the environment and the command line.

The models in `models.py` are the only description of the settings; the example file,
`docs/config.md` and the errors about unknown keys are made from them.
"""

from homeserver.config.loading import ConfigError, load
from homeserver.config.models import (
    AppservicesConfig,
    AuthConfig,
    BridgesConfig,
    Config,
    DatabaseConfig,
    EncryptionConfig,
    GoogleChatConfig,
    LoggingConfig,
    MediaConfig,
    Policy,
    PolicyServerConfig,
    PresenceConfig,
    RateLimitsConfig,
    RoomsConfig,
    S3Config,
    SearchConfig,
    ServerConfig,
    StorageConfig,
    SupportConfig,
    TurnConfig,
    WebSocketConfig,
    WhatsAppConfig,
)
from homeserver.config.rendering import example, reference_markdown, to_toml
from homeserver.config.values import Address

__all__ = [
    "Address",
    "AppservicesConfig",
    "AuthConfig",
    "BridgesConfig",
    "Config",
    "ConfigError",
    "DatabaseConfig",
    "EncryptionConfig",
    "GoogleChatConfig",
    "LoggingConfig",
    "MediaConfig",
    "Policy",
    "PolicyServerConfig",
    "PresenceConfig",
    "RateLimitsConfig",
    "RoomsConfig",
    "S3Config",
    "SearchConfig",
    "ServerConfig",
    "StorageConfig",
    "SupportConfig",
    "TurnConfig",
    "WebSocketConfig",
    "WhatsAppConfig",
    "example",
    "load",
    "reference_markdown",
    "to_toml",
]
