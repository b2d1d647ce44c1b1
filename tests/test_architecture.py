"""The rules that hold the house up and that import-linter cannot say."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import node

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "node").rglob("*.py")) + sorted((ROOT / "algorithms").rglob("*.py"))
MAX_MODULES = {"node": 135, "algorithms": 160}
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_BROAD_EXCEPTS = 4  # a command, an attempt of the worker, a study received, a series of a collection

DOORS = {
    "pynetdicom": {"node/inbound/association.py", "node/outbound/delivery.py", "node/outbound/sending.py"},
    "celery": {"node/jobs/tasks.py"},
    "kombu": {"node/jobs/tasks.py"},
    "dicomweb_client": {"node/outbound/delivery.py", "node/inbound/collection.py"},
    "sqlalchemy": {
        f"node/jobs/{name}.py"
        for name in (
            "schema",
            "accounts",
            "board",
            "index",
            "worklist",
            "outbox",
            "figures",
            "gallery",
            "matching",
            "notices",
            "retention",
            "urgency",
            "verdicts",
        )
    },
    "alembic": {"node/jobs/schema.py"},
    "huggingface_hub": {"node/published/hub.py"},
    "httpx2": {"node/published/hub.py", "node/jobs/notices.py"},
    "nibabel": {
        "node/outbound/document.py",
        "node/commands/phantom.py",
        "node/inbound/nifti.py",
        "node/published/cerebrum.py",
    },
    "uvicorn": {"node/bootstrap.py"},
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Libraries imported, those only named for the type checker left out."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(child)
        for item in ast.walk(tree)
        if isinstance(item, ast.If) and ast.unparse(item.test) == "TYPE_CHECKING"
        for child in item.body
    }
    for item in ast.walk(tree):
        if id(item) in for_types:
            continue
        if isinstance(item, ast.Import):
            yield from (alias.name.split(".")[0] for alias in item.names)
        elif isinstance(item, ast.ImportFrom) and item.module and not item.level:
            yield item.module.split(".")[0]


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_its_door(library: str) -> None:
    users = {name(p) for p in SOURCES if library in imports(p) and "migrations" not in name(p)}
    assert users <= DOORS[library]


def test_the_node_leaves_torch_to_the_algorithms() -> None:
    assert {name(p) for p in (ROOT / "node").rglob("*.py") if "torch" in imports(p)} == {
        "node/commands/devices.py"
    }


def test_only_the_configuration_reads_the_environment() -> None:
    readers = {name(p) for p in SOURCES if re.search(r"os\.(environ|getenv)", p.read_text())}
    assert readers == {"node/config.py"}


def test_broad_excepts_are_few() -> None:
    broad = [
        name(p)
        for p in SOURCES
        for item in ast.walk(ast.parse(p.read_text()))
        if isinstance(item, ast.ExceptHandler)
        and (item.type is None or ast.unparse(item.type) in {"Exception", "BaseException"})
    ]
    assert len(broad) <= MAX_BROAD_EXCEPTS, broad


def test_modules_are_few_and_short() -> None:
    modules = Counter(name(p).split("/")[0] for p in SOURCES if p.name != "__init__.py")
    assert modules <= Counter(MAX_MODULES), modules
    assert {name(p): n for p in SOURCES if (n := len(p.read_text().splitlines())) > MAX_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name(p)}:{item.name}": item.end_lineno - item.lineno + 1
        for p in SOURCES
        if "migrations" not in name(p)
        for item in ast.walk(ast.parse(p.read_text()))
        if isinstance(item, ast.FunctionDef) and item.end_lineno - item.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_the_map_of_the_line_names_modules_that_exist() -> None:
    rows = re.findall(r"^ {4}(inbound|jobs|outbound)/(\S+(?:, \S+)*)  ", node.__doc__ or "", re.MULTILINE)
    assert len(rows) >= 10
    for room, modules in rows:
        for module in modules.split(", "):
            assert (ROOT / "node" / room / f"{module}.py").exists(), f"{room}/{module}"
