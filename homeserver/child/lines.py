"""What a child process does: it reads lines and answers each."""

import os
import sys
from collections.abc import Callable


def answer_lines(answer: Callable[[bytes], bytes]) -> None:
    """Until the input ends, which it does when the server is gone. Lines without their ends.

    What libraries print goes where errors go. Ctrl-C in a terminal is for the server, which then
    ends this process.
    """
    os.setpgid(0, 0)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        while line := sys.stdin.buffer.readline():
            answers.write(answer(line.rstrip(b"\n")) + b"\n")
            answers.flush()
