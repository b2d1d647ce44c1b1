"""Where the pages' templates are."""

from pathlib import Path
from typing import Final

from starlette.templating import Jinja2Templates

TEMPLATES: Final = Jinja2Templates(Path(__file__).parent / "templates")
