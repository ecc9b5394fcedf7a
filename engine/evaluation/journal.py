"""The journal of an evaluation: one line for each finished picture, so that an interruption loses none of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.json_text import parse_json
from .picture_task import Outcome, PictureTask, Row

FORMAT = "spikeunet evaluation 1"

_START = b'{"format"'


class Journal:
    """Finished pictures, in a file of JSON lines that is only ever appended to.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    signature : mapping
        What every line depends on: model, version, steps, seed, ... as JSON values.

    Raises
    ------
    InputError
        If the file is the journal of another evaluation, or none.
    """

    def __init__(self, path: Path | None, signature: Mapping[str, Any]) -> None:
        self.path = path
        self._signature = dict(signature)
        self._rows = {} if path is None or not path.exists() else self._read(path)

    def finished(self, task: PictureTask) -> Sequence[Row] | None:
        """Rows of a picture that is finished and whose files are still the same; None where it has to be evaluated."""
        rows = self._rows.get(_key(task))
        if not rows:
            return None
        return rows if all(rows[0].get(name) == digest for name, digest in task.digests().items()) else None

    def add(self, outcome: Outcome) -> None:
        """Note a finished picture; it is on the disk when this returns."""
        if self.path is None or outcome.error is not None:
            return
        content = {"key": outcome.task.key, "rows": outcome.rows}
        lines: list[dict[str, Any]] = [{**content, "sha256": _digest(content)}]
        if not self.path.exists():
            lines.insert(0, {"format": FORMAT, "signature": self._signature})
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())

    def _read(self, path: Path) -> dict[str, list[Row]]:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole and _START.startswith(content[: len(_START)]):  # interrupted while the first lines were written
            path.unlink()
            return {}
        try:
            signature, rows = _parse(whole)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: is no journal of an evaluation; choose another folder or remove it") from None
        different = [name for name, value in self._signature.items() if signature.get(name) != value]
        if different:
            raise InputError(
                f"{path}: an interrupted evaluation left this journal, and differs in {', '.join(different)}; choose "
                "another folder or remove it"
            )
        if whole != content:  # an interruption tore the last line
            with open(path, "r+b") as stream:
                stream.truncate(len(whole))
        return rows


def _parse(content: bytes) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """Signature and rows by key; ValueError, KeyError, TypeError or AttributeError where the content is no journal."""
    header, *lines = (parse_json(line) for line in content.decode().splitlines())
    if header["format"] != FORMAT:
        raise ValueError(header["format"])
    for line in lines:
        if line.pop("sha256") != _digest(line):
            raise ValueError("a line was changed")
    rows = {json.dumps(line["key"]): [dict(row) for row in line["rows"]] for line in lines}
    return dict(header["signature"]), rows


def _digest(content: Mapping[str, Any]) -> str:
    """Of what a line holds: results are taken from the journal unseen, so it must be as it was written."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _key(task: PictureTask) -> str:
    return json.dumps(task.key)
