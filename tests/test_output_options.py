"""What all commands have in common: --json, --quiet, models through pipes, the doctor, tables for notebooks."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import load_model, save_model, simulate, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.doctor import examined
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.files.model_file import read_model
from spikeunet.engine.html_tables import MOST_ROWS, html_table


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    return stop.value.code


class Piped:
    """A stdin or stdout of bytes."""

    def __init__(self, content=b""):
        self.buffer = io.BytesIO(content)

    def isatty(self):
        return False

    def write(self, text):
        return self.buffer.write(text.encode())

    def flush(self):
        pass


@pytest.fixture
def model(tmp_path):
    save_model(small_denoiser(description="half of everything"), tmp_path / "model.npz")
    return tmp_path / "model.npz"


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_json_and_quiet(name):
    commands = [main.commands[name]]
    if isinstance(commands[0], click.Group):
        context = click.Context(commands[0])
        commands += [commands[0].get_command(context, each) for each in commands[0].list_commands(context)]
    for command in commands:
        options = {option for parameter in command.params for option in parameter.opts}
        # What listens until it is stopped has nothing to put out at its end.
        assert {"--json", "--quiet"} <= options or name == "serve"


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_in_the_table_of_commands(name):
    page = (Path(__file__).resolve().parent.parent / "docs" / "commands.md").read_text("utf-8")
    assert re.search(rf"^\| [^|]*`{name}`", page, re.MULTILINE)


NAMES = ["info", "quantize", "doctor", "report", "resample"]


def commands(model, tmp_path):
    picture = tmp_path / "small.png"
    write_picture(picture, (np.arange(256).reshape(16, 16)).astype(np.uint8))
    return {
        "info": ["info", model, "--shape", "32x32"],
        "quantize": ["quantize", model, "-o", tmp_path / "small.npz"],
        "doctor": ["doctor"],
        "report": ["report", model, picture, "-o", tmp_path / "page"],
        "resample": ["resample", picture, "--scale", "2", "-o", tmp_path / "large.png"],
    }


@pytest.fixture
def one_model(monkeypatch):
    """As if this one were all that is shipped: tests/test_command_line.py lists those that are."""
    from spikeunet.engine import models

    monkeypatch.setattr(models, "model_origins", lambda: {"small": "package"})
    monkeypatch.setattr(models, "load_model", lambda _: small_denoiser(description="half of everything"))


@pytest.mark.usefixtures("one_model")
def test_the_list_of_models_in_json_and_in_silence(capsys):
    assert run("models", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["description"]) == ("small", "half of everything")
    assert run("models", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_json_is_all_that_is_printed(name, model, tmp_path, capsys):
    if name == "report":
        pytest.importorskip("jinja2", reason="reports need jinja2 (extra report)")
        pytest.importorskip("matplotlib", reason="reports need matplotlib (extra report)")
    assert run(*commands(model, tmp_path)[name], "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)
    assert printed.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_quiet_command_prints_nothing(name, model, tmp_path, capsys):
    if name == "report":
        pytest.importorskip("jinja2", reason="reports need jinja2 (extra report)")
        pytest.importorskip("matplotlib", reason="reports need matplotlib (extra report)")
    assert run(*commands(model, tmp_path)[name], "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_quiet_still_tells_errors_and_the_next_command_talks_again(model, capsys):
    level = logging.getLogger("spikeunet").level
    assert run("info", "no-such-model", "--quiet") == 2
    assert capsys.readouterr().err.startswith("spikeunet: error: no model is called 'no-such-model'")
    assert logging.getLogger("spikeunet").level == level
    assert run("info", model) == 0
    assert "parameters" in capsys.readouterr().out


def test_json_of_info_has_numbers(model, capsys):
    network = small_denoiser()
    run("info", model, "--json", "--shape", "32x32")
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == network.parameters == sum(node["parameters"] for node in found["nodes"])
    assert found["dense_macs"] == sum(node["dense_macs"] for node in found["nodes"]) > 0
    assert found["metadata"]["description"] == "half of everything"


def test_a_command_without_data_of_its_own_gives_its_text_as_json(capsys):
    import click

    from spikeunet.engine.command_line.console import print_fields, print_rows
    from spikeunet.engine.command_line.group import GuardedGroup

    @click.command()
    def other():
        print_fields([("name", "value")])
        print_rows(["a", "b"], [["1", "2"]])

    group = GuardedGroup("spikeunet")
    group.add_command(other)
    with pytest.raises(SystemExit):
        group.main(["other", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == {"fields": {"name": "value"}, "tables": [[{"a": "1", "b": "2"}]]}


def test_models_go_through_pipes(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Piped(model.read_bytes()))
    monkeypatch.setattr(sys, "stdout", piped := Piped())
    assert run("quantize", "-", "-o", "-") == 0
    monkeypatch.undo()
    printed = capsys.readouterr()
    assert "SNR" in printed.err
    (tmp_path / "piped.npz").write_bytes(piped.buffer.getvalue())
    assert run("quantize", model, "-o", tmp_path / "file.npz") == 0
    np.testing.assert_array_equal(*(read_model(tmp_path / name).nodes[1].weight for name in ("piped.npz", "file.npz")))


def test_a_model_and_json_cannot_both_go_to_stdout(model, capsys):
    for arguments in (["-o", "-", "--json"], ["--json", "-o", "-"]):
        assert run("quantize", model, *arguments) == 2
        assert "both to be alone on stdout" in capsys.readouterr().err


def test_a_damaged_model_from_a_pipe_is_refused_in_one_line(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Piped(model.read_bytes()[:1000]))
    assert run("info", "-") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_models_are_read_from_and_written_to_file_objects(model):
    network = read_model(model)
    stream = io.BytesIO()
    save_model(network, stream)
    stream.seek(0)
    again = load_model(stream)
    assert repr(again) == repr(network)
    np.testing.assert_array_equal(again.nodes[1].weight, network.nodes[1].weight)
    with pytest.raises(ModelFileError, match="<BytesIO>: is not an NPZ file, or is truncated"):
        read_model(io.BytesIO(stream.getvalue()[:500]))
    with pytest.raises(ModelFileError, match="open it in binary mode"):
        read_model(io.StringIO("text"))


def test_the_doctor_tells_why_kernels_run():
    found = examined()
    kernels = found["kernels"]
    assert kernels["events"]["runs"]
    assert sum(kernels[name]["runs"] for name in ("amx", "vnni", "portable")) <= 1
    assert all(kernel["why"] for kernel in kernels.values())
    assert found["threads"]["used"] >= 1
    assert found["packages"]["numba"]
    assert {"plots", "video"} <= set(found["extras"])
    json.dumps(found)


def test_the_doctor_says_where_kernels_cannot_be_kept(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SPIKEUNET_CACHE", str(tmp_path / "file" / "cache"))
    assert run("doctor", "--json") == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["cache"]["writable"] is False
    assert "kernels cannot be kept there" in printed.err
    assert "SPIKEUNET_CACHE" in printed.err


class Balanced(HTMLParser):
    """Raises where tags do not close, or there are scripts or links."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        assert tag in {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
        assert {name for name, _ in attributes} <= {"style", "colspan"}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(shown):
    parser = Balanced()
    parser.feed(shown)
    parser.close()
    assert parser.open == []
    return parser.text


