"""The package's threads: they take part in one layer after the other, and share out work."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spikeunet.engine.threads import WorkerThreads, on_threads, processors, using_threads
from spikeunet.engine.threads import workers as workers_module


@pytest.fixture(autouse=True)
def processor_count(monkeypatch):
    """Say how many processors there are; no helpers from before, and none are left."""

    def choose(count):
        monkeypatch.setattr(workers_module, "available_processors", lambda: count)

    workers_module.end_idle_threads()
    choose(4)
    yield choose
    workers_module.end_idle_threads()


@pytest.fixture
def no_more_threads(monkeypatch):
    """The system grants so many more threads."""

    def allow(count):
        start, left = threading.Thread.start, [None] * count

        def maybe(self):
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
            start(self)

        monkeypatch.setattr(threading.Thread, "start", maybe)

    monkeypatch.setattr(workers_module._pool, "_refused", False)
    return allow


@pytest.mark.parametrize("processors", [1, 8])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_all_jobs_are_done_at_the_same_time(processors, number, processor_count):
    processor_count(processors)
    meeting, seen = threading.Barrier(number), []

    def job():
        meeting.wait(timeout=60)
        seen.append(threading.get_ident())

    with WorkerThreads(number) as workers:
        for _ in range(3):
            workers.run([job] * number)
    assert len(seen) == 3 * number
    assert len(set(seen)) == number
    assert seen.count(threading.get_ident()) == 3


def test_helpers_are_kept(processor_count):
    before = threading.active_count()
    for _ in range(3):
        with WorkerThreads(3) as workers:
            workers.run([lambda: None] * 3)
        assert threading.active_count() == before + 2
    processor_count(1)
    with WorkerThreads(5) as workers:
        workers.run([lambda: None] * 5)
    assert threading.active_count() == before + 2
    workers_module.end_idle_threads()
    assert threading.active_count() == before


def test_threads_are_started_when_they_are_needed():
    before = threading.active_count()
    with WorkerThreads(3) as workers:
        assert threading.active_count() == before
        assert workers.ready(2) == 2
        assert threading.active_count() == before + 1


def test_threads_wait_awake_only_where_each_has_a_processor(processor_count):
    """Of all that the program wants at the time."""
    processor_count(4)
    with WorkerThreads(2) as first, WorkerThreads(2) as second, WorkerThreads(2) as third, WorkerThreads(1) as alone:
        assert [each._rounds > 0 for each in (first, second, third, alone)] == [True, True, False, False]
        assert [each.processors for each in (first, second, third, alone)] == [4, 2, 1, 1]
    with WorkerThreads(4) as again:
        assert again._rounds > 0
    with WorkerThreads(5) as too_many:
        assert too_many._rounds == 0
        too_many.ready(3)
        assert [helper.rounds for helper in too_many._helpers] == [0, 0]
    assert workers_module._pool.busy == 0


def test_helpers_end_after_an_error():
    before = threading.active_count()
    with pytest.raises(KeyError), WorkerThreads(2) as workers:
        workers.run([lambda: None, lambda: {}["lost"]])
    assert threading.active_count() == before


def test_others_are_told_that_the_calling_thread_gave_up():
    told = threading.Event()

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), WorkerThreads(2) as workers:
        workers.run([lambda: told.wait(60), fail], give_up=told.set)
    assert told.is_set()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_error_is_raised_when_all_are_done(position):
    done = []

    def fail():
        raise KeyError("lost")

    jobs = [lambda: done.append(1)] * 3
    jobs[position] = fail
    with WorkerThreads(3) as workers:
        with pytest.raises(KeyError, match="lost"):
            workers.run(jobs)
        assert len(done) == 2
        workers.run([lambda: done.append(1)] * 3)
    assert len(done) == 5


@pytest.mark.parametrize("granted", [0, 1])
def test_fewer_threads_where_the_system_grants_no_more(granted, no_more_threads, caplog):
    """Said once, whoever asks again."""
    no_more_threads(granted)
    caplog.set_level(logging.WARNING, "spikeunet")
    for _ in range(2):
        with WorkerThreads(4) as workers:
            assert [workers.ready(4), workers.ready(3)] == [1 + granted] * 2
            workers.run([lambda: None] * (1 + granted))
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith("spikeunet goes on with fewer threads, and slower")
    assert message.endswith("the system grants no more (can't start new thread); see ulimit -u")


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("granted", [0, 1, 9])
def test_work_is_shared_out(threads, granted, no_more_threads):
    no_more_threads(granted)
    with using_threads(threads):
        assert on_threads(lambda item: item * item, range(20)) == [item * item for item in range(20)]


def test_work_that_is_shared_out_inside_of_work_takes_no_more_threads():
    idents = []

    def inner(_):
        idents.append(threading.get_ident())

    with using_threads(2):
        on_threads(lambda _: on_threads(inner, range(5)), range(4))
    assert len(idents) == 20
    assert len(set(idents)) <= 2


def test_an_error_ends_what_is_shared_out():
    done = []

    def work(item):
        done.append(item)
        raise KeyError("lost")

    with using_threads(2), pytest.raises(KeyError, match="lost"):
        on_threads(work, range(1000))
    assert len(done) < 1000


# --- Processors ------------------------------------------------------------------------------------------------------

V2 = "31 23 0:28 {above} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 {above} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
OTHER = "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


def tree(root, groups, mounts, files):
    """A folder with what the system says of control groups."""
    texts = {"proc/self/cgroup": "\n".join(groups), "proc/self/mountinfo": "\n".join(mounts)}
    for name, text in {**texts, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        (["0::/"], [V2], {"cpu.max": "200000 100000"}, 2),
        (["0::/"], [V2], {"cpu.max": "max 100000"}, None),
        (["0::/"], [V2], {}, None),
        (["0::/a/b"], [V2], {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        (["0::/a/b"], [V2], {"a/b/cpu.max": "50000 100000", "a/cpu.max": "150000 100000"}, 0.5),
        (["0::/a/b"], [V2], {"a/b/cpu.max": "300000 100000", "cpu.max": "100000 100000"}, 1),
        # A folder that is no part of the way says nothing.
        (["0::/a/b"], [V2], {"a/b/cpu.max": "300000 100000", "a/c/cpu.max": "100000 100000"}, 3),
        # A container that sees its own group alone, and knows it by the name that it has outside, or by none.
        (["0::/docker/x"], [V2.format(above="/docker/x")], {"cpu.max": "200000 100000"}, 2),
        (["0::/../other"], [V2], {"cpu.max": "200000 100000"}, 2),
        (["0::/docker/x/y"], [V2.format(above="/docker/x")], {"y/cpu.max": "100000 100000"}, 1),
        (
            ["4:memory:/m", "2:cpu,cpuacct:/a", "0::/"],
            [OTHER, V1],
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        (
            ["2:cpu,cpuacct:/a/b"],
            [V1],
            {
                "cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/a/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "50000",
            },
            1,
        ),
        (["2:cpu,cpuacct:/"], [V1], {"cpu,cpuacct/cpu.cfs_quota_us": "-1"}, None),
        # Both versions at once: the smaller one.
        (
            ["2:cpu,cpuacct:/", "0::/"],
            [V1, V2],
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "cpu.max": "200000 100000",
            },
            2,
        ),
        (["nonsense", ""], ["", "a b c", V2], {"cpu.max": "1 2 3"}, None),
        (["0::/"], [V2], {"cpu.max": "0 0"}, None),
    ],
)  # fmt: skip
def test_quotas_of_control_groups(groups, mounts, files, expected, tmp_path):
    root = tree(tmp_path, groups, [mount.replace("{above}", "/") for mount in mounts], files)
    assert processors.processor_quota(root) == expected


def test_a_mount_whose_name_has_a_blank(tmp_path):
    mount = r"31 23 0:28 / /sys/fs/cgroup/of\040mine rw - cgroup2 cgroup2 rw"
    root = tree(tmp_path, ["0::/"], [mount], {"of mine/cpu.max": "200000 100000"})
    assert processors.processor_quota(root) == 2


def test_no_control_groups(tmp_path):
    assert processors.processor_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("allowed", "quota", "expected"), [(64, 2.0, 2), (64, 2.9, 2), (64, 0.5, 1), (2, 8.0, 2), (3, None, 3)]
)
def test_a_quota_bounds_the_number_of_processors(allowed, quota, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: allowed, raising=False)
    monkeypatch.setattr(processors, "processor_quota", lambda: quota)
    monkeypatch.setattr(processors, "_read", None)
    assert processors.available_processors() == expected


def test_a_quota_is_read_again_after_a_while(monkeypatch):
    quotas = iter([1.0, 2.0])
    now = [0.0]
    monkeypatch.setattr(processors, "_allowed", lambda: 8)
    monkeypatch.setattr(processors, "processor_quota", lambda: next(quotas))
    monkeypatch.setattr(processors, "_read", None)
    monkeypatch.setattr(processors.time, "monotonic", lambda: now[0])
    assert [processors.available_processors() for _ in range(3)] == [1, 1, 1]
    now[0] = 2.0
    assert processors.available_processors() == 2


QUOTA = """
from spikeunet.engine.threads import WorkerThreads, available_processors

