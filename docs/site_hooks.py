"""What mkdocs does for this site besides: pages from outside docs/, links out of it, packages under their own names."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "benchmarks/README.md": "benchmarks.md"}
"""Documents beside docs/ that are pages of the site."""

_LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_startup(**_):
    """The folders under the names that they install as, as .ci/types does it, so that the sources are read.

    Before anything is configured: mkdocstrings looks for its paths then, and does not look again.
    """
    tree = REPOSITORY / ".mkdocs" / "spikeunet"
    tree.mkdir(parents=True, exist_ok=True)
    for name in ("engine", "converters"):
        if not (tree / name).exists():
            (tree / name).symlink_to(REPOSITORY / name, target_is_directory=True)
    (tree / "__init__.py").touch()


def on_files(files, config):
    """Pages from outside, and the sources that pages link to."""
    for source, page in PAGES.items():
        text = _moved((REPOSITORY / source).read_text("utf-8"), source)
        files.append(File.generated(config, page, content=text))
    for page in [each for each in files if each.src_uri.endswith(".md")]:
        for target in _outside(page.content_string if page.generated_by else _text(page)):
            if files.get_file_from_path(f"source/{target}") is None and (REPOSITORY / target).is_file():
                files.append(File.generated(config, f"source/{target}", content=(REPOSITORY / target).read_bytes()))
    return files


def _unlisted() -> str:
    """Public names of the engine that no page of the API names, so that none is missing."""
    tree = ast.parse((REPOSITORY / "engine" / "__init__.py").read_text("utf-8"))
    assigned = {target.id: node.value for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
    listed = "".join(path.read_text("utf-8") for path in (REPOSITORY / "docs" / "api").glob("*.md"))
    names = [name for name in ast.literal_eval(assigned["__all__"]) if f"::: spikeunet.engine.{name}\n" not in listed]
    return "\n".join(f"::: spikeunet.engine.{name}\n" for name in names)


def on_page_markdown(markdown, page, **_):
    """Links out of docs/ lead to the copies that the site has."""
    if page.file.src_uri == "api/other.md":
        markdown += _unlisted()
    up = "../" * page.file.src_uri.count("/")

    def link(found):
        target = found[1]
        if not target.startswith("../"):
            return found[0]
        place = _normal(page.file.src_uri, target)
        if place is None:
            return found[0]
        where = {**PAGES, "README.md": "index.md"}.get(place, f"source/{place}")
        return f"]({up}{where}{found[2] or ''})"

    return _LINK.sub(link, markdown)


def _text(page) -> str:
    return Path(page.abs_src_path).read_text("utf-8")


def _normal(page: str, target: str) -> str | None:
    """A target outside docs/, from the repository's root; None for what lies inside."""
    place = os.path.normpath(PurePosixPath("docs", page).parent / target)
    return None if place.startswith(("docs/", "..")) else place


def _outside(text: str) -> set[str]:
    """Files outside docs/ that a page at its top links to."""
    found = {_normal("index.md", each[1]) for each in _LINK.finditer(text) if each[1].startswith("../")}
    return {each for each in found if each is not None and each not in {*PAGES, "README.md"}}


def _moved(text: str, source: str) -> str:
    """A document whose links are true from docs/, where it seems to lie."""
    folder = PurePosixPath(source).parent

    def link(found):
        place = os.path.normpath(folder / found[1])
        where = place.removeprefix("docs/") if place.startswith("docs/") else f"../{place}"
        return f"]({where}{found[2] or ''})"

    return _LINK.sub(link, text)
