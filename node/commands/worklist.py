"""`workitems` and `routes`: what is to be done, what was done, and why."""

from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from node import bootstrap, config
from node.commands.console import AsJson, Config, dicom_files, say, show
from node.commands.weights import states
from node.errors import ConfigurationError, Transient
from node.inbound import volumes
from node.jobs import routing
from node.jobs.order import Order
from node.jobs.reception import study_in_spool
from node.jobs.series import study_of
from node.jobs.urgency import Sort
from node.jobs.workitem import IN_PROGRESS, STATES

workitems = typer.Typer(help="The worklist.", no_args_is_help=True)
routes = typer.Typer(help="What runs on which series.", no_args_is_help=True)

Uid = Annotated[str, typer.Argument(metavar="UID", help="UID of the workitem.")]


@workitems.command("list")
def list_workitems(
    file: Config = None,
    state: Annotated[str | None, typer.Option(help=f"Only those that are {', '.join(STATES)}.")] = None,
    sort: Annotated[Sort, typer.Option(help="Which come first.")] = "newest",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List workitems, the newest or the most urgent first."""
    if state is not None and state not in STATES:
        raise ConfigurationError(f"there is no state {state!r}; there are {', '.join(STATES)}")
    found = bootstrap.build(config.load(file)).worklist.query(state=state, sort=sort, limit=limit)
    rows = [
        {
            "uid": item.uid,
            "algorithm": item.algorithm,
            "urgency": item.urgency,
            "state": item.state,
            "stage": item.stage,
            "attempt": item.attempt,
            "created": item.created_at.isoformat(timespec="seconds"),
            "message": item.message,
        }
        for item in found
    ]
    show("Workitems", rows, as_json)


@workitems.command("show")
def show_workitem(uid: Uid, file: Config = None, as_json: AsJson = False) -> None:
    """Show one workitem, its results and deliveries."""
    house = bootstrap.build(config.load(file))
    item = house.worklist.get(uid)
    facts = asdict(item) | {
        "sop_instance_uids": len(item.sop_instance_uids),
        "results": [f"{r.role} {r.path}" for r in house.outbox.results(item.run_uid)],
        "deliveries": [f"{d.destination} {d.state} {d.error}".strip() for d in house.outbox.deliveries(uid)],
    }
    rows = [facts] if as_json else [{"": key, " ": value} for key, value in facts.items()]
    show(uid, rows, as_json)


@workitems.command("cancel")
def cancel_workitem(uid: Uid, file: Config = None) -> None:
    """Ask for a workitem to stop."""
    house = bootstrap.build(config.load(file))
    house.worklist.request_cancel(uid)
    state = house.worklist.get(uid).state
    say(f"workitem {uid} is {state}" + ("; it stops at its next step" if state == IN_PROGRESS else ""))


@workitems.command("rerun")
def rerun_workitem(uid: Uid, file: Config = None) -> None:
    """Do the same work again, as a new workitem."""
    house = bootstrap.build(config.load(file))
    fresh = house.worklist.rerun(uid)
    # It is in the ledger: while the broker is away, the sweep wakes a worker.
    with suppress(Transient):
        house.wake([fresh])
    say(f"workitem {fresh.uid} is {fresh.state}")


@routes.command("check")
def check_routes(file: Config = None, as_json: AsJson = False) -> None:
    """Check the routes file, and list what it says and which weights it lacks."""
    house = bootstrap.build(config.load(file))
    lacking = {route.name: lacks(house, route) for route in house.routes.routes}
    rows = [
        {
            "route": route.name,
            "algorithm": route.algorithm,
            "priority": route.priority,
            "off peak": route.off_peak or "",
            "destinations": ", ".join(route.destinations),
            "covers": ", ".join(route.covers),
            "options": ", ".join(f"{name}={value}" for name, value in route.options.items()),
            "weights missing": _names(lacking[route.name], as_json),
            "when": "; ".join(f"{c.subject}: {c}" for c in route.when),
        }
        for route in house.routes.routes
    ]
    show(f"Routes of {house.routes.path}", rows, as_json)
    if not as_json:
        for name, weights in lacking.items():
            for row in weights:
                what = f"the weights {row['name']} are {row['state']}; {row['mend']}"
                say(f"Route {name} cannot run yet: {what}")


def _names(lacking: list[dict[str, str]], as_json: bool) -> object:
    return lacking if as_json else ", ".join(row["name"] for row in lacking)


def lacks(house: bootstrap.House, route: routing.Route) -> list[dict[str, str]]:
    """The weights that a route asks for and that are missing or faulty, with the mend."""
    wanted = house.catalogue[route.algorithm].needs(Order.of(route.options)[1])
    return [row for row in states(wanted, house.store) if row["mend"]]


@routes.command("explain")
def explain_routes(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study UID of the spool, or a folder of DICOM.")
    ],
    file: Config = None,
) -> None:
    """Say for each route why it matches a study, or why not."""
    house = bootstrap.build(config.load(file))
    if Path(study).is_dir():
        studied = study_of(volumes.headers(dicom_files([Path(study)])))
    else:
        studied = study_in_spool(house.settings.spool, house.index, study)
    for verdict in routing.explain(studied, house.routes.routes, datetime.now().astimezone()):
        say(str(verdict))
