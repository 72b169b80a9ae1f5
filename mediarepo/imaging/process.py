"""An imaging process, as the server sees it."""

from homeserver.child.process import ChildDied, ChildProcess
from mediarepo.imaging.jobs import MAX_LINE_BYTES, Answer, Job, decode_answer, encode_job

_VARIABLES = {"VIPS_CONCURRENCY": "1", "VIPS_DISC_THRESHOLD": "1000g", "MALLOC_ARENA_MAX": "2"}
"""One thread a process, and one arena: what a process may use is said by the number of processes.
Pictures that are unpacked stay in memory, which has a limit, and do not go to the disk.
"""


class ImagingProcess:
    """One process; it does one job at a time. Made by `start`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self.jobs = 0

    @classmethod
    async def start(cls, *, max_memory_bytes: int) -> "ImagingProcess":
        """Raises OSError when the system allows no further process."""
        process = await ChildProcess.start(
            "mediarepo.imaging.worker",
            str(max_memory_bytes),
            max_line_bytes=MAX_LINE_BYTES,
            variables=_VARIABLES,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive

    async def ask(self, job: Job) -> Answer:
        """Raises ChildDied. Whoever cancels this kills the process as well."""
        self.jobs += 1
        line = await self._process.ask(encode_job(job))
        try:
            return decode_answer(line)
        except ValueError as error:
            raise ChildDied(f"the imaging process {self.pid} failed") from error

    def kill(self) -> None:
        self._process.kill()

    async def stop(self) -> None:
        """Kills it and waits until it is gone."""
        await self._process.stop()
