"""`spikeunet denoise` with a model that halves each sample, for tests of what files and ranges come to."""

from __future__ import annotations

import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import save_model
from spikeunet.engine.command_line import main


def halving_command(folder, monkeypatch, capsys):
    """A function that runs the command in a folder, and returns what it printed on stdout and on stderr."""
    monkeypatch.chdir(folder)
    save_model(small_denoiser(), "model.npz")

    def invoke(*arguments, model="model.npz"):
        with pytest.raises(SystemExit) as stop:
            main(["denoise", *map(str, arguments), "--model", model])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        return printed

    return invoke
