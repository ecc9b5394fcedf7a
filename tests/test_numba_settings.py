"""Numba's settings are followed, or refused in one line before anything runs; likewise a stack that is too small."""

import os
import platform
import re
import subprocess
import sys

import llvmlite.binding as llvm
import pytest
from numba import config

from spikeunet.engine.errors import SettingError
from spikeunet.engine.kernels import processor
from spikeunet.engine.numba_settings import check_settings

COMMAND = [sys.executable, "-m", "spikeunet.engine.command_line", "--version"]
MISSING = next((name for name, there in dict(llvm.get_host_cpu_features()).items() if not there), None)


def run(command, preexec_fn=None, **changes):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")} | changes
    return subprocess.run(command, env=environment, preexec_fn=preexec_fn, capture_output=True, text=True, check=False)


UNFOLLOWED = [
    ("NUMBA_DISABLE_JIT", "1", "cannot be interpreted; unset it"),
    ("NUMBA_OPT", "fast", "cannot be read by Numba; correct or unset it"),
    ("NUMBA_NUM_THREADS", "0", "Number of threads specified must be > 0; correct or unset"),
]
"""What is found out by what Numba is given, once Numba is there, and when it does not load."""


@pytest.mark.parametrize(("name", "value", "remedy"), UNFOLLOWED, ids=[name for name, _, _ in UNFOLLOWED])
def test_a_setting_that_cannot_be_followed_is_refused_in_one_line(name, value, remedy):
    done = run(COMMAND, **{name: value})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("spikeunet: error: ")
    assert name in done.stderr
    assert remedy in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("OPT", 0, "set 1, 2, 3 or max, or unset it"),
        ("CPU_NAME", "pentium-9", "'pentium-9' is not a recognized processor for this target; correct or unset it"),
        ("CPU_FEATURES", "+quantum", "'+quantum' is not a recognized feature for this target; correct or unset it"),
        ("CPU_FEATURES", "avx2", "'avx2' has no sign; write +NAME or -NAME"),
        pytest.param(
            "CPU_FEATURES",
            f"+{MISSING}",
            f"this processor has no {MISSING}; leave it out, or unset it",
            marks=pytest.mark.skipif(MISSING is None, reason="this processor has all that LLVM knows"),
        ),
        ("DISABLE_JIT", 1, "kernels are written in processor instructions"),
    ],
)
def test_what_numba_was_told_is_looked_at(name, value, remedy, monkeypatch):
    """By the environment, by its file of settings, or in Python."""
    monkeypatch.setattr(config, name, value)
    with pytest.raises(SettingError, match=f"NUMBA_{name}.*{re.escape(remedy)}"):
        check_settings()


def test_in_python_it_is_an_import_error():
    program = "try:\n    import spikeunet.engine\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    done = run([sys.executable, "-c", program], NUMBA_DISABLE_JIT="1")
    assert done.stdout.startswith("SettingError NUMBA_DISABLE_JIT is set")


def test_a_broken_file_of_settings_is_refused_in_one_line(tmp_path):
    pytest.importorskip("yaml", reason="Numba reads such a file with PyYAML")
    (tmp_path / ".numba_config.yaml").write_text("a: [b")
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "correct or unset .numba_config.yaml" in done.stderr


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the processors named here are x86-64")
@pytest.mark.parametrize(
    ("name", "value"), [("CPU_NAME", "generic"), ("CPU_FEATURES", ""), ("ENABLE_AVX", "0")], ids=lambda text: text
)
def test_kernels_are_for_the_processor_that_numba_compiles_for(name, value, monkeypatch):
    with monkeypatch.context() as told:
        told.setenv(f"NUMBA_{name}", value)
        config.reload_config()
        try:
            features = processor.host_features.__wrapped__()
            told.setattr(processor, "host_features", lambda: features)
            assert processor.host_lanes.__wrapped__() == 4
            assert not [feature for feature in features if feature.startswith("avx")]
        finally:
            told.undo()
            config.reload_config()


@pytest.mark.skipif(os.name != "posix", reason="limits are of POSIX systems")
def test_a_stack_that_is_too_small_is_refused_in_one_line():
    import resource

    def limit():
        _, hard = resource.getrlimit(resource.RLIMIT_STACK)
        resource.setrlimit(resource.RLIMIT_STACK, (160 << 10, hard))

    done = run(COMMAND, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "spikeunet: error: the stack is limited to 160 KiB (ulimit -s), at least 256 KiB are needed; 8192 is usual\n"
    )
