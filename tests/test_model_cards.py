"""Every model that comes with the package has a card, and all that shows it shows the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import ModelFileError, list_models, load_model, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.models import model_origins
from spikeunet.engine.models.cards import FIELDS, card_of, page_of_cards, shipped_cards
from spikeunet.engine.pictures.noise_estimate import KINDS
from spikeunet.engine.tasks.inference import task_of

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = [name for name in list_models() if model_origins()[name] == "package"]


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["info", *arguments])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_every_shipped_model_has_a_card_and_every_card_a_model():
    assert sorted(shipped_cards()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_is_complete_and_true_of_its_model(name):
    card, network = card_of(name), load_model(name)
    assert list(card) == list(FIELDS)
    assert all(card[field] for field in FIELDS)
    assert (card["name"], card["task"]) == (name, task_of(network))
    assert card["channels"] == network.input.channels
    assert set(card["knows"]) == {"noise", "sigma", "automatic"}
    assert set(card["knows"]["noise"]) <= set(KINDS)
    if card["task"] == "denoise":
        assert card["knows"]["noise"]
        assert card["knows"]["sigma"] == list(network.metadata.get("sigma", network.metadata.get("calibration_sigma")))
    for score in card["scores"]:
        assert {"set", "measure", "value"} <= set(score)
    assert all(line.startswith(("python examples/", "spikeunet ")) for line in card["training"])


IN_THE_README = ("denoise-gray", "denoise-gray-fast", "denoise-tiny", "denoise-colour", "denoise-colour-fast")


def cells(row):
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("name", IN_THE_README)
def test_scores_are_those_of_the_readme(name):
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    head = re.search(rf"^\|.*\| `{name}`, T = 1 \|.*$", readme, re.MULTILINE)[0]
    for score in (each for each in card_of(name)["scores"] if "sigma" in each):
        row = re.search(rf"^\| {score['set']} \| {score['sigma']:g} \|.*\|$", readme, re.MULTILINE)[0]
        assert float(cells(row)[cells(head).index(f"`{name}`, T = 1")].split("/")[0]) == score["value"]


def test_the_documents_show_the_cards():
    assert (REPOSITORY / "docs" / "models.md").read_text("utf-8") == page_of_cards()


def test_info_shows_the_card(capsys):
    text = shown(capsys, "denoise-gray-fast")
    for field in ("data", "data_licence", "licence", "summary"):
        assert re.search(rf"^{FIELDS[field]} +{re.escape(card_of('denoise-gray-fast')[field])}$", text, re.MULTILINE)
    assert "Set12, sigma 25: PSNR, dB 29.88" in text
    assert text.count("spikeunet finetune") == 5
    facts = json.loads(shown(capsys, "denoise-gray-fast", "--json", "--shape", "16x16"))
    assert facts["card"] == card_of("denoise-gray-fast")
    assert facts["metadata"] == dict(load_model("denoise-gray-fast").metadata)
    first = facts["nodes"][0]
    assert (first["name"], first["kind"], first["reads"], first["shape"]) == ("input", "Input", [], [1, 16, 16])


def test_a_model_of_ones_own_may_have_a_card(tmp_path, monkeypatch, capsys):
    save_model(small_denoiser(), tmp_path / "mine.npz")
    assert json.loads(shown(capsys, str(tmp_path / "mine.npz"), "--json"))["card"] is None
    card = {**card_of("denoise-gray"), "name": "mine", "summary": "A card | of mine"}
    (tmp_path / "mine.json").write_text(json.dumps(card))
    assert "A card | of mine" in shown(capsys, str(tmp_path / "mine.npz"))
    monkeypatch.setenv("SPIKEUNET_MODELS", str(tmp_path))
    assert card_of("mine") == card


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "a model card is a JSON object"),
        ("{", "is not a model card in JSON"),
        ('{"name": 1}', "lacks task, summ"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path, content, message):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(ModelFileError, match=message):
        card_of(str(tmp_path / "mine.npz"))
