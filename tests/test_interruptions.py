"""Ctrl-C and SIGTERM end a command wherever they arrive."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress

import numba
import pytest
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from spikeunet.engine.command_line import guard
from spikeunet.engine.command_line.guard import guarded
from spikeunet.engine.kernels.compilation import Kernel, kernel
from spikeunet.engine.kernels.held_back import signals_held_back

SIGNALS = {signal.SIGINT: (130, "spikeunet: interrupted\n"), signal.SIGTERM: (143, "")}


@pytest.fixture(autouse=True)
def _ctrl_c():
    """A shell has SIGINT ignored for its background jobs, and so for their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def status_of(run):
    """Exit status of a command in which SystemExit may be what ends it."""
    try:
        return guarded(run)
    except SystemExit as stop:
        return stop.code


def work(seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def in_a_callback(number):
    ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))()


class Noisy:
    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


def in_a_finalizer(number):
    Noisy(number)


def in_a_callback_of_a_reference(number):
    known = set()
    reference = weakref.ref(known, lambda _: signal.raise_signal(number))
    del known
    assert reference() is None


def caught(number):
    with suppress(BaseException):
        signal.raise_signal(number)


KEPT = []


def caught_and_kept(number):
    try:
        signal.raise_signal(number)
    except BaseException as error:  # noqa: BLE001 - this is what is tested
        KEPT.append(error)


def caught_while_another_error_is_handled(number):
    try:
        {}["another error"]
    except KeyError:
        caught(number)
        work()


LOSES = [
    in_a_callback,
    in_a_finalizer,
    in_a_callback_of_a_reference,
    caught,
    caught_and_kept,
    caught_while_another_error_is_handled,
]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("lose", LOSES)
def test_what_is_lost_comes_again(capsys, lose, number):
    def run():
        lose(number)
        work()

    begin = time.monotonic()
    assert (status_of(run), capsys.readouterr().err) == SIGNALS[number]
    assert time.monotonic() - begin < 10
    KEPT.clear()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("lose", LOSES[:-1])
def test_what_is_lost_at_the_end_decides_the_status(capsys, lose, number):
    assert (status_of(lambda: lose(number)), capsys.readouterr().err) == SIGNALS[number]
    KEPT.clear()


@pytest.mark.parametrize("number", SIGNALS)
def test_an_error_that_comes_of_it_is_none(capsys, number):
    def run():
        caught(number)
        raise OSError("half of a file")

    assert (status_of(run), capsys.readouterr().err) == SIGNALS[number]


