"""What a route is, and the file of routes: checked to the line, and read again when it changes."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import structlog
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from node.errors import ConfigurationError
from node.jobs.conditions import Condition
from node.jobs.order import Order, Part

Priority = Literal["routine", "stat"]
Preference = Literal[
    "regular", "original", "axial", "soft-kernel", "thinnest", "thickest", "most-slices", "longest"
]

DEFAULT_ROUTES: Final = Path(__file__).with_name("routes.toml")
"""The routes that apply where the settings name no file."""

log = structlog.get_logger()


class Section(BaseModel):
    """A table of the routes file; a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Select(Section):
    """Which of the series that satisfy a route it takes.

    Attributes:
        prefer: preferences; each decides only where those before it leave a tie.
        take: the best by these preferences, or all.
    """

    prefer: tuple[Preference, ...] = ()
    take: Literal["best", "all"] = "best"

    @model_validator(mode="after")
    def _best_of_what(self) -> Self:
        if (self.take == "best") != bool(self.prefer):
            raise ValueError('take = "best" goes with prefer, and take = "all" without')
        _refuse_twice(self.prefer)
        return self


class Route(Section):
    """One `[[routes]]`.

    Attributes:
        name: for people, logs and results; unique.
        algorithm: a name in the catalogue.
        priority: stat workitems have workers of their own.
        destinations: names of configured destinations; none given means all.
        off_peak: "HH:MM-HH:MM" local time, within which the workitem may start.
        options: what the algorithm is told, as text.
        covers: parts of the body that must be in view. Pixels decide, so the worker looks before it runs
            the algorithm; a header says nothing of it.
        when: conditions; all must hold.
        select: which of the series that satisfy them; without it, all.
    """

    name: str = Field(min_length=1, max_length=64)
    algorithm: str
    priority: Priority = "routine"
    destinations: tuple[str, ...] = Field((), validate_default=True)
    off_peak: str | None = None
    options: dict[str, str] = Field(default_factory=dict)
    covers: tuple[Part, ...] = ()
    when: Annotated[tuple[Condition, ...], Field(min_length=1)]
    select: Select = Field(default_factory=lambda: Select(take="all"))

    @field_validator("algorithm")
    @classmethod
    def _is_in_the_catalogue(cls, name: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("algorithms")
        if known is not None and name not in known:
            raise ValueError(f"there is no algorithm {name!r}; there are {', '.join(sorted(known))}")
        return name

    @field_validator("destinations")
    @classmethod
    def _are_configured(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known: Collection[str] | None = (info.context or {}).get("destinations")
        _refuse_twice(names)
        if known is None:
            return names
        for name in names:
            if name not in known:
                raise ValueError(f"there is no destination {name!r}; there are {', '.join(known) or 'none'}")
        return names or tuple(known)

    @field_validator("options")
    @classmethod
    def _can_be_ordered(cls, options: dict[str, str]) -> dict[str, str]:
        if "covers" in options:
            raise ValueError("covers is a key of the route, not an option")
        Order.of(options)
        return options

    @field_validator("off_peak")
    @classmethod
    def _is_a_window(cls, window: str) -> str:
        start, end = _times(window)
        if start == end:
            raise ValueError("off_peak begins when it ends")
        return window

    @model_validator(mode="after")
    def _options_are_those_of_the_algorithm(self, info: ValidationInfo) -> Self:
        known = (info.context or {}).get("algorithms")
        if isinstance(known, Mapping):
            entry = known[self.algorithm]
            order, own = Order.of(self.all_options)
            entry.needs(own)
            if entry.photograph:
                order.check_for_photograph()
        return self

    @model_validator(mode="after")
    def _stat_waits_for_nothing(self) -> Self:
        if self.priority == "stat" and self.off_peak:
            raise ValueError('a route of priority "stat" has no off_peak')
        return self

    @property
    def all_options(self) -> dict[str, str]:
        """The options, with what must be in view among them."""
        return {**self.options, **({"covers": "+".join(self.covers)} if self.covers else {})}

    @property
    def window(self) -> tuple[time, time] | None:
        """The off-peak window, its end excluded; it may go past midnight."""
        return _times(self.off_peak) if self.off_peak else None


class RouteBook:
    """The routes in force: those of the file, or the last good ones while the file is wrong.

    Attributes:
        error: why the file as it is now is refused; None while it is in force.

    Raises:
        ConfigurationError: the file is wrong from the start, so that no good routes are known.
    """

    def __init__(self, path: Path | None, algorithms: Collection[str], destinations: Collection[str]) -> None:
        self.path = path or DEFAULT_ROUTES
        self.error: str | None = None
        self._algorithms = algorithms
        self._destinations = destinations
        self._state = self._on_disk()
        self._routes = load(self.path, algorithms, destinations)

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes in force; the file is read again when it has changed."""
        state = self._on_disk()
        if state != self._state:
            self._state = state
            self._reload()
        return self._routes

    def _reload(self) -> None:
        try:
            self._routes = load(self.path, self._algorithms, self._destinations)
        except ConfigurationError as error:
            self.error = str(error)
            log.warning("routes refused", why=self.error, in_force=len(self._routes))
        else:
            self.error = None
            log.info("routes loaded", file=str(self.path), routes=[r.name for r in self._routes])

    def _on_disk(self) -> tuple[int, ...]:
        """What changes when the file does; nothing where it is not there."""
        try:
            stat = self.path.stat()
        except OSError:
            return ()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


class _File(Section):
    # An empty file is more likely half written than meant.
    routes: Annotated[tuple[Route, ...], Field(min_length=1)]


def load(path: Path | None, algorithms: Collection[str], destinations: Collection[str]) -> tuple[Route, ...]:
    """Read and check the routes.

    Args:
        path: the TOML file; None for the built-in routes.
        algorithms: names in the catalogue; of the catalogue itself options are checked too.
        destinations: names of the configured destinations.

    Raises:
        ConfigurationError: names the file, and for each fault the line and the reason.
    """
    file = path or DEFAULT_ROUTES
    try:
        text = file.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"cannot read the routes in {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None
    context = {"algorithms": algorithms, "destinations": tuple(destinations)}
    try:
        routes = _File.model_validate(tables, context=context).routes
    except ValidationError as error:
        # A faulty route also counts as none, which is not worth saying beside its own fault.
        told = [f for f in error.errors() if f["type"] != "too_short"] or error.errors()
        faults = {(_line(text, fault["loc"]), _sentence(fault)) for fault in told}
    else:
        faults = {
            (_line(text, ("routes", index, "name")), f"there is another route {name!r}")
            for index, name in _doubled([route.name for route in routes])
        }
    if faults:
        lines = "; ".join(f"line {line}: {sentence}" for line, sentence in sorted(faults))
        raise ConfigurationError(f"{file}, {lines}")
    return routes


def _times(window: str) -> tuple[time, time]:
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", window)
    if not found:
        raise ValueError(f'{window!r} is no time window; write it as "19:00-06:00"')
    hour, minute, end_hour, end_minute = map(int, found.groups())
    return time(hour, minute), time(end_hour, end_minute)


def _refuse_twice(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands there twice")


def _doubled(names: Sequence[str]) -> list[tuple[int, str]]:
    return [(index, name) for index, name in enumerate(names) if name in names[:index]]


def _sentence(fault: ErrorDetails) -> str:
    names = [part for part in fault["loc"] if isinstance(part, str)]
    key = names[-1] if names else "the file"
    match fault["type"]:
        case "extra_forbidden":
            return f"there is no key {key!r}"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return fault["msg"].removeprefix("Value error, ")
        case _:
            return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _line(text: str, place: Sequence[str | int]) -> int:
    """The line on which the statement begins that sets a value, or the nearest table around it.

    tomllib keeps no lines, but it knows where a statement ends: a beginning of the file that can be
    parsed ends with one. The first such beginning that holds the place ends with its statement.
    """
    lines = text.splitlines(keepends=True)
    deepest, found, start = 0, 1, 0
    for end in range(1, len(lines) + 1):
        try:
            tables = tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        if (depth := _depth(tables, place)) > deepest:
            deepest, found = depth, start + 1
        start = end
    return found


def _depth(tables: Any, place: Sequence[str | int]) -> int:  # noqa: ANN401 - whatever TOML holds
    """How many steps towards the place exist."""
    for depth, step in enumerate(place):
        try:
            tables = tables[step]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(place)
