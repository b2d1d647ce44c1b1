"""The pages that people see."""

from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.templating import Jinja2Templates

from node.jobs.urgency import study_rank
from node.web.rooms import Entered

router = APIRouter(include_in_schema=False)

_templates = Jinja2Templates(Path(__file__).parent / "templates")


@router.get("/", response_class=HTMLResponse)
def worklist(request: Request, rooms: Entered) -> HTMLResponse:
    """The studies that arrived last, the most urgent first, each with its workitems."""
    listed = [
        (study, rooms.worklist.query(study_instance_uid=study.study_instance_uid, sort="urgency"))
        for study in rooms.index.studies()
    ]
    listed.sort(key=lambda pair: study_rank(pair[1]))
    return _templates.TemplateResponse(request, "worklist.html", {"listed": listed, "now": datetime.now(UTC)})
