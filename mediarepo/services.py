"""What the media façades may call, filled in by the composition root."""

from dataclasses import dataclass

from clientapi.authentication import Authenticator
from clientapi.rate_limits import RateLimits
from homeserver.clock import Clock
from homeserver.config import MediaConfig
from mediarepo.describing import Describing
from mediarepo.downloads import Downloads
from mediarepo.links import Links
from mediarepo.previews.previews import Previews
from mediarepo.sending import Sending
from mediarepo.thumbnail_sending import ThumbnailSending
from mediarepo.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaServices:
    """What is done, then what guards it."""

    uploads: Uploads
    downloads: Downloads
    sending: Sending
    thumbnail_sending: ThumbnailSending
    previews: Previews
    describing: Describing
    links: Links

    settings: MediaConfig
    clock: Clock
    authenticator: Authenticator
    rate_limits: RateLimits
