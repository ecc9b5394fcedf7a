"""Model cards: what a model was trained on, how good it is, what it does not know, and how to make it again.

A card is a JSON file of the model's name beside the model; docs/models.md shows all of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..files.json_text import parse_json
from .folders import SUFFIX, model_folders

CARD_SUFFIX = ".json"

FIELDS: Mapping[str, str] = {
    "name": "model",
    "task": "task",
    "summary": "what it is for",
    "channels": "channels",
    "knows": "what it knows",
    "data": "trained on",
    "data_licence": "licence of the data",
    "licence": "licence of the model",
    "scores": "scores",
    "limits": "limits",
    "training": "how to train it anew",
}
"""What every card has, and how it is called where it is shown."""

_PAGE = """# Model cards

One for each model that comes with the package, as `spikeunet info MODEL` and `spikeunet info MODEL --json` show it.
This page is made of the files beside the models, `engine/models/*.json`, by `python -m spikeunet.engine.models.cards >
docs/models.md`; a test holds the two together. A model of your own has a card where a JSON file of its name with the
same fields lies beside it.

```
spikeunet info denoise-gray-fast
```"""


def card_of(model: str) -> dict[str, Any] | None:
    """The card of a shipped model, or of one in a folder of models or a file, where one lies beside it; else None.

    Raises
    ------
    ModelFileError
        If it is no JSON object or lacks a field.
    """
    if model in shipped_cards():
        return dict(shipped_cards()[model])
    for path in _beside(model):
        if path.is_file():
            return _checked(path.read_bytes(), os.fspath(path))
    return None


@cache
def shipped_cards() -> dict[str, dict[str, Any]]:
    """The cards of the models that come with the package, by name."""
    files = sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
    cards = [file for file in files if file.name.endswith(CARD_SUFFIX)]
    return {file.name.removesuffix(CARD_SUFFIX): _checked(file.read_bytes(), file.name) for file in cards}


def texts(card: Mapping[str, Any], field: str) -> list[str]:
    """What a card's field says, in lines."""
    value = card[field]
    if field == "knows":
        return [_known(value)]
    if field == "scores":
        return [_score(each) for each in value]
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _known(value: Mapping[str, Any]) -> str:
    if not value["noise"]:
        return "-"
    low, high = value["sigma"]
    chosen = "chosen by --model auto" if value["automatic"] else "not chosen by --model auto"
    return f"{', '.join(value['noise'])} noise of sigma {low:g} to {high:g} on the 0-255 scale; {chosen}"


def _score(score: Mapping[str, Any]) -> str:
    level = f", sigma {score['sigma']:g}" if "sigma" in score else ""
    return f"{score['set']}{level}: {score['measure']} {score['value']:g}"


def page_of_cards() -> str:
    """docs/models.md: the cards of all shipped models."""
    parts = [_PAGE]
    for name, card in sorted(shipped_cards().items()):
        rows = []
        for field, title in FIELDS.items():
            lines = [text.replace("|", "\\|") for text in texts(card, field)]
            code = field in ("name", "training")
            rows.append(f"| {title} | {'<br>'.join(f'`{line}`' if code else line for line in lines)} |")
        parts.append("\n".join([f"## {name}", "", "| | |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _beside(model: str) -> list[Path]:
    if model.endswith(SUFFIX):
        return [Path(model).with_suffix(CARD_SUFFIX)]
    return [folder / f"{model}{CARD_SUFFIX}" for folder in model_folders()]


def _checked(content: bytes, name: str) -> dict[str, Any]:
    try:
        card = parse_json(content)
    except ValueError as error:
        raise ModelFileError(f"{name}: is not a model card in JSON ({error})") from None
    if not isinstance(card, dict):
        raise ModelFileError(f"{name}: a model card is a JSON object (got {type(card).__name__})")
    missing = [field for field in FIELDS if field not in card]
    if missing:
        raise ModelFileError(f"{name}: the model card lacks {', '.join(missing)}")
    return card


if __name__ == "__main__":
    import sys

    sys.stdout.write(page_of_cards())
