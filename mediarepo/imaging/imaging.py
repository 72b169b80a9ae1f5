"""Looks into pictures and makes thumbnails, in a few processes that may crash."""

import asyncio
from pathlib import Path

import structlog

from homeserver.child.process import ChildDied
from homeserver.config.models import ThumbnailsConfig
from homeserver.errors import (
    ImageTooLarge,
    ImagingFailed,
    LimitExceeded,
    NotAnImage,
    Unavailable,
)
from mediarepo.imaging.jobs import (
    Answer,
    ImageFacts,
    InspectJob,
    Job,
    Limits,
    Made,
    Problem,
    ThumbnailJob,
)
from mediarepo.imaging.process import ImagingProcess
from mediarepo.imaging.sizes import Target
from mediarepo.imaging.turns import Turns

NOBODY = 0
"""Owner of what nobody in particular wants."""

_JOBS_OF_A_PROCESS = 200
"""Then a new one takes its place, so that what libraries leak does not add up."""
_IDLE_S = 60.0
_MAX_OUTPUT_BYTES = 32 * 2**20

_NOT_READ = "The picture cannot be read: it is damaged, or it takes too much."

log = structlog.get_logger(__name__)


class Imaging:
    """Processes are started when there is work, and end when there has been none for a while."""

    def __init__(self, *, settings: ThumbnailsConfig) -> None:
        self._settings = settings
        self._limits = Limits(
            max_pixels=settings.max_megapixels * 1_000_000,
            max_frames=settings.max_frames,
            max_output_bytes=_MAX_OUTPUT_BYTES,
            cpu_s=max(1, round(settings.timeout_seconds)),
        )
        self._max_memory_bytes = settings.max_memory_mb * 2**20
        self._turns = Turns(places=settings.workers, max_waiting=settings.max_waiting)
        self._idle: list[ImagingProcess] = []
        self._busy: set[ImagingProcess] = set()
        self._resting: asyncio.TimerHandle | None = None

    async def inspect(self, file: Path, *, owner: int = NOBODY) -> ImageFacts | None:
        """What a file shows; None if it is no picture, or nothing can be found out about it now.

        file: a local one; its name means nothing. owner: who wants to know (a `user_nid`).
        """
        try:
            answer = await self._run(owner, InspectJob(file=_absolute(file), limits=self._limits))
        except (NotAnImage, ImageTooLarge, ImagingFailed, LimitExceeded, Unavailable):
            return None
        return answer if isinstance(answer, ImageFacts) else None

    async def thumbnail(
        self, file: Path, target: Target, *, output: Path, owner: int = NOBODY
    ) -> Made:
        """Writes a thumbnail of a local file to `output`, unless the file itself is the answer.

        owner: who wants it (a `user_nid`).
        Raises NotAnImage, ImageTooLarge, ImagingFailed; LimitExceeded, Unavailable when too many
        wait.
        """
        answer = await self._run(
            owner,
            ThumbnailJob(
                file=_absolute(file),
                output=_absolute(output),
                width=target.size.width,
                height=target.size.height,
                crop=target.method == "crop",
                animated=target.animated,
                limits=self._limits,
            ),
        )
        if not isinstance(answer, Made):
            raise ImagingFailed("The picture cannot be made smaller.")
        return answer

    async def close(self) -> None:
        """Ends all processes."""
        if self._resting is not None:
            self._resting.cancel()
        processes = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(process.stop() for process in processes))

    @property
    def pids(self) -> list[int]:
        """Of the processes that run now, those at work first."""
        return [process.pid for process in (*self._busy, *self._idle)]

    async def _run(self, owner: int, job: Job) -> Answer:
        async with self._turns.turn(owner):
            answer = await self._work(job)
        if isinstance(answer, Problem):
            raise _error(answer)
        return answer

    async def _work(self, job: Job) -> Answer:
        """A process that does not answer as it should is ended, and the next job gets a new one."""
        process = await self._process()
        self._busy.add(process)
        is_well = False
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                answer = await process.ask(job)
            is_well = True
        except (ChildDied, TimeoutError) as error:
            log.warning("imaging_process_failed", pid=process.pid, error=repr(error))
            raise ImagingFailed(_NOT_READ) from error
        finally:
            self._busy.discard(process)
            await self._put_back(process, is_well=is_well)
        return answer

    async def _process(self) -> ImagingProcess:
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                return process
        try:
            return await ImagingProcess.start(max_memory_bytes=self._max_memory_bytes)
        except OSError as error:
            log.exception("imaging_process_cannot_start")
            raise Unavailable("No pictures can be looked at just now.") from error

    async def _put_back(self, process: ImagingProcess, *, is_well: bool) -> None:
        if not is_well or process.jobs >= _JOBS_OF_A_PROCESS:
            await process.stop()
            return
        self._idle.append(process)
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(_IDLE_S, self._rest)

    def _rest(self) -> None:
        """Memory goes back to the system. The loop reaps what was killed."""
        while self._idle:
            self._idle.pop().kill()


def _error(problem: Problem) -> NotAnImage | ImageTooLarge | ImagingFailed:
    match problem.wrong:
        case "not_an_image":
            return NotAnImage("The file is no picture of a kind that is shown smaller.")
        case "too_large":
            return ImageTooLarge("The picture has too many pixels.")
        case "failed":
            return ImagingFailed(_NOT_READ)


def _absolute(path: Path) -> str:
    """The processes stand in another folder."""
    return str(path.absolute())
