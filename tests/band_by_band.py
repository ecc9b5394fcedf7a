"""Networks whose layers are run one after the other, band by band, without compiled calls for all bands."""

from contextlib import contextmanager

import pytest

from spikeunet.engine.simulation import picture_run
from spikeunet.engine.simulation.bands import bound_program


def uncompiled(program, picture, most_steps, carries, workers):
    """A bound program, which nobody uses again."""
    return bound_program.BoundProgram(program, picture, most_steps, 1, carries)


@contextmanager
def band_by_band():
    """Have all that is simulated run so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture_run, "take_bound", uncompiled)
        patch.setattr(bound_program, "_MOST_LAYERS", 0)
        yield
