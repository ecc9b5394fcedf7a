"""Where `--report` goes: a file of JSON, stdout, or a folder for a page."""

from __future__ import annotations

import os
from pathlib import Path

from .claims import Claims
from .pipes import PIPE
from .streams import check_stdout

PAGE, NUMBERS = "report.html", "report.json"


def page_folder(report: str | None) -> Path | None:
    """The folder for a page, None where the report is a file or stdout.

    A folder is what is one, what ends in a slash, and a new name without a suffix.
    """
    if report is None or report == PIPE:
        return None
    path = Path(report)
    new = not path.suffix and not path.exists()
    return path if report.endswith(os.sep) or path.is_dir() or new else None


def claim_report(report: str | None, claims: Claims, pictures: int) -> None:
    """Raise where the report could not be written or would overwrite another file."""
    from ..report import check_report
    from .jobs import check_folder, check_new_folder

    if report == PIPE:
        check_stdout()
    if report is None or report == PIPE:
        return
    folder = page_folder(report)
    if folder is None:
        claims.writes("the report", Path(report))
        check_folder(Path(report).parent)
        return
    check_report()
    check_new_folder(folder)
    for name in sorted({PAGE, NUMBERS, *(page_name(index, pictures) for index in range(pictures))}):
        claims.writes("the report", folder / name)


def page_name(index: int, pictures: int) -> str:
    """The page of one picture among several."""
    return PAGE if pictures == 1 else f"{index + 1:0{len(str(pictures))}}.html"
