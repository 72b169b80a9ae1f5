"""A process that checks one-time keys for the server, and what the two say to each other: a line
of JSON each. It holds no secrets and no connections.

    python -m e2e.key_checker

Of compact keys it is asked for the first that is wrong; what is unusual it gets as it came.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from e2e.compact_keys import first_wrong_line
from e2e.uploaded_keys import OneTimeKeys, Owner, check_one_time_keys
from homeserver.child.lines import answer_lines
from homeserver.errors import InvalidInput, InvalidSignature, TooLarge
from homeserver.events import canonical_json
from homeserver.events.signing import VerifyKey
from homeserver.identifiers import UserID

_ERRORS = {each.__name__: each for each in (InvalidInput, InvalidSignature, TooLarge)}


def encode_lines(lines: Sequence[str], signer: VerifyKey) -> bytes:
    """What `first_wrong_line` is given."""
    return orjson.dumps({"lines": ",".join(lines), "signer": signer.raw.hex()})


def decode_place(line: bytes) -> int | None:
    """What `first_wrong_line` returns."""
    place: int | None = orjson.loads(line)
    return place


def encode_keys(keys: Mapping[str, Any], owner: Owner, signer: VerifyKey | None) -> bytes:
    """What `check_one_time_keys` is given. Raises InvalidInput for what no key can contain."""
    question = {
        "keys": keys,
        "owner": (owner.user_id, owner.device_id),
        "signer": "" if signer is None else signer.raw.hex(),
    }
    try:
        line = orjson.dumps(question)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"This is no key: {error}", field="one_time_keys") from None
    if b":null" in line:
        # Infinite numbers become null.
        canonical_json.check_strict(keys)
    return line


def decode_keys(line: bytes) -> OneTimeKeys:
    """What `check_one_time_keys` returns, or raises."""
    answer = orjson.loads(line)
    if "error" not in answer:
        keys: OneTimeKeys = answer["keys"]
        return keys
    error = _ERRORS[answer["error"]](answer["message"])
    if isinstance(error, InvalidInput):
        error.field = answer["field"]
    raise error


def answer(line: bytes) -> bytes:
    """To a question."""
    question = orjson.loads(line)
    signer = VerifyKey(bytes.fromhex(question["signer"])) if question["signer"] else None
    if signer is not None and "lines" in question:
        return orjson.dumps(first_wrong_line(question["lines"].split(","), signer))
    user_id, device_id = question["owner"]
    try:
        keys = check_one_time_keys(question["keys"], Owner(UserID(user_id), device_id), signer)
    except (InvalidInput, TooLarge) as error:
        return _refusal(error)
    return orjson.dumps({"keys": keys})


def _refusal(error: InvalidInput | TooLarge) -> bytes:
    """Of classes that are told apart by those who read it."""
    kind = next(each for each in type(error).__mro__ if each.__name__ in _ERRORS)
    field = error.field if isinstance(error, InvalidInput) else ""
    return orjson.dumps({"error": kind.__name__, "message": str(error), "field": field})


if __name__ == "__main__":
    answer_lines(answer)
