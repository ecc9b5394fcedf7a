"""Files are written completely or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import InputError, load_model, save_model, simulate
from spikeunet.engine.errors import ModelFileError
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


@pytest.mark.parametrize("name", ["x" * 255, "x" * 244 + ".png", "\u00e4" * 120 + ".npz"], ids=["255", "248", "bytes"])
def test_a_name_may_be_as_long_as_the_file_system_takes(name):
    for content in (b"first", b"second"):
        with atomic_write(name) as stream:
            stream.write(content)
        assert Path(name).read_bytes() == content


def test_no_name_is_no_file():
    with pytest.raises(FileNotFoundError, match="needs a name that is not empty"), atomic_write(""):
        pass


def permissions(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def temporary():
    (found,) = Path().glob(".*.tmp")
    return found


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX")
def test_what_replaces_a_private_file_is_private_all_the_time():
    Path("good.png").chmod(0o600)
    with atomic_write("good.png") as stream:
        stream.write(b"secret")
        stream.flush()
        assert permissions(temporary()) == 0o600
    assert permissions("good.png") == 0o600


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX")
def test_permissions_of_the_old_file_and_of_the_umask():
    Path("good.png").chmod(0o6755)
    with atomic_write("good.png") as stream:
        stream.write(b"new")
    assert permissions("good.png") == 0o755
    before = os.umask(0o027)
    try:
        with atomic_write("new.png") as stream:
            stream.write(b"new")
            assert permissions(temporary()) == 0o640
    finally:
        os.umask(before)
    assert permissions("new.png") == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only the super-user gives files away")
def test_the_group_is_kept_and_where_that_cannot_be_it_may_do_nothing(monkeypatch):
    Path("good.png").chmod(0o664)
    os.chown("good.png", -1, 12345)
    with atomic_write("good.png") as stream:
        stream.write(b"new")
    assert (Path("good.png").stat().st_gid, permissions("good.png")) == (12345, 0o664)

    def refused(*_arguments):
        raise PermissionError

    monkeypatch.setattr(os, "chown", refused)
    with atomic_write("good.png") as stream:
        stream.write(b"newer")
    assert permissions("good.png") == 0o604


def test_places_that_cannot_be_written_to_are_one_line(monkeypatch):
    network = small_denoiser()
    operations = simulate(network, np.zeros((1, 4, 4), np.float32), steps=1).operations
    writers = (lambda path: save_model(network, path), operations.to_csv, operations.to_json)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "good.png")
    for write in writers:
        for path, reason in (
            ("no/out", "No such file or directory"),
            ("x" * 300, "File name too long"),
            ("empty", "Is a"),
        ):
            with pytest.raises(
                InputError, match=rf"^{path}: cannot be written \({reason}[^\n]*\); choose another place$"
            ):
                write(path)
        with pytest.raises(InputError, match="write-protected"):
            write("good.png")
        with pytest.raises(InputError, match="needs a name"):
            write("")
    with pytest.raises(ModelFileError, match=r"File name too long"):
        load_model("x" * 300 + ".npz")
