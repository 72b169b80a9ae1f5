"""Whether everybody heard everything once, in order, and nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.figures import NONE, Figure


@dataclass(frozen=True, slots=True)
class Flaws:
    """What went wrong, in messages. `strange`: heard by somebody they are not for."""

    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    strange: int = 0

    def __add__(self, other: "Flaws") -> "Flaws":
        return Flaws(
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.disordered + other.disordered,
            self.strange + other.strange,
        )


def flaws_of(expected: Sequence[int], heard: Iterable[int]) -> Flaws:
    """What one listener's hearing lacks.

    expected: the numbers of the room's messages in the order of the room; heard: in the order in
    which they came. A message is out of order if it came right after one that stands behind it.
    """
    places = {number: place for place, number in enumerate(expected)}
    first_heard: dict[int, None] = {}
    doubled = strange = 0
    for number in heard:
        if number not in places:
            strange += 1
        elif number in first_heard:
            doubled += 1
        else:
            first_heard[number] = None
    came = [places[number] for number in first_heard]
    return Flaws(
        lost=len(places) - len(came),
        doubled=doubled,
        disordered=sum(1 for before, after in pairwise(came) if after < before),
        strange=strange,
    )


def flaw_figures(flaws: Flaws) -> list[Figure]:
    return [
        Figure("lost", flaws.lost, target=NONE),
        Figure("doubled", flaws.doubled, target=NONE),
        Figure("out of order", flaws.disordered, target=NONE),
        Figure("heard by others", flaws.strange, target=NONE),
    ]
