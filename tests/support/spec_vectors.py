"""The test vectors of the specification.

Source: Matrix v1.19, appendices "Unpadded Base64", "Canonical JSON" and "Cryptographic Test
Vectors", by the Matrix.org Foundation, licensed under Apache-2.0.
"""

import json
from pathlib import Path
from typing import Any

from homeserver.events.base64 import decode
from homeserver.events.signing import SigningKey

_FILE = Path(__file__).parent.parent / "pure" / "spec_vectors.json"

VECTORS: dict[str, Any] = json.loads(_FILE.read_text())
KEY = SigningKey.from_seed(
    decode(VECTORS["signing_key"]["seed_unpadded_base64"]), VECTORS["signing_key"]["key_id"]
)
SERVER = VECTORS["signing_key"]["server_name"]
