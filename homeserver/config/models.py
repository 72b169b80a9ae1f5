"""The settings as models: types, limits, defaults, and the descriptions that operators read."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from homeserver.config.values import (
    Address,
    BindAddress,
    Count,
    DatabaseURL,
    JWTSecret,
    Networks,
    OptionalBindAddress,
    OptionalMoment,
    OptionalPublicURL,
    Origins,
    Paths,
    Ports,
    PublicURL,
    Rate,
    Registrations,
    Seconds,
    ServerNameText,
    TurnURIs,
    from_text,
    parse_moment,
)

_NO_SECRET = SecretStr("")


class Policy(BaseModel):
    """A document that people accept to get an account."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    version: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=255)
    url: PublicURL
    language: str = Field(default="en", pattern=r"^[A-Za-z0-9_-]{2,16}$")


Policies = Annotated[tuple[Policy, ...], BeforeValidator(from_text)]


class Section(BaseModel):
    """One table of the configuration file. Unknown keys and NaN are errors; values are frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class ServerConfig(Section):
    """Who this server is and where it listens."""

    name: ServerNameText = "localhost"
    """Server name: the part after the colon of every user ID. It cannot change once there are \
users."""
    bind_addr: BindAddress = "127.0.0.1:8081"
    """Address and port of clients, `host:port`. Port 0 lets the system choose one."""
    public_url: OptionalPublicURL = ""
    """Address that clients know this server by, if a proxy stands in front of it."""
    data_dir: Path = Path("foyer-data")
    """Folder for what the server keeps itself: keys, and the embedded database."""
    cors_origins: Origins = ()
    """Origins whose pages may call this server from a browser; `*` allows every origin."""
    trusted_proxies: Networks = ()
    """Networks (CIDR) of proxies whose `X-Forwarded-For` is believed."""
    metrics_addr: OptionalBindAddress = ""
    """Address and port of `/metrics`; empty serves it at `bind_addr`, to whoever can reach that."""
    max_body_bytes: Count = 1_048_576
    """Largest body of a request, in bytes."""
    shutdown_grace_seconds: Seconds = 10.0
    """How long a stopping server lets requests and connections finish."""

    @property
    def bind(self) -> Address:
        return Address.parse(self.bind_addr)

    @property
    def metrics_bind(self) -> Address | None:
        """Where `/metrics` has a listener of its own, if it has."""
        return Address.parse(self.metrics_addr) if self.metrics_addr else None


class DatabaseConfig(Section):
    """PostgreSQL: an external one, or one that comes with Foyer."""

    url: DatabaseURL = _NO_SECRET
    """`postgres://user:password@host/name`; empty starts the embedded PostgreSQL in the data \
folder."""
    max_connections: Count = 10
    """Connections in the pool."""
    statement_timeout_seconds: Seconds = 30.0
    """A statement that runs longer is cancelled."""
    acquire_timeout_seconds: Seconds = 5.0
    """How long a request waits for a free connection before it is refused."""


class AuthConfig(Section):
    """Accounts, passwords and tokens."""

    registration: Registrations = "closed"
    """Who may register: nobody (an administrator makes accounts), holders of an invitation code \
(which the Matrix API calls a registration token), or everybody."""
    registration_shared_secret: SecretStr = _NO_SECRET
    """Who knows it may make accounts at `/_synapse/admin/v1/register`; empty switches that off."""
    guests: bool = False
    """Whether people may look around as guests, without an account of their own."""
    terms: Policies = ()
    """Documents to accept for an account over the Matrix API: tables with `id`, `version`, \
`name`, `url`, and `language` (`en` if it is missing)."""
    login_tokens: bool = False
    """Whether people who are logged in may get a token that logs in another client, once."""
    login_token_ttl_seconds: Count = 120
    """Lifetime of such a token."""
    jwt_secret: JWTSecret = _NO_SECRET
    """Key that signs access tokens, at least 32 bytes; empty makes one at the first start and \
keeps it in the data folder."""
    access_token_ttl_seconds: Count = 86_400
    """Lifetime of an access token that can be refreshed; one for a client of the Matrix API that \
