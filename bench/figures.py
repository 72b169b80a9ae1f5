"""What a workload found out, and how good it should be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Target:
    """A figure's bound."""

    bound: float
    at_least: bool

    def is_met_by(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its unit; `target` if it has to be good for something."""

    name: str
    value: float
    unit: str = ""
    target: Target | None = None

    @property
    def is_missed(self) -> bool:
        return self.target is not None and not self.target.is_met_by(self.value)


def at_least(bound: float) -> Target:
    return Target(bound, at_least=True)


def at_most(bound: float) -> Target:
    return Target(bound, at_least=False)


NONE = at_most(0)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order. share: above 0, at most 1."""
    return ordered[ceil(share * len(ordered)) - 1]


def latency_figures(
    name: str,
    seconds: Iterable[float],
    *,
    p95_ms: float | None = None,
    p99_ms: float | None = None,
) -> list[Figure]:
    """Percentiles in milliseconds; nothing of no values. p95_ms, p99_ms: the most they may be."""
    ordered = sorted(seconds)
    if not ordered:
        return []
    most = {"p95": p95_ms, "p99": p99_ms}
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return [
        Figure(
            f"{name} {label}", percentile(ordered, share) * 1000, "ms", _at_most(most.get(label))
        )
        for label, share in shares.items()
    ]


def _at_most(bound: float | None) -> Target | None:
    return None if bound is None else at_most(bound)
