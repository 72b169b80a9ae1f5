"""Megolm held against a message that libolm ships as a test vector.

Source: libolm, `tests/test_group_session.cpp`, "Inbound group session decrypt" and "export/import",
by New Vector Ltd and others, licensed under Apache-2.0.
"""

import pytest
import vodozemac

from e2e.client import libolm as olm

SESSION_KEY = (
    "AgAAAAAwMTIzNDU2Nzg5QUJERUYwMTIzNDU2Nzg5QUJDREVGMDEyMzQ1Njc4OUFCREVGM"
    "DEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkRFRjAxMjM0NTY3ODlBQkNERUYwMTIzND"
    "U2Nzg5QUJERUYwMTIzNDU2Nzg5QUJDREVGMDEyMw0bdg1BDq4Px/slBow06q8n/B9WBfw"
    "WYyNOB8DlUmXGGwrFmaSb9bR/eY8xgERrxmP07hFmD9uqA2p8PMHdnV5ysmgufE6oLZ5+"
    "8/mWQOW3VVTnDIlnwd8oHUYRuk8TCQ"
)
MESSAGE = (
    "AwgAEhAcbh6UpbByoyZxufQ+h2B+8XHMjhR69G8F4+qjMaFlnIXusJZX3r8LnRORG9T3D"
    "XFdbVuvIWrLyRfm4i8QRbe8VPwGRFG57B1CtmxanuP8bHtnnYqlwPsD"
)


class TestMegolm:
    def test_the_message_is_read(self):
        assert olm.InboundGroupSession(SESSION_KEY).decrypt(MESSAGE) == ("Message", 0)

    def test_also_with_the_key_that_was_exported(self):
        exported = olm.InboundGroupSession(SESSION_KEY).export_session(0)
        imported = olm.InboundGroupSession.import_session(exported)
        assert imported.decrypt(MESSAGE) == ("Message", 0)

    def test_vodozemac_reads_it_with_our_export(self):
        exported = olm.InboundGroupSession(SESSION_KEY).export_session(0)
        session = vodozemac.InboundGroupSession.import_session(
            vodozemac.ExportedSessionKey(exported)
        )
        read = session.decrypt(vodozemac.MegolmMessage.from_base64(MESSAGE))
        assert (read.plaintext, read.message_index) == (b"Message", 0)

    def test_a_later_key_does_not_read_it(self):
        later = olm.InboundGroupSession(SESSION_KEY).export_session(1)
        with pytest.raises(olm.OlmGroupSessionError, match="UNKNOWN_MESSAGE_INDEX"):
            olm.InboundGroupSession.import_session(later).decrypt(MESSAGE)

    @pytest.mark.parametrize("at", [10, 40, -5])
    def test_a_changed_one_is_refused(self, at):
        changed = list(MESSAGE)
        changed[at] = "B" if changed[at] != "B" else "C"
        with pytest.raises(olm.OlmGroupSessionError):
            olm.InboundGroupSession(SESSION_KEY).decrypt("".join(changed))
