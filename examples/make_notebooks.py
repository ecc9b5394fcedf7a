"""Make notebooks of the examples that are written in cells, or of some of them:

    python examples/make_notebooks.py [NAME...]

into the folder examples/notebooks, which is not kept in the repository, because a script is easier to read, to compare
and to test. Needs jupytext: `pip install "spikeunet[notebooks]"`. Run them from there, or with `--execute`, which keeps
what they print.
"""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = Path(__file__).resolve().parent


def scripts() -> list[Path]:
    """The examples in cells."""
    return sorted(path for path in FOLDER.glob("*.py") if path.read_text("utf-8").startswith("# %% [markdown]"))


def notebook_of(script: Path):
    """A notebook without outputs, whose kernel is that of whoever opens it."""
    import jupytext

    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


@click.command()
@click.argument("names", nargs=-1)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=FOLDER / "notebooks")
@click.option("--execute", is_flag=True, help="Run them, and keep what they print.")
def main(names: tuple[str, ...], out: Path, execute: bool) -> None:
    """Write notebooks of the examples NAME..., by default of all."""
    import nbformat

    out.mkdir(parents=True, exist_ok=True)
    for script in (each for each in scripts() if not names or each.stem in names):
        notebook = notebook_of(script)
        if execute:
            from nbclient import NotebookClient

            NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
        nbformat.write(notebook, out / f"{script.stem}.ipynb")
        print(out / f"{script.stem}.ipynb")


if __name__ == "__main__":
    main()
