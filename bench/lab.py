"""What a workload is given."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.processes import Server


@dataclass(frozen=True, slots=True)
class Lab:
    """folder: fresh and empty. scale: how long to measure, 1.0 being the full length."""

    folder: Path
    scale: float

    def count(self, full: int) -> int:
        """So many repetitions at this scale; at least one."""
        return max(1, round(full * self.scale))

    def seconds(self, full: float) -> float:
        return full * self.scale

    def foyer(self) -> AbstractAsyncContextManager[Server]:
        """Foyer on this lab's data; a second call starts it again on the same."""
        return processes.foyer(self.folder)

    def bare(self) -> AbstractAsyncContextManager[Server]:
        """The bare reference, with data of its own."""
        folder = self.folder / "bare"
        folder.mkdir(exist_ok=True)
        return processes.bare(folder)

    @property
    def data_dir(self) -> Path:
        """Foyer's data folder."""
        return self.folder / "data"
