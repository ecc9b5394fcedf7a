"""Kernels on disk: kept, checked, trusted, replaced where damaged, and done without where nothing can be written."""

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import config

from spikeunet.engine.kernel_cache import folders, numba_cache, outdated
from spikeunet.engine.kernels.bound_call import compiled_phase
from spikeunet.engine.kernels.compilation import compiled

CACHES = (
    folders._readable,
    folders._writable,
    numba_cache._say_that_it_compiles,
    outdated.mark_as_used,
    outdated.remove_outdated,
)


def forget():
    """What a process knows of the folders, so that the next kernel is looked for as in a new one."""
    for cache in CACHES:
        cache.cache_clear()
    numba_cache._given_up.clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder, the first choice; the others are in the same place, beside it."""
    monkeypatch.setenv("SPIKEUNET_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(folders.platformdirs, "user_cache_path", lambda *_, **__: tmp_path / "user")
    monkeypatch.setattr(folders, "_private_temporary", lambda: tmp_path / "private")
    forget()
    yield tmp_path / "kernels"
    forget()


def double(x):
    return x + x


def hits_and_misses(*arguments):
    """Of a kernel as in a new process; and that it computes the right thing."""
    forget()
    kernel = compiled(double)
    for argument in arguments:
        assert kernel(argument) == 2 * argument
    return sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_kernel_is_kept_for_each_signature(folder):
    assert hits_and_misses(1, 1.5) == (0, 2)
    assert len(files(folder)) == 2
    assert hits_and_misses(1, 1.5, 2j) == (2, 1)


def write_double(number, places):
    places[number] = 2 * number


def test_a_phase_is_kept_with_the_way_to_call_it_by_address(folder):
    for hits in (0, 1):
        forget()
        places, phase = np.zeros(3, np.int64), compiled_phase(write_double)
        phase(2, places)
        assert places.tolist() == [0, 0, 4]
        assert sum(phase.stats.cache_hits.values()) == hits
    assert len([file for file in files(folder) if "write_double" in file.name]) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:50],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
        lambda data: data + b"\0",
        lambda data: os.urandom(5000),
    ],
    ids=["empty", "header cut", "last byte gone", "a bit flipped", "a byte too many", "noise"],
)
def test_a_damaged_file_is_replaced(folder, damage):
    hits_and_misses(1)
    (file,) = files(folder)
    file.write_bytes(damage(file.read_bytes()))
    assert hits_and_misses(1) == (0, 1)
    assert hits_and_misses(1) == (1, 0)


def test_exchanged_files_are_not_mixed_up(folder):
    hits_and_misses(1, 1.5)
    first, second = files(folder)
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    assert hits_and_misses(1, 1.5) == (0, 2)
    assert hits_and_misses(1, 1.5) == (2, 0)


def test_a_file_that_does_not_load_is_compiled_again(folder, monkeypatch):
    hits_and_misses(1)
    monkeypatch.setattr(numba_cache.pickle, "loads", lambda content: 1 / 0)
    assert hits_and_misses(1) == (0, 1)


def test_what_others_can_write_is_not_loaded(folder, tmp_path, caplog):
    hits_and_misses(1)
    (file,) = files(folder)
    assert stat.S_IMODE(file.stat().st_mode) & 0o022 == 0
    file.chmod(0o666)
    assert hits_and_misses(1) == (0, 1)
    assert hits_and_misses(1) == (1, 0)
    file.parent.chmod(0o777)
    caplog.clear()
    assert hits_and_misses(1) == (0, 1)
    reason = f"kernels cannot be kept in {folder} (somebody else can write there) but in {tmp_path / 'user'}; "
    assert warnings(caplog) == [reason + "set SPIKEUNET_CACHE to a folder of your own"]


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are of POSIX systems")
def test_only_what_this_user_root_or_the_owner_of_the_package_wrote_is_trusted(tmp_path, monkeypatch):
    def status(mode, owner):
        return os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))

    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(folders, "_owner_of_the_package", lambda: 500)
    trusted = {(m, o) for m in (0o644, 0o664, 0o646) for o in (0, 500, 1000, 1001) if folders.is_trusted(status(m, o))}
    assert trusted == {(0o644, 0), (0o644, 500), (0o644, 1000)}


def test_the_folder_is_chosen_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEUNET_CACHE", str(tmp_path / "ours"))
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "numba"))
    assert folders.cache_folder() == tmp_path / "ours"
    monkeypatch.delenv("SPIKEUNET_CACHE")
    assert folders.cache_folder() == tmp_path / "numba" / "spikeunet"
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(folders.platformdirs, "user_cache_path", lambda *_, **__: tmp_path / "user")
    assert folders.cache_folder() == tmp_path / "user"
    # Of a user whom the system does not know: no folder called ~ in the current one.
    monkeypatch.setattr(folders.platformdirs, "user_cache_path", lambda *_, **__: Path("~/.cache/spikeunet"))
    assert folders.cache_folder() == folders._private_temporary()


def test_where_the_first_folder_cannot_be_written_the_next_is_taken(folder, tmp_path, caplog):
    folder.touch()
    assert hits_and_misses(1, 1.5) == (0, 2)
    reason = f"kernels cannot be kept in {folder} (File exists) but in {tmp_path / 'user'}; "
    assert warnings(caplog) == [reason + "set SPIKEUNET_CACHE to a folder of your own"]
    caplog.clear()
    assert hits_and_misses(1, 1.5) == (2, 0)
    assert warnings(caplog) == []


def test_without_any_folder_kernels_run_all_the_same(folder, tmp_path, caplog):
    for place in (folder, tmp_path / "user", tmp_path / "private"):
        place.touch()
    assert hits_and_misses(1, 1.5) == (0, 2)
    reason = f"kernels cannot be kept in {folder} (File exists): they are compiled in each run; "
    assert warnings(caplog) == [reason + "set SPIKEUNET_CACHE to a folder of your own"]


def test_without_home_and_temporary_folders_kernels_run_all_the_same(folder, monkeypatch, caplog):
    monkeypatch.setattr(folders, "places", lambda: ())
    assert hits_and_misses(1, 1.5) == (0, 2)
    (message,) = warnings(caplog)
    assert message.startswith(
        "there is no folder to keep kernels in: they are compiled in each run; set SPIKEUNET_CACHE"
    )


def test_kernels_that_are_there_are_read_where_nothing_can_be_written(folder, tmp_path, monkeypatch, caplog):
    hits_and_misses(1)

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(folders.tempfile, "TemporaryFile", read_only)
    assert hits_and_misses(1) == (1, 0)
    assert warnings(caplog) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels"]
    assert hits_and_misses(1, 1.5) == (1, 1)
    assert len(warnings(caplog)) == 1


def test_what_another_folder_has_is_kept_in_the_one_that_is_asked_for_too(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEUNET_CACHE", "")
    monkeypatch.setattr(config, "CACHE_DIR", "")
    hits_and_misses(1)
    assert len(files(tmp_path / "user")) == 1
    monkeypatch.setenv("SPIKEUNET_CACHE", str(folder))
    assert hits_and_misses(1) == (0, 1)
    assert len(files(folder)) == 1


def test_a_private_folder_of_somebody_else_is_not_used(folder, tmp_path):
    for place in (folder, tmp_path / "user"):
        place.touch()
    private = tmp_path / "private"
    private.mkdir()
    private.chmod(0o777)
    assert hits_and_misses(1) == (0, 1)
    private.rmdir()
    (tmp_path / "elsewhere").mkdir()
    private.symlink_to(tmp_path / "elsewhere")
    assert hits_and_misses(1) == (0, 1)
    assert files(tmp_path / "elsewhere") == []
    private.unlink()
    assert hits_and_misses(1) == (0, 1)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert hits_and_misses(1) == (1, 0)
    # As it is once somebody else can write to it.
    private.chmod(0o777)
    assert hits_and_misses(1) == (0, 1)


def test_a_full_disk_costs_only_the_cache(folder, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert hits_and_misses(1, 1.5) == (0, 2)
    assert files(folder) == []
    (message,) = warnings(caplog)
    assert "(No space left on device); they are compiled again" in message


SMALL_DISK = """
import logging, os, sys
from pathlib import Path
import numpy as np
from spikeunet.engine.kernel_cache import numba_cache
from spikeunet.engine.kernels.compilation import compiled

