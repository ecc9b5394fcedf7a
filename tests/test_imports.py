"""Which part may import which, that no module is ever loaded twice, and what importing the package costs."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = {"spikeunet.engine": REPOSITORY / "engine", "spikeunet.converters": REPOSITORY / "converters"}


def source_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    if parts[:2] == ("engine", "package"):  # the package spikeunet itself
        parts = parts[2:]
    return ".".join(("spikeunet", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@functools.lru_cache(maxsize=1)
def nodes_of(text: str) -> list[ast.AST]:
    """All nodes of a file's syntax, which several questions are asked of one after the other."""
    return list(ast.walk(ast.parse(text)))


@functools.cache
def imports(path: Path, text: str | None = None) -> tuple[tuple[str, bool], ...]:
    """(absolute name, written as a relative import?) of every import in a file, those inside functions included."""
    return tuple(_imports(path, path.read_text("utf-8") if text is None else text))


def _imports(path: Path, text: str) -> Iterator[tuple[str, bool]]:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in nodes_of(text):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{origin}.{alias.name}", bool(node.level)) for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def offences(paths: list[Path], forbidden) -> list[str]:
    """`file: import` for each import that `forbidden(name, relative)` finds fault with."""
    return [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in paths
        for name, relative in imports(path)
        if forbidden(name, relative)
    ]


def test_imports_are_read_as_python_resolves_them():
    text = "import a.b\nfrom . import c\nfrom ..d import e\ndef f():\n    from g import h\n"
    inside = REPOSITORY / "engine" / "graph" / "network.py"
    assert list(imports(inside, text)) == [
        ("a.b", False),
        ("spikeunet.engine.graph.c", True),
        ("spikeunet.engine.d.e", True),
        ("g.h", False),
    ]
    package = REPOSITORY / "engine" / "graph" / "__init__.py"
    assert list(imports(package, "from . import node\nfrom .. import errors")) == [
        ("spikeunet.engine.graph.node", True),
        ("spikeunet.engine.errors", True),
    ]


def test_engine_does_not_import_converters_except_in_the_command_line():
    paths = [path for path in source_files("engine") if "command_line" not in path.parts]
    assert len(paths) > 5
    assert offences(paths, lambda name, _: within(name, "spikeunet.converters")) == []


def test_engine_is_not_imported_by_its_installed_name_from_inside():
    def forbidden(name: str, relative: bool) -> bool:
        return within(name, "spikeunet.engine") and not relative

    assert offences(source_files("engine"), forbidden) == []


def test_converters_import_the_engine_absolutely_and_each_other_relatively():
    def forbidden(name: str, relative: bool) -> bool:
        return within(name, "spikeunet.engine" if relative else "spikeunet.converters")

    assert offences(source_files("converters"), forbidden) == []


def test_kernels_import_only_numpy_numba_their_cache_and_each_other():
    allowed = {"numpy", "numba", "llvmlite", *sys.stdlib_module_names}
    ours = ("spikeunet.engine.kernels", "spikeunet.engine.kernel_cache")

    def forbidden(name: str, relative: bool) -> bool:
        return not any(within(name, part) for part in ours) if relative else name.partition(".")[0] not in allowed

    assert offences(source_files("engine/kernels"), forbidden) == []


def test_the_kernel_cache_knows_no_kernels():
    def forbidden(name: str, relative: bool) -> bool:
        return relative and not within(name, "spikeunet.engine.kernel_cache")

    assert offences(source_files("engine/kernel_cache"), forbidden) == []


def test_threads_lie_below_everything_but_the_counters():
    allowed = ("spikeunet.engine.threads", "spikeunet.engine.kernels.shared_counter", "spikeunet.engine.errors")

    def forbidden(name: str, relative: bool) -> bool:
        return relative and not any(within(name, part) for part in allowed)

    assert len(source_files("engine/threads")) > 4
    assert offences(source_files("engine/threads"), forbidden) == []


@pytest.mark.parametrize("module", ["lazy", "memory", "quiet"])
def test_what_all_parts_use_builds_on_threads_alone(module):
    def forbidden(name: str, relative: bool) -> bool:
        return relative and not within(name, "spikeunet.engine.threads")

    assert offences([REPOSITORY / "engine" / f"{module}.py"], forbidden) == []


def test_threads_and_locks_come_from_one_place():
    """A thread that is started elsewhere, or a lock that no fork takes, undoes what that place promises."""
    strange = {"threading", "threadpoolctl", "functools.cached_property", "concurrent.futures.ThreadPoolExecutor"}
    paths = [path for path in source_files("engine", "converters") if path.parent.name != "threads"]
    assert offences([path for path in paths if path.name != "lazy.py"], lambda name, _: name in strange) == []
    words = ("cpu_count(", "sched_getaffinity(")
    assert [path for path in paths if any(word in path.read_text("utf-8") for word in words)] == []


@pytest.mark.parametrize("part", ["graph", "neurons"])
def test_descriptions_do_not_know_how_they_are_run(part):
    assert offences(source_files(f"engine/{part}"), lambda name, _: within(name, "spikeunet.engine.kernels")) == []


