"""Figures of the node for Prometheus; no label names a patient."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.jobs.figures import Figures
from node.web.rooms import Rooms


def registry(rooms: Rooms) -> CollectorRegistry:
    """A registry whose figures are read when it is asked for them."""
    made = CollectorRegistry()
    made.register(NodeCollector(rooms))
    return made


class NodeCollector(Collector):
    """What the ledger and the disk say at the moment."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def collect(self) -> Iterator[Metric]:
        """Work, deliveries, arrivals and space."""
        figures = self._rooms.figures()
        yield from _work(figures)
        yield from _results(figures, self._rooms.settings.quarantine)
        yield from _arrivals(figures)
        yield from _space(self._rooms.settings.state)

    def describe(self) -> Iterator[Metric]:
        """Nothing before it is asked: the ledger may be away when the server starts."""
        return iter(())


def _work(figures: Figures) -> Iterator[Metric]:
    yield _gauge("workitems", "Workitems", figures.workitems, "algorithm", "state")
    waiting = {priority: number for priority, (number, _age) in figures.waiting.items()}
    oldest = {priority: age for priority, (_number, age) in figures.waiting.items()}
    yield _gauge("workitems_waiting", "Workitems that are due and not begun", waiting, "priority")
    yield _gauge("oldest_waiting_seconds", "Age of the oldest of these", oldest, "priority")
    yield _gauge(
        "stage_seconds", "Seconds of recent workitems", figures.durations, "algorithm", "stage", "quantile"
    )
    yield _counter("lost_workers", "Attempts whose worker was lost", figures.lost_leases)


def _results(figures: Figures, quarantine: Path) -> Iterator[Metric]:
    yield _gauge("deliveries", "Deliveries of results", figures.deliveries, "destination", "state")
    yield _gauge(
        "oldest_undelivered_seconds",
        "Since the start of the oldest workitem whose results have not arrived",
        figures.undelivered,
        "destination",
    )
    yield _gauge("notices", "Notices of urgent findings", figures.notices, "state")
    held = sum(1 for _ in quarantine.iterdir()) if quarantine.is_dir() else 0
    yield _plain("quarantined_workitems", "Workitems whose results the gate stopped", held)


def _arrivals(figures: Figures) -> Iterator[Metric]:
    yield _gauge("studies", "Studies", figures.studies, "state")
    yield _counter("instances", "Instances that came in", figures.instances)
    yield _counter("received_bytes", "Bytes of these", figures.received_bytes)
    yield _plain("conflicts", "Instances that came again with other content", figures.conflicts)
    last = figures.last_arrival.timestamp() if figures.last_arrival else 0.0
    yield _plain("last_arrival_timestamp_seconds", "When the newest instance came", last)


def _space(state: Path) -> Iterator[Metric]:
    disk = shutil.disk_usage(state)
    yield _plain("disk_free_bytes", "Free on the disk of the state folder", disk.free)
    yield _plain("disk_bytes", "Size of that disk", disk.total)


def _gauge(name: str, said: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"ainode_{name}", said, labels=labels)
    for key, value in values.items():
        family.add_metric([str(part) for part in (key if isinstance(key, tuple) else (key,))], value)
    return family


def _plain(name: str, said: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ainode_{name}", said, value=value)


def _counter(name: str, said: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"ainode_{name}", said, value=value)
