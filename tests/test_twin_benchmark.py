"""The comparison with the quantised twin (benchmarks/quantised_twin.py), on a small network."""

from __future__ import annotations

import numpy as np
import pytest
import quantised_twin as benchmark
from _common import Noisy
from small_denoiser import small_denoiser

from spikeunet.engine import save_model, simulate


@pytest.fixture
def picture():
    clean = np.random.default_rng(0).random((12, 16))
    return Noisy("a.png", clean, (clean + 0.1).astype(np.float32))


def test_every_kind_of_network_has_a_line(picture, tmp_path):
    save_model(small_denoiser(), tmp_path / "half.npz")
    rows = benchmark.rows_of(str(tmp_path / "half.npz"), 1, [picture], repeats=0)
    assert [row["kind"] for row in rows] == [
        benchmark.ANN,
        benchmark.DENSE,
        benchmark.SKIPPING,
        benchmark.SPIKING,
        benchmark.SHIFTED,
    ]
    assert [row["bits"] for row in rows] == [32, 4, 4, 4, 4]
    ledger = simulate(small_denoiser(), picture.noisy[None], 1).operations
    totals = ledger.totals
    by_kind = {row["kind"]: row for row in rows}
    assert by_kind[benchmark.DENSE]["operations"] == totals["dense_macs"] / 192
    assert by_kind[benchmark.SPIKING]["operations"] == (totals["synops"] + totals["macs"]) / 192
    assert by_kind[benchmark.SPIKING]["energies"][0] == pytest.approx(1e3 * ledger.energy("45nm-8bit").spiking)
    assert by_kind[benchmark.ANN]["energies"][1] == pytest.approx(1e3 * ledger.energy("lemaire").dense)
    # In one step the twin's activations that are not zero are the events.
    skipping, spiking = (by_kind[kind] for kind in (benchmark.SKIPPING, benchmark.SPIKING))
    assert skipping["operations"] == pytest.approx(spiking["operations"], rel=0.02)
    assert skipping["psnr"] == pytest.approx(spiking["psnr"], abs=0.01)
    table = benchmark.markdown(rows).splitlines()
    assert len(table) == 2 + len(rows)
    assert {line.count("|") for line in table} == {len(benchmark.HEADER) + 1}