cannot refresh lasts for as long as its session is used."""
    refresh_token_ttl_days: Count = 90
    """A session that is not used for so long ends."""
    ticket_ttl_seconds: Count = 30
    """Lifetime of a ticket that opens one WebSocket without an `Authorization` header."""
    password_min_length: int = Field(default=8, ge=1, le=128)
    """Fewest characters of a new password."""
    argon2_time_cost: Count = 2
    """Argon2id: passes."""
    argon2_memory_kib: int = Field(default=19_456, ge=8)
    """Argon2id: memory of one hash, in KiB."""
    argon2_parallelism: Count = 1
    """Argon2id: lanes."""
    password_workers: Count = 2
    """Passwords that are hashed at the same time; others wait."""

    @model_validator(mode="after")
    def _argon2_has_memory(self) -> Self:
        """RFC 9106, 3.1: memory is at least 8 KiB for each lane."""
        if self.argon2_memory_kib < 8 * self.argon2_parallelism:
            raise ValueError("argon2_memory_kib must be at least 8 times argon2_parallelism")
        return self


class RoomsConfig(Section):
    """Limits of rooms and messages."""

    default_version: str = Field(default="12", pattern=r"^[0-9]{1,3}$")
    """Matrix room version of new rooms."""
    max_initial_members: int = Field(default=10_000, ge=1, le=10_000)
    """Most users that a request for a new room may name."""
    max_initial_invites: int = Field(default=100, ge=1, le=1_000)
    """Most people that a request of the Matrix API for a new room may invite."""
    max_message_bytes: int = Field(default=32_768, ge=1, le=60_000)
    """Largest content of a message, in bytes of UTF-8; an event as a whole has at most 65,536."""
    keep_deleted_days: float = Field(default=30.0, ge=0)
    """A deleted room can be brought back by hand for so long; then all that was in it goes."""
    typing_timeout_seconds: Seconds = 8.0
    """Who does not repeat `typing.start` for so long has stopped typing."""


class WebSocketConfig(Section):
    """Connections of native clients."""

    ping_interval_seconds: Seconds = 30.0
    """Time between two pings of the server."""
    pong_timeout_seconds: Seconds = 20.0
    """A connection that does not answer a ping for so long is closed."""
    max_connections_per_user: Count = 5
    """Open connections of one user; one more is refused."""
    max_frame_bytes: int = Field(default=131_072, ge=1024)
    """Largest frame of a client. JSON escapes may make a message three times as long."""
    max_pending_bytes: int = Field(default=1_048_576, ge=65_536)
    """A client that has so much waiting for it reads too slowly and is disconnected; it loses \
nothing, because it can resume."""
    resume_max_events: Count = 5000
    """Most events that a client gets when it resumes; one that missed more starts afresh."""
    frames_per_second: Rate = 200.0
    """Frames of one connection, on average."""
    frames_burst: Count = 400
    """Frames of one connection, at once."""


class PresenceConfig(Section):
    """Who is online."""

    enabled: bool = True
    """Whether presence is kept and told at all."""
    offline_after_seconds: Seconds = 5.0
    """A user whose last connection closed is offline after so long."""
    sync_grace_seconds: Seconds = 30.0
    """A Matrix device counts as there for so long after a sync."""
    idle_after_seconds: Seconds = 300.0
    """Who is online with Matrix devices only and does nothing for so long is away."""
    max_room_members: Count = 250
    """Presence is told through rooms of up to so many members."""


class RateLimitsConfig(Section):
    """How much one user or one address may ask for. Rates are averages, bursts are at once."""

    enabled: bool = True
    """Whether there are limits; switch them off only for measurements."""
    messages_per_second: Rate = 50.0
    """Messages of one user."""
    messages_burst: Count = 200
    """Messages of one user, at once."""
    requests_per_second: Rate = 100.0
    """Requests of one user."""
    requests_burst: Count = 400
    """Requests of one user, at once."""
    address_requests_per_second: Rate = 200.0
    """Requests from one address."""
    address_requests_burst: Count = 1000
    """Requests from one address, at once."""
    login_failures_per_minute: Rate = 5.0
    """Failed logins to one account from one address."""
    login_failures_burst: Count = 10
    """Failed logins to one account from one address, at once."""
    registrations_per_hour: Rate = 20.0
    """New accounts from one address."""
    registrations_burst: Count = 20
    """New accounts from one address, at once."""


class SearchConfig(Section):
    """Full-text search in messages."""

    enabled: bool = True
    """Whether messages can be searched."""


class EncryptionConfig(Section):
    """End-to-end encryption: what the server keeps for devices."""

    stale_device_days: int = Field(default=0, ge=0)
    """Devices that were not used for so many days are logged out, with their keys and messages. \