def double(x):
    return x + x

logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)
# More than fit, however small a compiler makes them.
names = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split()
values = [getattr(np, name)(21) for name in names]
for _ in range(2):
    kernel = compiled(double)
    assert [kernel(value) for value in values] == [42] * len(values)
files = [path for path in Path(os.environ["SPIKEUNET_CACHE"]).rglob("*") if path.is_file()]
assert {path.suffix for path in files} == {".kernel"}, files  # some, and all of them whole
assert sum(kernel.stats.cache_hits.values()) == len(files), (kernel.stats, files)
"""


def on_a_small_disk(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command for which a file system of 32 KiB lies in a folder; skips where that takes more rights."""
    mount = 'mount -t tmpfs -o size=32k none "$0"'
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*inside, mount, str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"file systems cannot be mounted here ({error})")
    whole, environment = [*inside, f'{mount} && exec "$@"', str(folder), *command], {"SPIKEUNET_CACHE": str(folder)}
    return subprocess.run(whole, env=os.environ | environment, check=False, capture_output=True, text=True)


def test_a_disk_that_becomes_full_costs_only_the_cache(tmp_path):
    """A real one: some kernels fit, and are found again; that others do not is said once."""
    done = on_a_small_disk(tmp_path, [sys.executable, "-c", SMALL_DISK])
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"kernels cannot be kept in {tmp_path}{os.sep}kernels-")
    assert line.endswith(" (No space left on device); they are compiled again in the next run")


