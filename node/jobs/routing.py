"""Which algorithm runs on which series, and why.

Routes are data (`routebook` reads them from TOML). `explain` says of every route and every series
what was asked, what was found, and which series was taken; `match` is what `explain` took, so the
two can never disagree. Both are pure functions of the study, the routes and the time.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from node.inbound.volumes import MODALITIES
from node.jobs.conditions import Check, Condition
from node.jobs.routebook import DEFAULT_ROUTES, Preference, Priority, Route, RouteBook, Select, load
from node.jobs.series import Series, Study, attribute, study_of

__all__ = [
    "DEFAULT_ROUTES",
    "Match",
    "Route",
    "RouteBook",
    "Series",
    "Study",
    "Verdict",
    "explain",
    "load",
    "match",
    "matches",
    "study_of",
]

NOT_OUR_OWN: Final = Condition(series="own_result", equals=False)
"""Asked before every route's own conditions: a result of this program is never routed again."""

SOFT_KERNEL: Final = re.compile(
    r"STANDARD|STND|STD\+?|SOFT|DETAIL"  # GE
    r"|[BHIJDQ][rfvuq]?[1-4]\d[a-z]?(\\.*)?"  # Siemens, up to 49
    r"|Y?A|Y?B|UA|UB|EB|C"  # Philips
    r"|FC0\d|FC1\d|FC4[0-4]",  # Canon
    re.IGNORECASE,
)

_INFINITE: Final = float("inf")


def _spacing(series: Series) -> float:
    return series.facts.spacing_mm or _INFINITE


def _hard_kernel(series: Series) -> bool:
    kernels = attribute(series.representative, "ConvolutionKernel")
    return not any(SOFT_KERNEL.fullmatch(str(kernel)) for kernel in kernels[:1])


PREFERENCES: Final[Mapping[Preference, Callable[[Series], float]]] = {
    "regular": lambda series: not series.facts.regular,
    "original": lambda series: series.facts.derived,
    "axial": lambda series: series.facts.orientation != "axial",
    "soft-kernel": _hard_kernel,
    "thinnest": _spacing,
    "thickest": lambda series: -(series.facts.spacing_mm or 0),
    "most-slices": lambda series: -series.facts.slices,
    "longest": lambda series: -(series.facts.coverage_mm or 0),
}
"""What a selection may prefer; the series with the smaller number is preferred."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one route makes of one series.

    Attributes:
        checks: every condition, the value it met, and whether it held.
        taken: whether the route takes the series.
        reason: a sentence why, or why not.
        not_before: when the workitem may start; None for at once.
    """

    route: Route
    series: Series
    checks: tuple[Check, ...]
    taken: bool
    reason: str
    not_before: datetime | None

    def __str__(self) -> str:
        facts = self.series.facts
        return (
            f"route {self.route.name} {'takes' if self.taken else 'does not take'} series "
            f"{self.series.series_instance_uid} ({facts.modality or 'no modality'}, "
            f"instances: {facts.slices}): {self.reason}"
        )


@dataclass(frozen=True)
class Match:
    """A workitem to be: an algorithm, the series it runs on, and the reason."""

    route: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    algorithm: str
    options: Mapping[str, str]
    priority: Priority
    destinations: tuple[str, ...]
    reason: str
    not_before: datetime | None


def explain(study: Study, routes: Sequence[Route], now: datetime) -> tuple[Verdict, ...]:
    """Say for every route and every series of the study why the route does or does not take it.

    `now` is local time with its zone, for the off-peak windows.
    """
    return tuple(verdict for route in routes for verdict in _verdicts(study, route, now))


def match(study: Study, routes: Sequence[Route], now: datetime) -> tuple[Match, ...]:
    """What is to run on the study: the verdicts of `explain` that took a series."""
    return matches(explain(study, routes, now))


def matches(verdicts: Iterable[Verdict]) -> tuple[Match, ...]:
    """The verdicts that took a series, as workitems to be."""
    return tuple(
        Match(
            route=verdict.route.name,
            series_instance_uid=verdict.series.series_instance_uid,
            sop_instance_uids=verdict.series.sop_instance_uids,
            algorithm=verdict.route.algorithm,
            options=verdict.route.all_options,
            priority=verdict.route.priority,
            destinations=verdict.route.destinations,
            reason=f"route {verdict.route.name}: {verdict.reason}",
            not_before=verdict.not_before,
        )
        for verdict in verdicts
        if verdict.taken
    )


def _verdicts(study: Study, route: Route, now: datetime) -> list[Verdict]:
    asked = (NOT_OUR_OWN, *route.when)
    checks = {id(s): tuple(condition.check(s) for condition in asked) for s in study.series}
    candidates = [s for s in study.series if all(check.held for check in checks[id(s)])]
    candidates.sort(key=lambda s: (_rank(s, route.select), s.series_instance_uid))
    chosen = candidates[:1] if route.select.take == "best" else candidates
    wait = _off_peak_start(route, now)
    return [
        Verdict(
            route=route,
            series=series,
            checks=checks[id(series)],
            taken=series in chosen,
            reason=_reason(series, checks[id(series)], candidates, chosen, route),
            not_before=wait if series in chosen else None,
        )
        for series in study.series
    ]


def _off_peak_start(route: Route, now: datetime) -> datetime | None:
    """When a workitem made now may start; None for at once."""
    if route.window is None:
        return None
    start, end = route.window
    clock = now.time()
    if start <= clock < end if start < end else clock >= start or clock < end:
        return None
    begin = now.replace(hour=start.hour, minute=start.minute, second=0, microsecond=0)
    return begin if begin > now else begin + timedelta(days=1)


def _rank(series: Series, select: Select) -> tuple[float, ...]:
    return tuple(PREFERENCES[preference](series) for preference in select.prefer)


def _reason(
    series: Series, checks: Sequence[Check], candidates: list[Series], chosen: list[Series], route: Route
) -> str:
    if series not in candidates:
        return "; ".join(str(check) for check in checks if not check.held)
    if series not in chosen:
        return _why_another(chosen[0], series, route.select)
    parts = [str(check) for check in checks if check.condition is not NOT_OUR_OWN]
    if route.covers:
        parts.append(f"the worker will look whether it shows {' and '.join(route.covers)}")
    if len(candidates) > 1:
        parts.append(
            f"one of {len(candidates)} such series"
            if route.select.take == "all"
            else f"the best of {len(candidates)} such series, preferring {', '.join(route.select.prefer)}"
        )
    if not series.facts.regular and series.modality in MODALITIES:
        parts.append("its slices form no regular volume")
    return "; ".join(parts)


def _why_another(best: Series, series: Series, select: Select) -> str:
    for preference in select.prefer:
        if PREFERENCES[preference](best) != PREFERENCES[preference](series):
            return f"series {best.series_instance_uid} is preferred: {preference}"
    return f"series {best.series_instance_uid} is as good, and its UID comes first"