@pytest.mark.parametrize("number", SIGNALS)
def test_putting_away_is_not_disturbed(number):
    done = []

    def put_away():
        with suppress(KeyError):
            {}["other errors"]
        work(0.4)
        done.append("function")

    def run():
        try:
            try:
                signal.raise_signal(number)
            finally:
                put_away()
        except BaseException:
            work(0.4)
            done.append("handler")
            raise

    assert status_of(run) == SIGNALS[number][0]
    assert done == ["function", "handler"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_what_the_first_one_began(number):
    done = []

    def run():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            done.append("never")

    assert (status_of(run), done) == (SIGNALS[number][0], [])


@pytest.mark.parametrize("number", SIGNALS)
def test_nothing_disturbs_the_last_line(monkeypatch, capsys, number):
    remark = guard.remark

    def disturbed(message):
        signal.raise_signal(number)
        remark(message)

    monkeypatch.setattr(guard, "remark", disturbed)
    assert status_of(lambda: signal.raise_signal(signal.SIGINT)) == 130
    assert capsys.readouterr().err == "spikeunet: interrupted\n"


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert status_of(lambda: signal.raise_signal(signal.SIGINT)) == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_the_process_is_as_before_afterwards():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    handlers, hook = [signal.getsignal(number) for number in numbers], sys.unraisablehook
    before = signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        assert status_of(lambda: caught(signal.SIGTERM)) == 143
        left = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
    assert ([signal.getsignal(number) for number in numbers], sys.unraisablehook) == (handlers, hook)
    assert (50 < left[0] <= 100, left[1]) == (True, 0)


class Interrupting(event.Listener):
    """Sends a signal when something begins, and when it ends."""

    def __init__(self, number):
        self.number = number
        self.begun = self.ended = 0

    def on_start(self, _event):
        self.begun += 1
        signal.raise_signal(self.number)

    def on_end(self, _event):
        self.ended += 1
        signal.raise_signal(self.number)


@pytest.mark.parametrize("begins", ["numba:compile", "numba:compiler_lock", "numba:llvm_lock", "numba:run_pass"])
def test_a_signal_waits_until_a_kernel_is_compiled(begins):
    """Of the locks of Numba and LLVM, none may be left locked, and their methods are Python's."""
    triple = kernel(Kernel, lambda number: 3 * number)
    listener = Interrupting(signal.SIGINT)
    with event.install_listener(begins, listener), pytest.raises(KeyboardInterrupt):
        triple(1)
    assert listener.begun == listener.ended > 0
    assert len(triple.overloads) == 1
    assert is_free(global_compiler_lock)
    assert triple(2) == 6


def is_free(lock):
    """Whether another thread gets it."""
    done = threading.Event()

    def take():
        with lock:
            done.set()

    threading.Thread(target=take, daemon=True).start()
    return done.wait(10)


def test_an_error_while_signals_wait():
    fails = kernel(Kernel, lambda number: number.unknown)
    with event.install_listener("numba:compile", Interrupting(signal.SIGINT)), pytest.raises(KeyboardInterrupt) as stop:
        fails(1)
    assert isinstance(stop.value.__context__, numba.TypingError)


def test_blocks_within_one_another():
    came = []

    def hold():
        with signals_held_back():
            with signals_held_back():
                signal.raise_signal(signal.SIGINT)
                came.append("inner")
            came.append("outer")
        came.append("never")

    with pytest.raises(KeyboardInterrupt):
        hold()
    assert came == ["inner", "outer"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_another_signal_while_handlers_are_put_back(monkeypatch):
    """It leaves some handlers where they are, which must pass on what comes then."""
    real = signal.signal

    def interrupted(number, handler):
        if handler is signal.default_int_handler:
            raise KeyboardInterrupt
        return real(number, handler)

    monkeypatch.setattr(signal, "signal", interrupted)
    with pytest.raises(KeyboardInterrupt), signals_held_back():
        pass
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_thread_holds_nothing_back():
    came = []

    def hold():
        with signals_held_back():
            came.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert came == [signal.default_int_handler]


# Sends a signal while a module is imported, which catches what comes of that, or when the command is done.
STARTING = """
import signal, sys, types

class Finder:
    def find_spec(self, name, *_):
        if name == "spikeunet.engine":
            try:
                signal.raise_signal(int(sys.argv[1]))
            except BaseException:
                raise ImportError("no such thing") from None

def command():
    signal.raise_signal(int(sys.argv[1]))

signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[2] == "import":
    sys.meta_path.insert(0, Finder())
else:
    sys.modules["spikeunet.engine"] = types.ModuleType("engine")
    sys.modules["spikeunet.engine.command_line"] = types.SimpleNamespace(main=command)
from spikeunet.__main__ import main
main()
"""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("when", ["import", "end"])
def test_a_signal_before_the_command_can_run(when, number):
    command = [sys.executable, "-c", STARTING, str(int(number)), when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (SIGNALS[number][0], "", "")


# A worker says what it has held back since it was started.
WORKER = """
import signal
from spikeunet.engine.worker_processes import WorkerProcess

def serve(connection):
    connection.send(signal.pthread_sigmask(signal.SIG_BLOCK, []))

if __name__ == "__main__":
    workers = [WorkerProcess(serve), WorkerProcess(serve)]
    for worker in workers:
        print(sorted(map(int, worker.connection.recv())))
        worker.end()
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs masks of signals")
def test_every_worker_starts_with_ctrl_c_held_back(tmp_path):
    (tmp_path / "script.py").write_text(WORKER, "utf-8")
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"[{int(signal.SIGINT)}]\n" * 2, "")
