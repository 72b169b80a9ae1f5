"""The names of python-olm that we use; its package does not export them to type checkers."""

from olm.account import Account, OlmAccountError
from olm.group_session import InboundGroupSession, OlmGroupSessionError, OutboundGroupSession
from olm.session import (
    InboundSession,
    OlmMessage,
    OlmPreKeyMessage,
    OlmSessionError,
    OutboundSession,
    Session,
)

__all__ = [
    "Account",
    "InboundGroupSession",
    "InboundSession",
    "OlmAccountError",
    "OlmGroupSessionError",
    "OlmMessage",
    "OlmPreKeyMessage",
    "OlmSessionError",
    "OutboundGroupSession",
    "OutboundSession",
    "Session",
]