0: only those whose session ends."""


class StorageConfig(Section):
    """Attachments, which Matrix calls media; `[media]` has everything else about them."""

    attachments_path: str = ""
    """Folder for attachments; empty: `media` in the data folder."""
    max_attachment_size_mb: Count = 50
    """Largest attachment, in MiB."""


class ThumbnailsConfig(Section):
    """Thumbnails, and what is found out about pictures, in processes apart from the server."""

    workers: Count = 1
    """Processes that work on pictures at the same time."""
    max_waiting: Count = 200
    """Pictures that may wait for one; then requests are refused for the moment."""
    timeout_seconds: Seconds = 20.0
    """A picture that takes longer is given up."""
    max_memory_mb: int = Field(default=1024, ge=256)
    """Address space of a process, in MiB. A picture of 100 megapixels takes about 500."""
    max_megapixels: Count = 100
    """A picture with more pixels (all frames of an animation together) gets no thumbnail."""
    max_frames: Count = 500
    """An animation with more frames gets a still thumbnail."""
    max_file_mb: Count = 100
    """A larger file gets no thumbnail, in MiB."""
    at_upload: bool = True
    """Whether the sizes that most clients ask for (96×96 cut, 800×600) are made when a picture is
    uploaded. Others are made when somebody first asks for them."""
    keep_days: Count = 90
    """A thumbnail goes after so long, and is made again when somebody wants it."""


class PreviewsConfig(Section):
    """Previews of links: the server asks other sites for people who write to each other."""

    enabled: bool = False
    """Whether there are any."""
    allowed_networks: Networks = ()
    """Networks (CIDR) that may be asked although they are not public."""
    denied_networks: Networks = ()
    """Networks (CIDR) that are never asked, besides all that are not public."""
    ports: Ports = (80, 443)
    """Ports that may be asked."""
    max_page_kb: Count = 1024
    """How much of a page is read, in KiB; what stands later is not looked at."""
    max_image_mb: Count = 10
    """Largest picture of a page, in MiB."""
    timeout_seconds: Seconds = 15.0
    """How long making a preview may take."""
    max_concurrent: Count = 20
    """Previews that are made at the same time; further requests are refused for the moment."""
    per_minute: Rate = 10.0
    """New previews for one user."""
    burst: Count = 30
    """New previews for one user, at once."""
    keep_hours: Count = 24
    """A preview is kept for so long, and that there is none for an hour at most."""
    max_kept: Count = 20_000
    """Previews that are kept; beyond that the oldest go first."""
    accept_language: str = Field(default="en", pattern=r"^[A-Za-z0-9,;=.* -]{1,100}$")
    """Which languages pages are asked for: an `Accept-Language` header."""


class S3Config(Section):
    """A bucket for attachments, with `media.store = "s3"`."""

    bucket: str = ""
    """Name of the bucket."""
    endpoint: OptionalPublicURL = ""
    """Address of a service that is not Amazon's."""
    region: str = "us-east-1"
    """Region of the bucket."""
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$")
    """Folder in the bucket; empty: the bucket is for this alone."""
    access_key_id: SecretStr = _NO_SECRET
    """Access key."""
    secret_access_key: SecretStr = _NO_SECRET
    """Secret that belongs to it."""


