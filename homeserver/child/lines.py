"""What a child process does: it reads lines and answers each."""

import os
from collections.abc import Callable

_BUFFER_BYTES = 2**18


def answer_lines(answer: Callable[[bytes], bytes]) -> None:
    """Until the input ends, which it does when the server is gone. Lines without their ends.

    What libraries print goes where errors go. Ctrl-C in a terminal is for the server, which then
    ends this process.
    """
    os.setpgid(0, 0)
    questions = os.fdopen(0, "rb", _BUFFER_BYTES, closefd=False)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in questions:
        answers.write(answer(line.rstrip(b"\n")) + b"\n")
        answers.flush()
