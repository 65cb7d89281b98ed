"""The floors of the house: a floor imports only floors under it, never up, never sideways, no private names."""

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = {
    "errors": 1, "backends": 1.5, "configfile": 1.5, "duration": 1.5,
    "records": 2, "config": 2, "geometry": 2.5,
    "spool": 3, "plan": 3, "media": 3, "restore": 3,
    "detect": 4, "report": 4,
    "stages": 5,
    "intake": 5.3,
    "tools": 5.6,
    "launch": 6,
    "api": 6.5,
    "cli": 7,
    "__init__": 8, "__main__": 8,
}  # fmt: skip
SPOOL_FLOORS = {
    "disk": 1,
    "log": 2,
    "job": 3, "mount": 3,
    "hosts": 4, "root": 4, "clean": 4,
    "worker": 5,
    "__init__": 6,
}  # fmt: skip
ENTRIES_MAX = 10
FUNCTION_LINES_MAX = 50
HEAVY = {"torch", "torchvision", "ultralytics", "cv2", "numpy", "av", "submitit", "watchdog", "scenedetect"}


def unit_of(path: Path) -> str:
    return path.relative_to(ROOT / "waterz_spool").parts[0].removesuffix(".py")


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


def imports_of(path: Path):
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, tuple(alias.name for alias in node.names)


MODULES = sorted((ROOT / "waterz_spool").rglob("*.py"))
ENGINE = sorted((ROOT / "propainter").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    here = unit_of(path)
    for module, names in imports_of(path):
        if not module.startswith("waterz_spool"):
            continue
        parts = module.split(".")[1:] or [names[0]]
        there = parts[0] if parts[0] in FLOORS else "__init__"
        if there == here or (there == "__init__" and set(names) <= {"__version__"}):
            continue
        assert FLOORS[there] < FLOORS[here], f"{here} imports {module}"
        assert not any(name.startswith("_") for name in (*parts, *names)), f"{here} imports a private name of {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "waterz_spool/spool").rglob("*.py")), ids=lambda p: p.stem)
def test_rooms_of_the_spool_have_floors(path):
    here = path.relative_to(ROOT / "waterz_spool/spool").parts[0].removesuffix(".py")
    for module, names in imports_of(path):
        parts = module.split(".")
        if parts[:2] != ["waterz_spool", "spool"]:
            continue
        there = parts[2] if len(parts) > 2 else "__init__"
        if here != there:
            floor = SPOOL_FLOORS[there]
            assert floor < SPOOL_FLOORS[here] or floor == SPOOL_FLOORS[here] == 4, f"{here} imports {module}"
            assert not any(name.startswith("_") for name in (*parts, *names)), f"{here} imports a private name"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_spool_has_one_door_and_its_doctor_another(path):
    if unit_of(path) != "spool":
        assert {m for m, _ in imports_of(path) if m.startswith("waterz_spool.spool.")} <= {"waterz_spool.spool.mount"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_reaches_through_a_job_into_its_log(path):
    if unit_of(path) == "spool":
        return
    for node in nodes_of(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "log":
            assert node.attr not in ("ops", "world", "layout", "owner"), f"line {node.lineno}"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, known: set[str]) -> set[str]:
    """Modules that a module needs, also inside of functions and for types alone."""
    found = {f"{module}.{name}" for module, names in imports_of(path) for name in names}
    return (found | {module for module, _ in imports_of(path)}) & known


def test_no_modules_import_each_other_in_a_circle():
    paths = [path for path in MODULES + ENGINE if path.name != "__init__.py"]
    known = {module_of(path) for path in paths}
    left = {module_of(path): imported(path, known) for path in paths}
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert left == {}


def test_the_document_names_every_floor_room_and_module_of_the_spool():
    text = (ROOT / "docs/architecture.md").read_text()
    names = {name for name in FLOORS if not name.startswith("__")}
    modules = {path.stem for path in (ROOT / "waterz_spool/spool").rglob("*.py")} - {"__init__"}
    assert [name for name in sorted(names | modules | set(SPOOL_FLOORS) - {"__init__"}) if f"`{name}" not in text] == []


def test_the_document_points_at_files_that_exist():
    text = (ROOT / "docs/architecture.md").read_text()
    paths = [f"/{path.relative_to(ROOT)}" for path in [*ROOT.glob("tests/**/*.py"), *MODULES]]
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    assert len(named) > 30
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in paths)] == []


@pytest.mark.parametrize("package", ["spool", "stages", "launch", "detect"])
def test_a_package_is_found_at_a_glance(package):
    entries = {path.name for path in (ROOT / "waterz_spool" / package).iterdir()} - {"__init__.py", "__pycache__"}
    assert len(entries) <= ENTRIES_MAX


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: p.name)
def test_propainter_is_an_island(path):
    assert not any(module.startswith("waterz_spool") for module, _ in imports_of(path))


def test_only_the_adapter_imports_propainter():
    users = {unit for p in MODULES for m, _ in imports_of(p) if m.split(".")[0] == "propainter" for unit in [p.name]}
    assert users <= {"propainter.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_are_small(path):
    assert len(path.read_text().splitlines()) < 400


@pytest.mark.parametrize("path", MODULES + ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_fit_on_a_page(path):
    """Lines of code with the signature; what describes a function does not count. Ruff bounds how complex they are."""
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            described = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            assert node.end_lineno - node.lineno + 1 - described <= FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_benchmarks_import_what_there_is(path):
    """No other test runs them."""
    for module, names in imports_of(path):
        if module.startswith("waterz_spool"):
            found = importlib.import_module(module)
            for name in names:
                assert hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module}.{name}"


def test_status_imports_nothing_heavy(tmp_path):
    code = (
        "import sys\n"
        "from waterz_spool.__main__ import main\n"
        "try: main(['--spool', sys.argv[1], 'status'])\n"
        "except SystemExit: pass\n"
        "print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    from waterz_spool.spool import Spool

    Spool.create(tmp_path / "spool")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "spool")], capture_output=True, text=True, check=True, timeout=60
    )
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())