def test_notebooks_show_networks_results_and_ledgers_as_tables():
    network = small_denoiser()
    result = simulate(network, np.full((1, 32, 32), 0.5, np.float32), steps=2)
    assert {node.name for node in network.nodes} <= set(text_of(network._repr_html_()))
    assert f"{result.total_events:,}" in text_of(result._repr_html_())
    assert f"{result.operations.totals['synops']:,}" in text_of(result.operations._repr_html_())
    for each in (network, result, result.operations):
        assert len(each._repr_html_()) < 20_000


def test_a_table_is_escaped_and_small():
    hostile = "<script>alert(1)</script>&\"'"
    shown = html_table(hostile, [hostile], [[hostile * 100]] * 500)
    assert "<script" not in shown
    assert hostile in text_of(shown)
    assert f"and {500 - MOST_ROWS} more" in shown
    assert len(shown) < 60 * 1500


def test_pictures_and_a_model_through_one_pipe_are_refused(model, tmp_path, monkeypatch, capsys):
    write_picture(tmp_path / "in.png", np.zeros((32, 32), np.uint8))
    monkeypatch.setattr(sys, "stdin", Piped(model.read_bytes()))
    assert run("denoise", "-", "--model", "-", "-o", tmp_path / "out.png") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_the_shell_completes_commands_options_and_models(monkeypatch, capsys):
    for words, expected in (
        ("spikeunet qua", "quantize"),
        ("spikeunet info --js", "--json"),
        ("spikeunet info denoise-gray-f", "denoise-gray-fast"),
    ):
        monkeypatch.setenv("_SPIKEUNET_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert run() == 0
        assert f"plain,{expected}" in capsys.readouterr().out.split()
