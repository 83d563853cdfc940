"""Promises about structure: one import order, config.py read in one place, light imports, all packages used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fer
from fer.settings.settings import PROJECT

USERS = {"utils", "data_loader", "preprocessing", "model_utils", "evaluation", "training", "main", "predict", "app"}
# The rooms in the order in which the docstring of fer/ lists them: "settings/" is a folder, "utils" a module.
ROOMS = re.findall(r"^    (\w+)/?  ", str(fer.__doc__), re.MULTILINE)


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name, config.py aside."""
    files = [PROJECT / f"{name}.py" for name in USERS] + sorted((PROJECT / "fer").rglob("*.py"))
    return {".".join(path.relative_to(PROJECT).with_suffix("").parts): path for path in files}


def room(module: str) -> str:
    """Where a module stands: the folder under fer/, or its own name."""
    return module.split(".")[1] if module.startswith("fer.") else module


@cache
def imported(path: Path) -> set[str]:
    """The project's own modules that `path` imports anywhere, type checking included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names & {*modules(), "config"}


def test_every_folder_and_module_has_its_room() -> None:
    folders = {path.name for path in (PROJECT / "fer").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert sorted(ROOMS) == sorted(folders | USERS)
    assert {path.stem for path in PROJECT.glob("*.py")} == USERS | {"config"}
    assert [path.name for path in (PROJECT / "fer").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("place", ROOMS)
def test_a_room_imports_only_from_rooms_before_it(place: str) -> None:
    later = {
        f"{name} imports {other}"
        for name, path in modules().items()
        if name != "fer" and room(name) == place
        for other in imported(path)
        if other != "config" and room(other) != place and ROOMS.index(room(other)) > ROOMS.index(place)
    }
    assert not later


def test_modules_of_a_room_import_each_other_without_a_cycle() -> None:
    graph = {name: imported(path) - {name} for name, path in modules().items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def test_nobody_imports_config() -> None:
    """config.py is run by settings, for main; everyone else takes what it needs as an argument."""
    assert [name for name, path in modules().items() if "config" in imported(path)] == []


def test_a_plan_needs_no_heavy_package() -> None:
    heavy = "{'torch', 'timm', 'albumentations', 'cv2', 'sklearn', 'scipy', 'matplotlib', 'facenet_pytorch'}"
    code = f"import main, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "package",
    ["torch", "torchvision", "timm", "albumentations", "facenet_pytorch", "imblearn", "sklearn", "pandas",
     "matplotlib", "seaborn", "PIL", "numpy"],
)  # fmt: skip
def test_the_users_packages_are_all_used(package: str) -> None:
    texts = [path.read_text(encoding="utf-8") for path in modules().values()]
    assert any(re.search(rf"^\s*(import|from) {package}\b", text, re.MULTILINE) for text in texts)


@pytest.mark.parametrize("name", sorted(modules()))
def test_public_functions_have_a_docstring(name: str) -> None:
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_tests_stand_in_the_rooms_they_test() -> None:
    folders = {path.name for path in (PROJECT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(ROOMS)
    for test in (PROJECT / "tests").glob("*/test_*.py"):
        subjects = {room(name) for name, path in modules().items() if path.stem == test.stem.removeprefix("test_")}
        assert not subjects or test.parent.name in subjects, test
