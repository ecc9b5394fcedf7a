"""Options that commands share."""

from __future__ import annotations

import click
from click.testing import CliRunner

from spikeunet.engine.command_line.denoise import denoise
from spikeunet.engine.command_line.options import grouped
from spikeunet.engine.command_line.segment import segment

SHARED = ["--threads", "--order", "--tile", "--report"]


def help_of(command):
    return CliRunner().invoke(command, ["--help"]).output


def options_of(command):
    """What the help says of the options but --help, in one line: where it breaks lines depends on all options."""
    listed = help_of(command).partition("Options:")[2]
    return " ".join(listed.replace("-h, --help", "--help").partition("--help")[0].split())


def test_a_group_stands_in_the_help_in_its_order_and_place():
    @click.command()
    @click.option("--first")
    @grouped(click.option("--second"), click.option("--third"))
    @click.option("--fourth")
    def command(first, second, third, fourth):
        click.echo(f"{first} {second} {third} {fourth}")

    shown = help_of(command)
    assert sorted(("--first", "--second", "--third", "--fourth"), key=shown.index) == [
        "--first", "--second", "--third", "--fourth",
    ]  # fmt: skip
    assert CliRunner().invoke(command, ["--third", "3", "--first", "1"]).output == "1 None 3 None\n"


def test_denoise_and_segment_say_the_same_of_how_a_picture_is_run():
    denoising, segmenting = (options_of(command) for command in (denoise, segment))
    assert sorted(SHARED, key=denoising.index) == SHARED
    assert denoising[denoising.index(SHARED[0]) :] == segmenting[segmenting.index(SHARED[0]) :]
