"""The parts of a machine, built once, by name."""

from dataclasses import dataclass

from e2e.client.account import OwnDevice
from e2e.client.cross_signing import OwnIdentity
from e2e.client.device_tracking import DeviceTracking
from e2e.client.inbound_groups import InboundGroups
from e2e.client.key_backup import KeyBackup
from e2e.client.key_bundles import KeyBundles
from e2e.client.key_requests import KeyRequests
from e2e.client.key_sharing import Audience, KeySharing
from e2e.client.olm_events import OlmEvents
from e2e.client.outbound_groups import OutboundGroups
from e2e.client.outbox import Outbox
from e2e.client.primitives import Entropy
from e2e.client.secret_sharing import SecretSharing
from e2e.client.sessions import OlmSessions
from e2e.client.trust import TrustBook
from e2e.client.vault import Vault
from e2e.client.verification.framework import Verifications


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that shares one vault."""

    own: OwnDevice
    tracking: DeviceTracking
    trust: TrustBook
    sessions: OlmSessions
    olm_events: OlmEvents
    outbox: Outbox
    outbound: OutboundGroups
    inbound: InboundGroups
    sharing: KeySharing
    requests: KeyRequests
    identity: OwnIdentity
    backup: KeyBackup
    secrets: SecretSharing
    bundles: KeyBundles
    verification: Verifications


def build(*, vault: Vault, entropy: Entropy, audience: Audience) -> Parts:
    """vault: with an account in it."""
    own = OwnDevice(vault=vault)
    tracking = DeviceTracking(vault=vault)
    trust = TrustBook(own=own, tracking=tracking)
    sessions = OlmSessions(vault=vault, own=own)
    olm_events = OlmEvents(own=own, sessions=sessions, tracking=tracking)
    outbox = Outbox(vault=vault, entropy=entropy)
    outbound = OutboundGroups(vault=vault, own=own)
    inbound = InboundGroups(vault=vault, tracking=tracking, trust=trust)
    sharing = KeySharing(
        own=own,
        tracking=tracking,
        trust=trust,
        sessions=sessions,
        olm_events=olm_events,
        outbound=outbound,
        inbound=inbound,
        outbox=outbox,
        audience=audience,
    )
    requests = KeyRequests(
        vault=vault,
        entropy=entropy,
        own=own,
        tracking=tracking,
        trust=trust,
        sessions=sessions,
        olm_events=olm_events,
        inbound=inbound,
        sharing=sharing,
        outbox=outbox,
    )
    identity = OwnIdentity(
        vault=vault, entropy=entropy, own=own, tracking=tracking, trust=trust, outbox=outbox
    )
    backup = KeyBackup(
        vault=vault,
        entropy=entropy,
        own=own,
        tracking=tracking,
        trust=trust,
        identity=identity,
        inbound=inbound,
    )
    secrets = SecretSharing(
        vault=vault,
        entropy=entropy,
        own=own,
        tracking=tracking,
        trust=trust,
        sessions=sessions,
        olm_events=olm_events,
        identity=identity,
        backup=backup,
        outbox=outbox,
    )
    bundles = KeyBundles(
        vault=vault,
        tracking=tracking,
        sessions=sessions,
        olm_events=olm_events,
        inbound=inbound,
        outbox=outbox,
    )
    verification = Verifications(
        vault=vault,
        entropy=entropy,
        own=own,
        tracking=tracking,
        trust=trust,
        identity=identity,
        secrets=secrets,
        requests=requests,
        outbox=outbox,
    )
    return Parts(
        own=own,
        tracking=tracking,
        trust=trust,
        sessions=sessions,
        olm_events=olm_events,
        outbox=outbox,
        outbound=outbound,
        inbound=inbound,
        sharing=sharing,
        requests=requests,
        identity=identity,
        backup=backup,
        secrets=secrets,
        bundles=bundles,
        verification=verification,
    )
