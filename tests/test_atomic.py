"""Files are written completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikeunet.engine.files.atomic import atomic_write


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("good.png").write_bytes(b"old")


def test_atomic_write_into_a_folder_or_a_device():
    with pytest.raises(IsADirectoryError), atomic_write("empty"):
        pass
    with atomic_write("/dev/null") as stream:
        stream.write(b"nothing")
    with pytest.raises(FileNotFoundError, match=r"no/out\.png"), atomic_write("no/out.png"):
        pass


def test_atomic_write_follows_a_link_and_cleans_up_after_an_error():
    Path("link.png").symlink_to("good.png")
    with atomic_write("link.png") as stream:
        stream.write(b"new")
    assert Path("link.png").is_symlink()
    assert Path("good.png").read_bytes() == b"new"
    with pytest.raises(TypeError), atomic_write("good.png") as stream:
        stream.write("no bytes")
    assert Path("good.png").read_bytes() == b"new"
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "good.png", "link.png"]