def test_code_for_other_settings_is_other_code(folder, monkeypatch):
    hits_and_misses(1)
    monkeypatch.setattr(config, "BOUNDSCHECK", 1)
    assert hits_and_misses(1) == (0, 1)
    assert hits_and_misses(1) == (1, 0)
    monkeypatch.setattr(config, "BOUNDSCHECK", None)
    assert hits_and_misses(1) == (1, 0)


def test_kernels_of_earlier_versions_are_removed(folder, monkeypatch):
    for number in range(4):
        (old := folder / f"kernels-{number:016x}").mkdir(parents=True)
        (old / "some.kernel").touch()
        os.utime(old, (1, 1) if number == 0 else None)
    (folder / "kernels-of-mine").mkdir()
    monkeypatch.setattr(outdated, "KEPT_GENERATIONS", 3)
    hits_and_misses(1)
    assert len([path for path in folder.iterdir() if path.name != "kernels-of-mine"]) == 3
    assert not (folder / f"kernels-{0:016x}").exists()
    assert (folder / "kernels-of-mine").exists()
    assert hits_and_misses(1) == (1, 0)


def test_that_kernels_are_compiled_is_said_once(folder, caplog):
    with caplog.at_level(logging.INFO, "spikeunet"):
        kernel = compiled(double)
        kernel(1), kernel(1.5)
        assert caplog.messages == ["compiling kernels (first run) ..."]
        caplog.clear()
        hits_and_misses(1, 1.5)
        assert caplog.messages == []


@pytest.mark.slow
def test_processes_that_start_at_once_keep_each_others_kernels(repository, tmp_path):
    command = [sys.executable, str(repository / "tests" / "stress_kernel_cache.py"), "--tiny", "--processes", "2"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path), "--rounds", "1"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("1 of 1 rounds right\n")


def test_arrays_of_another_layout_are_another_signature(folder):
    def total(array):
        return array.sum()

    kernel = compiled(total)
    for array in (np.ones((2, 3)), np.ones((2, 3), order="F"), np.ones((4, 3))[::2]):
        assert kernel(array) == 6
    assert len(files(folder)) == 3
