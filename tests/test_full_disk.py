"""A disk that is full or write-protected: one line, exit status 2, the old file as it was, and nothing half written."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from refusals import fill_folder
from small_denoiser import spiking_unet_state

from spikeunet.engine import write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.files import atomic
from spikeunet.engine.files.atomic import atomic_write

DENOISE = ("denoise", "good.png", "--model", "gray.npz", "--steps", "1")
CONVERT = ("convert", "unet.npz", "--normalization", "none")
FINETUNE = (
    "finetune", "gray.npz", "--train", "folder", "--crop", "8", "--batch", "1", "--iterations", "2", "--interval", "1",
    "--steps", "1",
)  # fmt: skip
WRITERS = {
    "picture.png": (*DENOISE, "-o", "picture.png"),
    "picture.tif": (*DENOISE, "-o", "picture.tif"),
    "picture.jpg": (*DENOISE, "-o", "picture.jpg"),
    "picture.webp": (*DENOISE, "-o", "picture.webp"),
    "picture.bmp": (*DENOISE, "-o", "picture.bmp"),
    "picture.pgm": (*DENOISE, "-o", "picture.pgm"),
    "deep.png": ("denoise", "deep.png", "--model", "gray.npz", "--steps", "1", "-o", "out/deep.png"),
    "report.json": (*DENOISE, "-o", "new.png", "--report", "report.json"),
    "model.npz": (*CONVERT, "-o", "model.npz"),
    "tuned.npz": (*FINETUNE, "-o", "tuned.npz"),
    "tuned.checkpoint.npz": (*FINETUNE, "-o", "tuned.npz"),
    "tuned.csv": (*FINETUNE, "-o", "tuned.npz"),
    "tuned.png": (*FINETUNE, "-o", "tuned.npz", "--curve", "tuned.png"),
}
"""The file that cannot be written, and a command that writes it."""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill_folder()
    np.savez("unet.npz", **spiking_unet_state())
    write_picture("deep.png", np.random.default_rng(0).integers(0, 65536, (12, 16), dtype=np.uint16))
    Path("out").mkdir()


class FullDisk:
    """A stream that takes ten bytes."""

    def __init__(self, stream):
        self.stream, self.written = stream, 0

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def write(self, data):
        self.written += len(data)
        if self.written > 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.stream.write(data)


def failing_open(name, refuse):
    """As `open`, but that what replaces the file `name` cannot be opened, or takes only ten bytes."""

    def opened(path, *arguments, **options):
        if f".{name}." not in str(path):
            return open(path, *arguments, **options)
        if refuse is not None:
            raise OSError(refuse, os.strerror(refuse), str(path))
        return FullDisk(open(path, *arguments, **options))

    return opened


@pytest.mark.parametrize("refuse", [None, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_output(name, refuse, monkeypatch, capfd):
    arguments = WRITERS[name]
    place = Path("out") / name if f"out/{name}" in arguments else Path(name)
    if name == "tuned.png":
        pytest.importorskip("matplotlib", reason="curves need matplotlib (extra plots)")
    if not name.endswith((".checkpoint.npz", ".csv")):
        place.write_text("what was there")
    before = place.read_bytes() if place.exists() else None
    inputs = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and path != place}
    monkeypatch.setattr(atomic, "open", failing_open(name, refuse), raising=False)
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    # Without matplotlib a line says that no curve was drawn.
    lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("no curve was drawn")]
    assert stop.value.code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"spikeunet: error: {place}: ")
    assert os.strerror(refuse or errno.ENOSPC) in lines[0]
    assert (place.read_bytes() if place.exists() else None) == before
    assert {path: path.read_bytes() for path in inputs} == inputs
    assert [path for path in Path().rglob("*") if path.suffix == ".tmp"] == []


def test_an_interrupted_training_goes_on_when_there_is_room_again(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "open", failing_open("tuned.npz", None), raising=False)
        with pytest.raises(SystemExit) as stop:
            main(list(WRITERS["tuned.npz"]))
    assert stop.value.code == 2
    assert Path("tuned.checkpoint.npz").exists()
    with pytest.raises(SystemExit) as stop:
        main([*WRITERS["tuned.npz"], "--resume"])
    assert stop.value.code == 0
    assert Path("tuned.npz").exists()
    assert not Path("tuned.checkpoint.npz").exists()


def run(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "spikeunet.engine.command_line", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


def few_bytes():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_the_kernel_refuses_more_bytes():
    """Not a stand-in for a full disk, but writes that fail: files of more than 100 bytes."""
    Path("picture.tif").write_text("what was there")
    warm = run(*DENOISE, "-o", "warm.tif")  # kernels that are compiled now are files as well
    assert warm.returncode == 0, warm.stderr
    done = run(*DENOISE, "-o", "picture.tif", preexec_fn=few_bytes)
    assert done.returncode == 2
    assert done.stderr == f"spikeunet: error: picture.tif: {os.strerror(errno.EFBIG)}\n"
    assert Path("picture.tif").read_text() == "what was there"
    assert list(Path().glob(".*")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_device():
    Path("full.png").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: 'full\.png'"), atomic_write("full.png") as stream:
        stream.write(bytes(100_000))
    with open("/dev/full", "w") as full:
        done = run("info", "gray.npz", stdout=full)
    assert done.returncode == 2
    assert done.stderr == "spikeunet: error: No space left on device\n"


def test_a_write_protected_file_is_kept(monkeypatch):
    Path("old.png").write_text("what was there")
    Path("old.png").chmod(0o400)
    if os.geteuid() == 0:  # who may write anywhere
        monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and Path(path).name == "old.png"))
    with pytest.raises(PermissionError, match=r"the file is write-protected: 'old\.png'"), atomic_write("old.png"):
        pass
    assert Path("old.png").read_text() == "what was there"
    assert list(Path().glob(".*")) == []
