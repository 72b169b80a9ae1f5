"""An imaging process: reads jobs as lines, answers with lines, and has little to lose.

    python -m mediarepo.imaging.worker <memory limit in bytes>

A hostile picture may crash it, or even take it over. It has a limit of memory and of computing
time, no environment, no connections, and the least claim to the processor, so that messages do not
wait for pictures.
"""

import math
import os
import resource
import sys

import pyvips

from homeserver.child.lines import answer_lines
from mediarepo.imaging import rendering
from mediarepo.imaging.jobs import (
    Answer,
    InspectJob,
    Job,
    Problem,
    decode_job,
    encode_answer,
)

_NICENESS = 19
_MAX_OPEN_FILES = 32


def main() -> None:
    """Works until its input ends, which it does when the server is gone."""
    _be_modest(max_memory_bytes=int(sys.argv[1]))
    rendering.restrict()
    answer_lines(lambda line: encode_answer(_answer(decode_job(line))))


def _be_modest(*, max_memory_bytes: int) -> None:
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(job: Job) -> Answer:
    _limit_job(job)
    try:
        if isinstance(job, InspectJob):
            return rendering.inspect(job)
        return rendering.make_thumbnail(job)
    except rendering.Unfit as error:
        return error.problem
    except (pyvips.Error, OSError, MemoryError, ValueError):
        return Problem(wrong="failed")


def _limit_job(job: Job) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime) + job.limits.cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
    size = job.limits.max_output_bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
