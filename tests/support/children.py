"""What a child process of a test does: python -m tests.support.children.

It answers what it is asked, turned round; and misbehaves when it is told to.
"""

import os
import sys
import time

from homeserver.child.lines import answer_lines

LONG = 100_000
"""Bytes of an answer to `long`."""


def answer(line: bytes) -> bytes:
    match line.split():
        case [b"die"]:
            os._exit(1)
        case [b"hang"]:
            time.sleep(3600)
        case [b"print"]:
            print("a library has something to say", flush=True)
            sys.stdout.write("and more")
        case [b"twice"]:
            return b"one\ntwo"
        case [b"long"]:
            return b"x" * LONG
    return line[::-1]


if __name__ == "__main__":
    answer_lines(answer)