class MediaConfig(Section):
    """The media repository: attachments of both protocols."""

    in_process: bool = True
    """Whether `foyer serve` serves media itself; else `foyer media` does, and a proxy tells them \
apart."""
    bind_addr: BindAddress = "127.0.0.1:8082"
    """Address and port of `foyer media`."""
    public_url: OptionalPublicURL = ""
    """Address of their own by which clients reach media; empty: a proxy tells them apart."""
    internal_url: OptionalPublicURL = ""
    """Where `foyer serve` reaches `foyer media`, if that has a `public_url`; empty: `bind_addr`."""
    max_connections: Count = 10
    """Connections of `foyer media` to the database."""
    store: Literal["filesystem", "s3"] = "filesystem"
    """Where new files go. What is elsewhere is served still; `foyer media move` brings it here."""
    unauthenticated: bool = False
    """Whether the old endpoints serve files to everybody who knows their address."""
    unauthenticated_before: OptionalMoment = ""
    """Only files that came before this moment (`2026-01-31` or `2026-01-31T12:00:00Z`) are served \
so: the freeze of Matrix 1.12."""
    quota_user_mb: int = Field(default=0, ge=0)
    """Most that one user may keep here, in MiB; 0: anything."""
    quota_day_mb: int = Field(default=0, ge=0)
    """Most that one user may upload in 24 hours, in MiB; 0: anything."""
    uploads_at_once: Count = 16
    """Uploads of one user at the same time."""
    pending_uploads: Count = 50
    """Addresses of one user to which nothing was uploaded yet."""
    pending_hours: Count = 24
    """How long such an address waits for its file."""
    max_wait_seconds: Seconds = 60.0
    """Longest that a download waits for a file that is not uploaded yet."""
    stalled_seconds: Seconds = 60.0
    """An upload of which nothing comes for so long is given up."""
    keep_unreferenced_days: float = Field(default=7.0, ge=0)
    """A file goes so long after the last message with it was deleted."""
    keep_unused_days: float = Field(default=0.0, ge=0)
    """A file that no message ever named goes after so long; 0: never, for the server cannot see \
what encrypted messages name."""
    keep_local_days: float = Field(default=0.0, ge=0)
    """A file of this server's users that nobody looked at for so long goes; 0: never."""
    keep_remote_days: float = Field(default=90.0, ge=0)
    """A copy of another server's file that nobody looked at for so long goes; 0: never."""
    s3: S3Config = S3Config()
    thumbnails: ThumbnailsConfig = ThumbnailsConfig()
    previews: PreviewsConfig = PreviewsConfig()

    @property
    def frozen_at_ms(self) -> int | None:
        """When the old endpoints were frozen, in milliseconds since the epoch."""
        text = self.unauthenticated_before
        return round(parse_moment(text).timestamp() * 1000) if text else None

    @property
    def reached_at(self) -> str:
        """Where `foyer serve` reaches `foyer media`."""
        return self.internal_url or f"http://{self.bind_addr}"

    @model_validator(mode="after")
    def _is_apart(self) -> Self:
        if self.public_url and self.in_process:
            raise ValueError(
                "public_url is for media in a process of their own: in_process = false"
            )
        return self

    @model_validator(mode="after")
    def _has_a_bucket(self) -> Self:
        if self.store == "s3" and not self.s3.bucket:
            raise ValueError("media.s3.bucket is missing")
        return self


class WhatsAppConfig(Section):
    """The WhatsApp bridge. This version has none yet: `enabled` must be false."""

    enabled: bool = False
    """Whether the bridge runs."""
    api_url: str = ""
    """Address of the WhatsApp Cloud API with the phone number ID."""
    api_token: SecretStr = _NO_SECRET
    """Token of the WhatsApp Cloud API."""
    webhook_secret: SecretStr = _NO_SECRET
    """Secret that signs the webhooks."""

    @field_validator("enabled")
    @classmethod
    def _is_off(cls, enabled: bool) -> bool:  # noqa: FBT001 - the signature is pydantic's
        return _bridge_is_off(enabled, "WhatsApp")


