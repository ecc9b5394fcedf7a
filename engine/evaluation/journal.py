"""The journal of an evaluation: one line for each finished picture, so that an interruption loses none of them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from ..errors import InputError
from ..files.lock import open_locked
from .picture_task import Outcome, PictureTask, Row

FORMAT = "spikeunet evaluation 1"

_START = b'{"format"'


class Journal:
    """Finished pictures, in a file of JSON lines that is only ever appended to, by one process at a time.

    A context manager: at its end the file is closed, and goes away where nothing stands in it.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    signature : mapping
        What every line depends on: model, version, steps, seed, ... as JSON values.

    Raises
    ------
    InputError
        If the file is the journal of another evaluation, or none, or another process writes it.
    OSError
        If the file cannot be opened.
    """

    def __init__(self, path: Path | None, signature: Mapping[str, Any]) -> None:
        self._path = path
        self._signature = dict(signature)
        self._rows: dict[str, list[Row]] = {}
        self._stream = None if path is None else open_locked(path)
        if path is not None and self._stream is None:
            raise InputError(f"{path.parent}: another evaluation writes there; wait for it, or choose another folder")
        try:
            self._rows = self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def finished(self, task: PictureTask) -> Sequence[Row] | None:
        """Rows of a picture that is finished and whose files are still the same; None where it has to be evaluated."""
        rows = self._rows.get(_key(task))
        if not rows:
            return None
        try:
            digests = task.digests()
        except OSError:  # evaluating it says what is wrong, without stopping the others
            return None
        return rows if all(rows[0].get(name) == digest for name, digest in digests.items()) else None

    def add(self, outcome: Outcome) -> None:
        """Note a finished picture; it is on the disk when this returns."""
        if self._stream is None or outcome.error is not None:
            return
        content = {"key": outcome.task.key, "rows": outcome.rows}
        lines: list[dict[str, Any]] = [{**content, "sha256": _digest(content)}]
        if not self._size():
            lines.insert(0, {"format": FORMAT, "signature": self._signature})
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        self._append(self._stream, text.encode())

    def remove(self) -> None:
        """Close the file and remove it: the results are written elsewhere."""
        self._end(remove=True)

    def close(self) -> None:
        """Let another process have the file."""
        self._end(remove=self._stream is not None and not self._size())

    def _end(self, *, remove: bool) -> None:
        stream, self._stream = self._stream, None
        if stream is None or self._path is None:
            return
        if remove and sys.platform != "win32":  # while nobody else can have it
            self._path.unlink(missing_ok=True)
        stream.close()
        if remove:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _size(self) -> int:
        return 0 if self._stream is None else os.fstat(self._stream.fileno()).st_size

    def _append(self, stream: BinaryIO, content: bytes) -> None:
        """Write whole lines or, where the disk is full, none."""
        before, rest = self._size(), memoryview(content)
        try:
            while rest:
                rest = rest[stream.write(rest) :]
            os.fsync(stream.fileno())
        except OSError as error:
            with suppress(OSError):
                stream.truncate(before)
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def _read(self) -> dict[str, list[Row]]:
        if self._stream is None:
            return {}
        self._stream.seek(0)
        content = self._stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole and _START.startswith(content[: len(_START)]):  # interrupted while the first lines were written
            self._stream.truncate(0)
            return {}
        try:
            signature, rows = _parse(whole)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError(
                f"{self._path}: is no journal of an evaluation; choose another folder or remove it"
            ) from None
        different = [name for name, value in self._signature.items() if signature.get(name) != value]
        if different:
            raise InputError(
                f"{self._path}: an interrupted evaluation left this journal, and differs in {', '.join(different)}; "
                "choose another folder or remove it"
            )
        if whole != content:  # an interruption tore the last line
            self._stream.truncate(len(whole))
        return rows


def _parse(content: bytes) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """Signature and rows by key; ValueError, KeyError, TypeError or AttributeError where the content is no journal.

    A damaged line costs its picture, which is evaluated again, and not the others.
    """
    first, *lines = content.splitlines()
    header = json.loads(first)
    if header["format"] != FORMAT:
        raise ValueError(header["format"])
    rows = dict(found for found in map(_entry, lines) if found is not None)
    return dict(header["signature"]), rows


def _entry(text: bytes) -> tuple[str, list[Row]] | None:
    """Key and rows of a line as it was written; None of any other."""
    try:
        line = json.loads(text)
        if line.pop("sha256") == _digest(line):
            return json.dumps(line["key"]), [dict(row) for row in line["rows"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return None


def _digest(content: Mapping[str, Any]) -> str:
    """Of what a line holds: results are taken from the journal unseen, so it must be as it was written."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _key(task: PictureTask) -> str:
    return json.dumps(task.key)
