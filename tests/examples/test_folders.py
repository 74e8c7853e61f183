"""Every example has a script, a README, a test and a page, and what these name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES, TUTORIALS = ROOT / "examples", ROOT / "docs" / "tutorials"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/*.py"))
NAMES = sorted({folder.name for folder in FOLDERS})
WITH_TUTORIAL = sorted(path.stem for path in TUTORIALS.glob("*.md"))
PAGES = sorted([*TUTORIALS.glob("*.md"), *EXAMPLES.glob("*/README.md")])


def mentioned(name: str, paths: list[Path]) -> bool:
    word = re.compile(rf"\b{name}\b")
    return any(word.search(path.read_text("utf-8")) for path in paths)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_a_script_a_readme_a_test_and_a_page(name: str) -> None:
    folder = EXAMPLES / name
    assert (folder / f"{name}.py").is_file() or (folder / "train.py").is_file()
    assert (folder / "README.md").is_file()
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert mentioned(name, [*tests, ROOT / "Makefile", *(ROOT / "tools").rglob("*.py")])
    assert mentioned(name, [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])


@pytest.mark.parametrize("name", WITH_TUTORIAL)
def test_a_tutorial_has_an_example_of_its_name_a_test_and_a_figure(name: str) -> None:
    assert (EXAMPLES / name / f"{name}.py").is_file()
    assert (ROOT / "tests" / "examples" / f"test_{name}.py").is_file()
    assert (ROOT / "docs" / "figures" / f"{name}.png").is_file()
    assert f"tutorials/{name}.md" in (ROOT / "mkdocs.yml").read_text("utf-8")
    assert f'"{name}"' in (ROOT / "tools" / "figures.py").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_scripts_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for module in re.findall(r"python -m (examples\.[\w.]+)", text):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file(), module