class GoogleChatConfig(Section):
    """The Google Chat bridge. This version has none yet: `enabled` must be false."""

    enabled: bool = False
    """Whether the bridge runs."""
    credentials_path: str = ""
    """File with the credentials of the service account."""

    @field_validator("enabled")
    @classmethod
    def _is_off(cls, enabled: bool) -> bool:  # noqa: FBT001 - the signature is pydantic's
        return _bridge_is_off(enabled, "Google Chat")


def _bridge_is_off(enabled: bool, network: str) -> bool:  # noqa: FBT001
    if enabled:
        raise ValueError(f"must be false: this version of Foyer has no {network} bridge yet")
    return enabled


class BridgesConfig(Section):
    """Bridges to other networks."""

    whatsapp: WhatsAppConfig = WhatsAppConfig()
    googlechat: GoogleChatConfig = GoogleChatConfig()


class LoggingConfig(Section):
    """What the server writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important lines that are written."""
    format: Literal["json", "console"] = "json"
    """`json`: one object a line, for machines; `console`: for people."""


class SupportConfig(Section):
    """Whom people can turn to for help: `/.well-known/matrix/support`."""

    admin_email: str = ""
    """E-mail address of the administrators."""
    admin_matrix_id: str = Field(default="", pattern=r"^(@[^:\s]+:\S+)?$")
    """Matrix user ID of an administrator."""
    security_email: str = ""
    """E-mail address for reports about security."""
    page: OptionalPublicURL = ""
    """A page with help."""


class TurnConfig(Section):
    """TURN servers for calls, such as coturn with `use-auth-secret`."""

    uris: TurnURIs = ()
    """Addresses, for instance `turn:turn.example.org?transport=udp`; none switches this off."""
    shared_secret: SecretStr = _NO_SECRET
    """coturn's `static-auth-secret`: credentials are made from it for each user."""
    ttl_seconds: Count = 86_400
    """How long credentials are good."""

    @model_validator(mode="after")
    def _has_a_secret(self) -> Self:
        if self.uris and not self.shared_secret.get_secret_value():
            raise ValueError("shared_secret is missing: credentials are made from it")
        return self


class PolicyServerConfig(Section):
    """A policy server of this server's name: `/.well-known/matrix/policy_server`."""

    ed25519_public_key: str = Field(default="", pattern=r"^[A-Za-z0-9+/_-]*$")
    """Its public key, in unpadded base64; empty: there is none."""


class AppservicesConfig(Section):
    """Application services of the Matrix network: bridges and bots that stand for many users."""

    registration_files: Paths = ()
    """Registration files (YAML), one for each application service."""
    ping_timeout_seconds: Seconds = 60.0
    """How long an application service may take to answer a ping."""


class Config(Section):
    """All settings."""

    server: ServerConfig = ServerConfig()
    database: DatabaseConfig = DatabaseConfig()
    auth: AuthConfig = AuthConfig()
    rooms: RoomsConfig = RoomsConfig()
    websocket: WebSocketConfig = WebSocketConfig()
    presence: PresenceConfig = PresenceConfig()
    rate_limits: RateLimitsConfig = RateLimitsConfig()
    search: SearchConfig = SearchConfig()
    encryption: EncryptionConfig = EncryptionConfig()
    storage: StorageConfig = StorageConfig()
    media: MediaConfig = MediaConfig()
    bridges: BridgesConfig = BridgesConfig()
    appservices: AppservicesConfig = AppservicesConfig()
    turn: TurnConfig = TurnConfig()
    support: SupportConfig = SupportConfig()
    policy_server: PolicyServerConfig = PolicyServerConfig()
    logging: LoggingConfig = LoggingConfig()

    @property
    def media_dir(self) -> Path:
        """Folder for attachments."""
        path = self.storage.attachments_path
        return Path(path) if path else self.server.data_dir / "media"

    @model_validator(mode="after")
    def _a_frame_holds_a_message(self) -> Self:
        if self.websocket.max_frame_bytes <= self.rooms.max_message_bytes:
            raise ValueError(
                "websocket.max_frame_bytes must be larger than rooms.max_message_bytes"
            )
        return self