def test_full_runs_do_not_know_increments():
    paths = source_files("engine/simulation", "engine/kernels", "engine/binding")
    assert offences(paths, lambda name, _: within(name, "spikeunet.engine.increments")) == []


def test_neurons_do_not_import_the_graph():
    assert offences(source_files("engine/neurons"), lambda name, _: within(name, "spikeunet.engine.graph")) == []


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_packages_need_no_deep_learning_framework(framework):
    assert offences(source_files("engine", "converters"), lambda name, _: within(name, framework)) == []


def test_nothing_imports_the_folders_by_their_own_names():
    paths = source_files("engine", "converters", "tests", "examples", "benchmarks", "docs")
    assert offences(paths, lambda name, _: within(name, "engine") or within(name, "converters")) == []


def run_python(program: str, folder: Path, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", program],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def check(program: str, folder: Path, *flags: str, **variables: str) -> None:
    done = run_python(program, folder, *flags, **variables)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("engine", "spikeunet.engine"),
        ("converters", "spikeunet.converters"),
        ("spikeunet.engine.package", "spikeunet"),
    ],
)
def test_importing_a_folder_by_its_own_name_is_refused(folder, name):
    done = run_python(f"import {folder}", REPOSITORY)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    # From a checkout; where the package was installed by copying, there is no such folder.
    assert last.endswith((f"import {name}", f"No module named {folder!r}"))


def test_the_package_itself_is_light_and_knows_its_version(tmp_path):
    program = (
        "import sys; before = set(sys.modules); import spikeunet; new = set(sys.modules) - before\n"
        "assert new == {'spikeunet'}, new\n"
        "from importlib.metadata import version; assert spikeunet.__version__ == version('spikeunet')\n"
        "assert not hasattr(spikeunet, 'version')"
    )
    check(program, tmp_path, "-W", "error")


def test_the_package_runs_as_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "spikeunet", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout.split()[0]) == (0, "", "spikeunet")


IMPORT_EVERYTHING = """
import collections, os, pkgutil, importlib, sys
for root in ("spikeunet.engine", "spikeunet.converters"):
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, root + "."):
        if not module.name.endswith("__main__") and module.name != "spikeunet.engine.package":
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as missing:  # of an extra that is not installed
                if missing.name.partition(".")[0] == "spikeunet":
                    raise
names = collections.defaultdict(set)
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and name != "__main__":
        names[os.path.realpath(file)].add(module.__name__)
ours = {file: found for file, found in names.items() if any(name.startswith("spikeunet.") for name in found)}
assert len(ours) > 10, ours
doubled = {file: found for file, found in ours.items() if len(found) > 1}
assert not doubled, doubled
strangers = [name for name in sys.modules if name.split(".")[0] in ("engine", "converters")]
assert not strangers, strangers
roots = {os.path.realpath(sys.modules[name].__path__[0]) for name in ("spikeunet.engine", "spikeunet.converters")}
assert all(any(file.startswith(root + os.sep) for root in roots) for file in ours), ours
"""


@pytest.mark.parametrize("inside", [False, True], ids=["elsewhere", "in the checkout"])
def test_no_module_is_loaded_twice(inside, tmp_path):
    check(IMPORT_EVERYTHING, REPOSITORY if inside else tmp_path, "-W", "error")


def test_no_second_copy_in_this_test_run():
    files: dict[str, set[str]] = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and any(Path(file).resolve().is_relative_to(folder) for folder in FOLDERS.values()):
            files.setdefault(os.path.realpath(file), set()).add(module.__name__)
    assert {file: names for file, names in files.items() if len(names) > 1} == {}
    assert all(within(name, "spikeunet") for names in files.values() for name in names)


LIGHT_IMPORT = """
import sys
from numba.core import event
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
before = set(sys.modules)
import spikeunet.engine
assert not compiled.buffer, ("compiled upon import", [item.data for _, item in compiled.buffer])
new = set(sys.modules) - before
extras = {"torch", "matplotlib", "imageio", "hypothesis", "pandas", "sklearn", "dask", "distributed"}
heavy = new & {"scipy.sparse", "scipy.linalg", "skimage", "rich", "h5py", "safetensors", *extras}
assert not heavy, heavy
assert "spikeunet.converters" not in sys.modules
"""


def test_importing_the_engine_is_light_and_compiles_nothing(tmp_path):
    # An empty cache folder: a kernel that were compiled upon import could not hide in the cache.
    check(LIGHT_IMPORT, tmp_path, SPIKEUNET_CACHE=str(tmp_path / "cache"))


def test_a_compilation_upon_import_would_be_seen(tmp_path):
    planted = LIGHT_IMPORT.replace(
        "import spikeunet.engine", "import numba; numba.njit('int64(int64)')(lambda x: x); import spikeunet.engine"
    )
    done = run_python(planted, tmp_path)
    assert "compiled upon import" in done.stderr
