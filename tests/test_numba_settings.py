"""Numba's settings are followed, or refused in one line before anything runs; likewise a stack that is too small."""

import os
import platform
import subprocess
import sys

import llvmlite.binding as llvm
import pytest

from spikeunet.engine.errors import SpikeunetError
from spikeunet.engine.numba_settings import check_settings

COMMAND = [sys.executable, "-m", "spikeunet.engine.command_line", "--version"]
MISSING = next((name for name, there in dict(llvm.get_host_cpu_features()).items() if not there), None)


def run(command, preexec_fn=None, **changes):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")} | changes
    return subprocess.run(command, env=environment, preexec_fn=preexec_fn, capture_output=True, text=True, check=False)


REFUSED = [
    ("NUMBA_DISABLE_JIT", "1", "cannot be interpreted; unset it"),
    ("NUMBA_OPT", "0", "set 1, 2, 3 or max, or unset it"),
    ("NUMBA_OPT", "fast", "cannot be read by Numba; correct or unset it"),
    ("NUMBA_NUM_THREADS", "0", "Number of threads specified must be > 0; correct or unset"),
    ("NUMBA_BOUNDSCHECK", "yes", "cannot be read by Numba; correct or unset it"),
    ("NUMBA_CPU_NAME", "pentium-9", "'pentium-9' is not a recognized processor for this target; correct or unset it"),
    ("NUMBA_CPU_FEATURES", "+quantum", "'+quantum' is not a recognized feature for this target; correct or unset it"),
    ("NUMBA_CPU_FEATURES", "avx2", "'avx2' has no sign; write +NAME or -NAME"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), REFUSED, ids=[f"{name}={value}" for name, value, _ in REFUSED])
def test_a_setting_that_cannot_be_followed_is_refused_in_one_line(name, value, remedy):
    done = run(COMMAND, **{name: value})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("spikeunet: error: ")
    assert name in done.stderr
    assert remedy in done.stderr


@pytest.mark.skipif(MISSING is None, reason="this processor has all that LLVM knows")
def test_an_instruction_that_the_processor_lacks_is_refused():
    done = run(COMMAND, NUMBA_CPU_FEATURES=f"+{MISSING}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"this processor has no {MISSING}; leave it out, or unset it" in done.stderr


def test_in_python_it_is_an_import_error():
    program = "try:\n    import spikeunet.engine\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    done = run([sys.executable, "-c", program], NUMBA_DISABLE_JIT="1")
    assert done.stdout.startswith("SettingError NUMBA_DISABLE_JIT is set")


def test_a_setting_made_in_python_counts_too(monkeypatch):
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    with pytest.raises(SpikeunetError, match="NUMBA_DISABLE_JIT is set, but"):
        check_settings()


def test_a_broken_file_of_settings_is_refused_in_one_line(tmp_path):
    pytest.importorskip("yaml", reason="Numba reads such a file with PyYAML")
    (tmp_path / ".numba_config.yaml").write_text("a: [b")
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "correct or unset .numba_config.yaml" in done.stderr


LANES = (
    "from spikeunet.engine.kernels.processor import host_features, host_lanes\nprint(host_lanes(), *host_features())"
)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the processors named here are x86-64")
@pytest.mark.parametrize(
    "settings",
    [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_FEATURES": ""}, {"NUMBA_ENABLE_AVX": "0"}],
    ids=["generic", "no features", "no AVX"],
)
def test_kernels_are_for_the_processor_that_numba_compiles_for(settings):
    lanes, *features = run([sys.executable, "-c", LANES], **settings).stdout.split()
    assert lanes == "4"
    assert not [feature for feature in features if feature.startswith("avx")]


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
