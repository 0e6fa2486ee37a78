"""The packages and their layers: each imports from those below it alone, no modules import one another in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vdistill

ROOT = Path(vdistill.__file__).parent
# From the ground up. `vdistill` itself (its public names) and `__main__` stand above all.
LAYERS = ("arrays", "errors", "programs", "sources", "records", "images", "workspace", "database", "preferences",
          "inputs", "evaluation", "encoders", "bundle", "index", "query", "databases", "serve", "label", "judge",
          "cluster", "distill", "bench", "cli")  # fmt: skip
MODULES = {
    "vdistill." + ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
    if path != ROOT / "__init__.py"
}


def package_of(module):
    return module.split(".")[1]


def imports(module):
    """(module, name) of all that a module imports from the package, in functions too; no name for a whole module."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vdistill":
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield (whole, None) if whole in MODULES or f"{whole}.__init__" in MODULES else (node.module, name.name)


def test_every_package_is_known():
    assert {package_of(module) for module in MODULES} - {"__main__"} == set(LAYERS)


@pytest.mark.parametrize("module", [name for name in MODULES if package_of(name) in LAYERS])
def test_a_module_imports_from_its_own_package_and_those_below(module):
    floor = LAYERS.index(package_of(module))
    above = {found for found, _ in imports(module) if found != "vdistill" and LAYERS.index(package_of(found)) > floor}
    assert not above


def test_no_modules_import_one_another_in_a_circle():
    graph = {module: {found for found, _ in imports(module) if found != module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" → ".join(circle.args[1]))


@pytest.mark.parametrize("module", MODULES)
def test_private_names_stay_in_their_package_of(module):
    private = {
        name or found.rpartition(".")[2]
        for found, name in imports(module)
        if package_of(f"{found}.") != package_of(module)
    }
    assert not {name for name in private if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_owns_one_idea(path):
    assert path.read_text(encoding="utf-8").count("\n") <= 300, "find its second idea, and give it a file of its own"


def test_few_modules_lie_loose_at_the_top():
    assert len([path for path in ROOT.glob("*.py") if not path.stem.startswith("__")]) <= 8
