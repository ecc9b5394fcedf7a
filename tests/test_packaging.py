"""What is built from the checkout holds everything, and installs in each of the ways that people install it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
FOLDERS = ("engine", "converters")
SOURCE = (
    *FOLDERS,
    "tests",
    "examples",
    "benchmarks",
    "docs",
    ".ci",
    "*.toml",
    "*.md",
    "*.in",
    "*.yml",
    "*.cff",
    ".*.yaml",
    "LICENSE",
    "NOTICE",
)
CHECK_INSTALLATION = """
import sys
from importlib.metadata import files, version
from pathlib import Path
import spikeunet, spikeunet.engine, spikeunet.converters
import spikeunet.engine.command_line
assert spikeunet.__version__ == sys.argv[2]
root = Path(sys.argv[1]).resolve()
for package in (spikeunet, spikeunet.engine, spikeunet.converters):
    folder = Path(package.__file__).resolve().parent
    assert folder.is_relative_to(root), (folder, root)
    assert (folder / "py.typed").is_file()
models = Path(spikeunet.engine.__file__).resolve().parent / "models"
assert len(list(models.glob("*.npz"))) == int(sys.argv[3]), sorted(models.iterdir())
assert version("spikeunet") == sys.argv[2]
print(*spikeunet.engine.list_models())
print(spikeunet.engine.IntegrateAndFire(threshold=1.0))
"""


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command that must succeed, run in a folder without this run's Python settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def models() -> list[str]:
    return sorted(path.name for path in (REPOSITORY / "engine" / "models").glob("*.npz"))


def installed_name(path: Path) -> str:
    """Where a file of the checkout lies in the installed package, from site-packages on."""
    name = path.relative_to(REPOSITORY).as_posix()
    return "spikeunet/" + name.removeprefix("engine/package/")


def package_of(path: Path) -> str:
    return installed_name(path).rpartition("/")[0].replace("/", ".")


def test_every_package_folder_is_listed():
    files = (path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("__init__.py"))
    found = {package_of(path) for path in files}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found)


def test_every_folder_with_python_files_is_a_package():
    folders = {path.parent for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_file_that_is_not_python_is_package_data():
    data = PROJECT["tool"]["setuptools"]["package-data"]
    others = [
        path
        for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]
    assert others
    missed = [
        str(path) for path in others if not any(path.match(pattern) for pattern in data.get(package_of(path), ()))
    ]
    assert missed == []


NEEDED = {re.split(r"[>=<\[]", line)[0] for line in PROJECT["project"]["dependencies"]}
MODULES = {"pillow": "PIL"}
OPTIONAL = {
    "av", "cycler", "dask", "distributed", "faery", "h5py", "hypothesis", "imagecodecs", "jinja2", "matplotlib", "nir",
    "onnx", "pandas", "safetensors", "skimage", "sklearn", "tornado",
}  # fmt: skip
"""What extras bring. A package that is not here is needed by everybody, and weighs on every installation."""


def imported_modules() -> dict[str, set[str]]:
    """Packages of others that the code names in imports, and the files that do."""
    found: dict[str, set[str]] = {}
    for path in (path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            for name in (name.partition(".")[0] for name in names):
                if name not in sys.stdlib_module_names and name != "spikeunet":
                    found.setdefault(name, set()).add(path.name)
    return found


def test_what_is_imported_is_what_is_declared():
    needed = {MODULES.get(name, name) for name in NEEDED}
    found = imported_modules()
    # LLVM's binding comes with Numba, which is nothing without it.
    assert {name: found[name] for name in set(found) - needed - OPTIONAL - {"llvmlite"}} == {}
    assert needed <= set(found)


def test_the_readme_names_what_comes_along():
    text = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    named = re.search(r"What comes along: ([^.]*)\.", text)
    assert named is not None
    assert set(re.split(", | and ", named[1])) == NEEDED


def test_the_installed_version_is_that_of_this_checkout():
    assert version("spikeunet") == PROJECT["project"]["version"]


def test_the_changelog_knows_the_version():
    assert f"## [{PROJECT['project']['version']}]" in (REPOSITORY / "CHANGELOG.md").read_text("utf-8")


def test_the_citation_names_this_version():
    assert f"version: {PROJECT['project']['version']}\n" in (REPOSITORY / "CITATION.cff").read_text("utf-8")


def test_the_readme_states_what_the_package_needs():
    text = (REPOSITORY / "README.md").read_text("utf-8")
    names = [re.match(r"[\w-]+", each)[0].lower() for each in PROJECT["project"]["dependencies"]]
    (sentence,) = re.findall(r"What comes along: (.*?)\.\s", text, re.DOTALL)
    stated = {each.strip().lower() for each in re.split(r",|\band\b", sentence)}
    assert stated == set(names)


def test_the_command_is_installed_and_leads_to_a_function():
    (script,) = (entry for entry in entry_points(group="console_scripts") if entry.name == "spikeunet")
    assert callable(script.load())


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the checkout, since building leaves files behind."""
    copy = tmp_path_factory.mktemp("source")
    for item in (item for pattern in SOURCE for item in REPOSITORY.glob(pattern)):
        if item.is_dir():
            shutil.copytree(item, copy / item.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(item, copy)
    (copy / "models").mkdir(exist_ok=True)
    (copy / "models" / "outside.npz").touch()  # a model of the checkout, which stays out of the wheel
    return copy


def build(kind: str, source: Path, target: Path) -> Path:
    """Build an "sdist" or a "wheel" of a source folder with the running environment's setuptools."""
    program = f"import sys, setuptools.build_meta as backend; backend.build_{kind}(sys.argv[1])"
    run(sys.executable, "-c", program, target, folder=source)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory) -> Path:
    return build("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """The wheel that is built from the sdist alone."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        # The oldest releases of Python 3.11 have no filters.
        archive.extractall(unpacked, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = unpacked.iterdir()
    return build("wheel", folder, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory) -> Path:
    """A folder of links to what the running environment has installed, spikeunet itself left out."""
    links = tmp_path_factory.mktemp("dependencies")
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for item in Path(place).iterdir():
            if "spikeunet" not in item.name and item.suffix != ".pth" and not (links / item.name).exists():
                (links / item.name).symlink_to(item, target_is_directory=item.is_dir())
    return links


@pytest.fixture
def environment(dependencies, tmp_path) -> Path:
    """Programs of a fresh virtual environment that has the dependencies, but not spikeunet."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    (Path(paths["purelib"]) / "dependencies.pth").write_text(f"{dependencies}\n", "utf-8")
    return Path(paths["scripts"])


def install(programs: Path, folder: Path, *what: str | Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "--quiet", "install"]
    run(*pip, "--no-index", "--no-deps", "--no-build-isolation", "--no-compile", *what, folder=folder)


def check_installation(programs: Path, root: Path, elsewhere: Path, module_in: Path) -> list[str]:
    """Names of the models that are found; `module_in` is where `python -m spikeunet` is run."""
    arguments = (root, PROJECT["project"]["version"], str(len(models())))
    found = run(programs / "python", "-W", "error", "-c", CHECK_INSTALLATION, *arguments, folder=elsewhere)
    for command, folder in (
        ((programs / "spikeunet",), elsewhere),
        ((programs / "python", "-m", "spikeunet"), module_in),
    ):
        assert "spikeunet denoise" in run(*command, "--help", folder=folder)
    return found.split()


@pytest.mark.slow
def test_sdist_holds_what_building_and_testing_need(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = [path for folder in (*FOLDERS, "tests", "examples") for path in (REPOSITORY / folder).rglob("*.py")]
    wanted = {path.relative_to(REPOSITORY).as_posix() for path in sources}
    wanted |= {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", ".ci/run"}
    wanted |= {"mkdocs.yml", "CITATION.cff", "docs/index.md", "docs/tutorials/convert.md", ".ci/minimum"}
    wanted |= {f"engine/models/{name}" for name in models()}
    assert wanted - names == set()


@pytest.mark.slow
def test_wheel_from_the_sdist_holds_every_module_and_model(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    kept = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
    wanted = {installed_name(path) for path in kept if "__pycache__" not in path.parts}
    assert names == wanted
    assert {"spikeunet/py.typed", "spikeunet/engine/py.typed", "spikeunet/converters/py.typed"} <= names


@pytest.mark.slow
def test_distributions_are_fit_to_be_published(sdist, wheel):
    for module in ("twine", "check_wheel_contents"):
        pytest.importorskip(module, reason=f"{module} is not installed (extra dev)")
    said = run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, folder=wheel.parent)
    assert said.count("PASSED") == 2
    run(sys.executable, "-m", "check_wheel_contents", wheel, folder=wheel.parent)


@pytest.mark.slow
def test_wheel_states_licence_and_requirements(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        licences = [name for name in archive.namelist() if ".dist-info/licenses/" in name]
    assert "License-Expression: Apache-2.0" in text
    assert {Path(name).name for name in licences} == {"LICENSE", "NOTICE"}
    core = [line for line in text.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert not any(heavy in line for heavy in ("torch", "matplotlib", "pytest") for line in core)


@pytest.mark.slow
def test_wheel_installs(wheel, environment, tmp_path):
    install(environment, tmp_path, wheel)
    assert "outside" not in check_installation(environment, environment.parent, tmp_path, tmp_path)


@pytest.mark.slow
def test_folder_installs_editable(source, environment, tmp_path):
    install(environment, tmp_path, "--editable", source)
    # From inside the checkout, too, only spikeunet.engine is the engine.
    assert "outside" in check_installation(environment, source, tmp_path, source)
