"""What every command can be asked of its output: JSON in place of text (`--json`), or nothing but errors (`--quiet`).

Commands print by `console.print_fields` and `console.print_rows`, and hand the same as data to `put_data`; which of the
two comes out is decided here, for all of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ..errors import InputError

_JSON, _QUIET, _DATA, _SHOWN, _STDERR = (f"spikeunet.{name}" for name in ("json", "quiet", "data", "shown", "stderr"))


def add_output_options(command: click.Command) -> None:
    """Give a command `--quiet`, and `--json` where it has none of its own."""
    names = {name for option in command.params for name in option.opts}
    if "--json" not in names:
        command.params.append(
            click.Option(
                ["--json"],
                is_flag=True,
                expose_value=False,
                callback=_noted(_JSON),
                help="Print JSON in place of the usual text.",
            )
        )
    if "--quiet" not in names:
        command.params.append(
            click.Option(
                ["-q", "--quiet"],
                is_flag=True,
                expose_value=False,
                callback=_noted(_QUIET),
                help="Print nothing but warnings and errors.",
            )
        )


def _noted(key: str) -> Any:
    def note(context: click.Context, _option: click.Parameter, given: bool) -> None:
        if given:
            context.meta[key] = True
            _check_stdout()
            logging.getLogger("spikeunet").setLevel(logging.WARNING)

    return note


def asks_for_json() -> bool:
    """Whether the command that runs was given `--json`, by this module's option."""
    return bool(_meta().get(_JSON))


def is_quiet() -> bool:
    """Whether the command that runs was given `--quiet`: neither results nor progress are shown."""
    return bool(_meta().get(_QUIET))


def shows_text() -> bool:
    """Whether what a command has to tell is to be printed as text."""
    return not asks_for_json() and not is_quiet()


def text_to_stderr() -> None:
    """Have what is printed as text go to stderr, because stdout gets a file."""
    _meta()[_STDERR] = True
    _check_stdout()


def printed_to_stderr() -> None:
    """Have all that is printed, text or JSON, go to stderr, because stdout gets a picture."""
    _meta()[_STDERR] = True


def _check_stdout() -> None:
    if asks_for_json() and prints_to_stderr():
        raise InputError("a model and --json are both to be alone on stdout; give the model a file's name")


def prints_to_stderr() -> bool:
    """Whether text goes to stderr."""
    return bool(_meta().get(_STDERR))


def note_text(kind: str, content: Any) -> None:
    """Keep what would be printed as text, for a command that has no data of its own to put out as JSON."""
    if asks_for_json():
        shown = _meta().setdefault(_SHOWN, {"fields": {}, "tables": []})
        if kind == "fields":
            shown["fields"].update(content)
        else:
            shown["tables"].append(content)


def put_data(data: Mapping[str, Any] | Sequence[Any]) -> None:
    """What a command found, as JSON values; printed when it ends, where `--json` asks for it."""
    if asks_for_json():
        _meta()[_DATA] = data


def print_data() -> None:
    """Print what `put_data` was given, else what the command would have printed as text."""
    if asks_for_json():
        data = _meta().get(_DATA, _meta().get(_SHOWN, {}))
        click.echo(json.dumps(data, indent=2, allow_nan=False, default=str), err=prints_to_stderr())


def _meta() -> dict[str, Any]:
    context = click.get_current_context(silent=True)
    return {} if context is None else context.meta
