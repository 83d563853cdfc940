"""Promises about structure: one import order, config.py read in one place, light imports, all packages used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fer.settings import PROJECT

# A module imports only from modules before it. The user's modules stand at the top level, the others in fer/.
LAYERS = """
    interrupt installed terminal utils wording config_file emotions file_states pictures label_sheets layouts
    views settings
    face_traits face_canvas face_drawing face_scenes sample_faces
    rejections readers conflicts copies samples folds attributes
    precision memory packs augmentation data_loader detection prepared preprocessing balancing run_record runs variants
    learning_rate
    alignment near_copies exact_copies class_mix audit_quality audit_sheet audit
    network_names small_networks local_weights torchvision_networks model_utils network_check preflight trained_network
    evaluation kept_epoch fit_state
    bootstrap significance simultaneous calibration groups
    training experiments speed predictions disk_need plan_estimate execution verify
    study_files archive pooling ensembles leaks scores trainings not_learned tables table_formats paper_tables summary
    answers calibration_tables families statements comparisons
    plots plots_selection plots_compare plots_results plots_cross plots_statistics plots_pictures
    figure_jobs figure_drawing result_rows figures_data figures_selection figures_training figures_results
    figures_metrics figures_cross figures_cost figures_statistics figures picture_figures
    report_facts report live_page events inspection main
"""
ORDER = LAYERS.split()
USERS = {"utils", "data_loader", "preprocessing", "model_utils", "evaluation", "training", "main", "config"}


def modules() -> dict[str, Path]:
    return {path.stem: path for folder in (PROJECT, PROJECT / "fer") for path in folder.glob("[a-z]*.py")}


def imported(path: Path) -> set[str]:
    """Names of the project's own modules that `path` imports anywhere, type checking included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name.removeprefix("fer.").split(".")[0] for name in names} & {*ORDER, "config"}


def test_every_module_has_its_place() -> None:
    assert sorted(modules()) == sorted([*ORDER, "config"])
    assert {path.stem for path in PROJECT.glob("*.py")} == USERS


def test_tables_are_read_in_one_way() -> None:
    """Pandas by itself takes a dataset called "null" and a person called "NA" for missing."""
    reading = {name for name, path in modules().items() if "pd.read_csv(" in path.read_text(encoding="utf-8")}
    assert reading == {"utils"}


@pytest.mark.parametrize("name", ORDER)
def test_imports_follow_the_order(name: str) -> None:
    later = {other for other in imported(modules()[name]) if ORDER.index(other) >= ORDER.index(name)}
    assert not later


def test_nobody_imports_config() -> None:
    """config.py is run by settings, for main; everyone else takes what it needs as an argument."""
    assert [name for name in ORDER if "config" in imported(modules()[name])] == []


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


@pytest.mark.parametrize("name", [*ORDER, "config"])
def test_public_functions_have_a_docstring(name: str) -> None:
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
