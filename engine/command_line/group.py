"""The group of subcommands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from .classify import classify
from .compile import compile_kernels
from .convert import convert
from .denoise import denoise
from .derain import derain
from .diagnose import diagnose
from .doctor import doctor
from .evaluate import evaluate
from .export import export
from .finetune import finetune
from .guard import guarded
from .info import info
from .interruptions import InterruptionError
from .messages import shown_messages
from .models import models
from .output import add_output_options, print_data
from .piped_models import send_model
from .prune import prune
from .quantize import quantize
from .report_model import report
from .resample import resample
from .segment import segment
from .serve import serve
from .train import train
from .warning_lines import warnings_as_lines


class GuardedGroup(click.Group):
    """A group whose errors are one line on stderr and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, but that an interruption is left to `guarded`."""
        try:
            result = super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptionError(*error.args) from None
        except click.exceptions.Exit:
            # A command that has done what it could, and says by its status that not all is well.
            print_data()
            raise
        send_model()
        print_data()
        return result

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """As click's; every command can be asked for JSON, or to be quiet."""
        add_output_options(cmd)
        super().add_command(cmd, name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, but that errors go through `guarded`."""

        def run() -> Any:
            with shown_messages(), warnings_as_lines():
                return super(GuardedGroup, self).main(
                    args, prog_name or "spikeunet", complete_var, standalone_mode=False, **extra
                )

        if not standalone_mode:
            return run()
        sys.exit(guarded(run))


@click.group(cls=GuardedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spikeunet", prog_name="spikeunet", message="%(prog)s %(version)s")
def main() -> None:
    """Event-driven spiking U-Nets on a CPU.

    \b
    Examples:
      spikeunet denoise noisy.png -o clean.png
      spikeunet denoise photographs/ -o denoised/ --report report.json
      spikeunet derain rainy.jpg -o clear.png
      spikeunet resample small.png --scale 2 -o large.png
      spikeunet segment street.png -o labels.png --overlay seen.png --model street.npz
      spikeunet classify digits.npz seven.png
      spikeunet evaluate denoise-gray set12 bsd68 --data datasets/ --ann
      spikeunet models
      spikeunet info denoise-gray --shape 512x512
      spikeunet doctor

    Every command has --json, for programs, and --quiet.

    \b
    Exit status:
      0    all is done
      1    what reads the output went away
      2    an error, which one line on stderr tells; of several pictures the others are done
      130  interrupted by Ctrl-C
      143  terminated
    """


COMMANDS = (
    denoise,
    derain,
    segment,
    classify,
    resample,
    evaluate,
    convert,
    export,
    diagnose,
    finetune,
    train,
    prune,
    quantize,
    info,
    models,
    compile_kernels,
    report,
    serve,
    doctor,
)
for command in COMMANDS:
    main.add_command(command)