with WorkerThreads(available_processors()) as workers:
    print(available_processors(), workers.ready(available_processors()))
"""


def folders_of_processors():
    """Where this process's control groups for processors are."""
    groups, mounts = (Path(name).read_text().splitlines() for name in ("/proc/self/cgroup", "/proc/self/mountinfo"))
    return list(processors._folders(groups, mounts, Path("/")))


@pytest.fixture
def group_of_one_processor():
    """A control group of the system's own that grants one processor's time."""
    try:
        (group := folders_of_processors()[0] / f"spikeunet-test-{os.getpid()}").mkdir()
    except (OSError, IndexError) as error:
        pytest.skip(f"no control group can be made here ({error})")
    try:
        name, text = ("cpu.max", "100000 100000"), ("cpu.cfs_quota_us", "100000")
        quota, granted = next((pair for pair in (name, text) if (group / pair[0]).exists()), (None, None))
        if quota is None:
            pytest.skip("control groups are without processors here")
        (group / quota).write_text(granted)
        yield group
    finally:
        group.rmdir()


@pytest.mark.skipif(processors._allowed() < 2, reason="there is one processor")
def test_a_quota_of_the_system_bounds_the_number_of_processors(group_of_one_processor):
    command = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group_of_one_processor)]
    done = subprocess.run([*command, sys.executable, "-c", QUOTA], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1\n"
