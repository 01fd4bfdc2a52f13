"""The thread pool: limits, callers at once, nesting, forks, interrupts, exits; what could hang has its own process."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from crossmodal_fast.kernels.tiles import pool

SECONDS = 240  # after which a process counts as hung
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def python(code, **environment):
    """Output of a script in its own process."""
    script = "from crossmodal_fast.kernels.tiles import pool\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def free(monkeypatch):
    """Eight cores without a limit."""
    for name in pool.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(pool, "quota", lambda: 1 << 20)


# ------------------------------------------------------------------------------------------------------------- limits


def test_cores_are_those_of_the_affinity(free):
    assert pool.cores() == 8


@pytest.mark.parametrize("name", pool.ENVIRONMENT)
@pytest.mark.parametrize(
    ("wish", "cores"), [("3", 3), ("64", 8), ("0", 8), ("", 8), ("many", 8), ("2,1", 2), ("-1", 8)]
)
def test_the_environment_can_ask_for_less(free, monkeypatch, name, wish, cores):
    monkeypatch.setenv(name, wish)
    assert pool.cores() == cores


@pytest.mark.parametrize(("most", "threads"), [(None, 8), (1, 1), (3, 3), (20, 20)])
def test_at_most(free, most, threads):
    with pool.at_most(most):
        assert pool.threads() == threads
        with pool.at_most(None):
            assert pool.threads() == threads
    assert pool.threads() == 8


def test_at_most_bounds_the_jobs_under_way():
    under_way, most, lock = 0, 0, threading.Lock()

    def job():
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01)
        with lock:
            under_way -= 1

    for limit in (1, 3, 2):
        most = 0
        with pool.at_most(limit):
            pool.run([job] * 12)
        assert most == limit


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups of one's own: give a membership and files, get the cores."""
    monkeypatch.setattr(pool, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(pool, "MEMBERSHIP", tmp_path / "membership")

    def cores(membership, **files):
        (tmp_path / "membership").write_text(membership)
        for name, content in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return pool.quota.__wrapped__()

    return cores


def test_version_2_quota_of_the_container(groups):
    assert groups("0::/\n", **{"cpu.max": "300000 100000\n"}) == 3


def test_version_2_quota_of_a_group_and_of_those_around_it(groups):
    files = {
        "cpu.max": "max 100000",
        "a/cpu.max": "200000 100000",
        "a/b/cpu.max": "max 100000",
        "c/cpu.max": "50000 100000",
    }
    assert groups("0::/a/b\n", **files) == 2
    assert groups("0::/c\n") == 1


def test_version_1_quota(groups):
    files = {
        "cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "50000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/job/cpu.cfs_quota_us": "50000\n", "memory/job/cpu.cfs_period_us": "50000\n",
    }  # fmt: skip
    assert groups("9:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n", **files) == 5


def test_version_1_quota_where_the_path_is_the_hosts(groups):
    files = {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}
    assert groups("4:cpu,cpuacct:/docker/0123\n", **files) == 2


@pytest.mark.parametrize("content", ["max 100000", "", "garbage", "100000 0", "1 2 3"])
def test_no_quota(groups, content):
    assert groups("0::/\nnonsense\n", **{"cpu.max": content}) > 1000


def test_no_control_groups(groups, tmp_path):
    groups("0::/\n")
    (tmp_path / "membership").unlink()
    assert pool.quota.__wrapped__() > 1000


def test_a_joblib_worker_has_one_thread():
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(_threads)() for _ in range(2)) == [1, 1]


def _threads():
    from crossmodal_fast.kernels.tiles import pool

    return pool.threads()


# --------------------------------------------------------------------------------------------------------------- jobs


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_job_runs_once(threads):
    done = []
    with pool.at_most(threads):
        pool.run([lambda i=i: done.append(i) for i in range(100)])
        pool.run(iter([]))
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_is_raised_and_stops_the_others(threads):
    done = []

    def job(i):
        if i == 5:
            raise ValueError("five")
        time.sleep(0.001)
        done.append(i)

    with pool.at_most(threads), pytest.raises(ValueError, match="five"):
        pool.run([lambda i=i: job(i) for i in range(2000)])
    assert len(done) < 1000


@pytest.mark.parametrize("threads", [1, 2])
def test_jobs_see_the_context_of_the_caller(threads):
    seen = []

    def job():
        seen.append((np.geterr()["divide"], pool.threads()))
        np.seterr(divide="ignore")

    with pool.at_most(threads):
        with np.errstate(divide="raise"):
            pool.run([job] if threads == 1 else [job, lambda: None])
        assert seen == [("raise", threads)]
        if threads > 1:
            before = np.geterr()["divide"]
            pool.run([job, job])
            assert np.geterr()["divide"] == before


def test_a_job_that_runs_jobs_does_them_itself():
    places = []

    def inner():
        places.append(threading.get_ident())

    def outer():
        places.clear()
        pool.run([inner] * 5)
        assert set(places) == {threading.get_ident()}

    with pool.at_most(4):
        pool.run([outer, lambda: None])


@pytest.mark.parametrize("threads", [1, 4])
def test_a_job_goes_on_after_the_jobs_that_it_ran(threads):
    """Stores may call the package while they are read: all that came behind was left out, and nobody was told."""
    done = []

    def outer(number):
        pool.run([lambda: None] * 3)
        pool.go_on()
        done.append(number)

    with pool.at_most(threads):
        pool.run([lambda number=number: outer(number) for number in range(8)])
    pool.go_on()
    assert sorted(done) == list(range(8))


def test_jobs_of_a_job_end_with_it():
    began, went_on, failing = threading.Event(), [], threading.Event()

    def inner():
        began.set()
        failing.wait(SECONDS)
        time.sleep(0.1)
        pool.go_on()
        went_on.append(True)

    def fails():
        began.wait(SECONDS)
        failing.set()
        raise ValueError("one")

    with pool.at_most(2), pytest.raises(ValueError, match="one"):
        pool.run([lambda: pool.run([inner]), fails])
    assert not went_on


def test_nested_runs_of_many_callers_do_not_deadlock():
    output = python("""
        import threading
        total = []
        def outer():
            pool.run([lambda: total.append(1)] * 3)
        def caller():
            with pool.at_most(4):
                for _ in range(20):
                    pool.run([outer] * 6)
        callers = [threading.Thread(target=caller) for _ in range(16)]
        for one in callers: one.start()
        for one in callers: one.join()
        names = {one.name for one in threading.enumerate() if one.name.startswith("crossmodal_fast")}
        print(len(total), len(names) <= max(4, pool.cores()))
    """)
    assert output == [str(16 * 20 * 6 * 3), "True"]


def test_a_pool_that_grows_ends_the_one_before():
    output = python("""
        import threading, time
        def count():
            return sum(one.name.startswith("crossmodal_fast") for one in threading.enumerate())
        def long():
            time.sleep(0.3)
        sizes = []
        first = threading.Thread(target=lambda: pool.run([long] * 8))
        with pool.at_most(2):
            pool.run([long] * 2)
        first.start()
        for size in (9, 17, 33):
            with pool.at_most(size):
                pool.run([long] * size)
        first.join()
        deadline = time.monotonic() + 120
        while count() > 33 and time.monotonic() < deadline:
            time.sleep(0.01)
        print(count() <= 33)
    """)
    assert output == ["True"]


# ------------------------------------------------------------------------------------- forks, interrupts, and the end


@FORKS
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_its_own_pool():
    output = python("""
        import os, warnings
        warnings.simplefilter("ignore")
        done = []
        def work():
            pool.run([lambda: done.append(os.getpid())] * 8)
        with pool.at_most(4):
            work()
            child = os.fork()
            if child == 0:
                work()
                os._exit(0 if done.count(os.getpid()) == 8 else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            work()
        print(len(done))
    """)
    assert output == ["0", "16"]


@FORKS
def test_a_fork_while_other_threads_call():
    output = python("""
        import os, threading, time, warnings
        warnings.simplefilter("ignore")
        stop, codes = False, []
        def caller():
            with pool.at_most(3):
                while not stop:
                    pool.run([lambda: time.sleep(0.0005)] * 5)
        callers = [threading.Thread(target=caller) for _ in range(4)]
        for one in callers: one.start()
        for _ in range(25):
            child = os.fork()
            if child == 0:
                done = []
                with pool.at_most(3):
                    pool.run([lambda: done.append(1)] * 7)
                os._exit(0 if len(done) == 7 else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop = True
        for one in callers: one.join()
        print(len(codes), any(codes))
    """)
    assert output == ["25", "False"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interrupt_ends_the_call_within_a_second():
    output = python("""
        import os, signal, threading, time
        done, sent = [], []

        def interrupt():
            sent.append((time.monotonic(), len(done)))
            os.kill(os.getpid(), signal.SIGINT)

        def job():
            time.sleep(0.05)
            done.append(1)

        threading.Timer(0.3, interrupt).start()
        try:
            with pool.at_most(2):
                pool.run([job] * 2000)
        except KeyboardInterrupt:
            (began, before), = sent
            # forty jobs are a second of two threads, however long a busy machine takes for them
            print("interrupted", time.monotonic() - began < 1 or len(done) - before < 40)
        with pool.at_most(2):
            alive = []
            pool.run([lambda: alive.append(1)] * 2)
        print(len(alive))
    """)
    assert output == ["interrupted", "True", "2"]


def test_the_interpreter_ends_with_a_pool_and_a_caller():
    began = time.monotonic()
    output = python("""
        import threading, time
        with pool.at_most(3):
            pool.run([lambda: None] * 3)
        def caller():
            with pool.at_most(3):
                while True:
                    pool.run([lambda: time.sleep(0.001)] * 5)
        threading.Thread(target=caller, daemon=True).start()
        time.sleep(0.1)
        print("end")
    """)
    assert output == ["end"]
    assert time.monotonic() - began < SECONDS / 4  # it takes a second where nothing else runs


def test_jobs_still_run_while_the_interpreter_ends():
    output = python("""
        import atexit
        def late():
            done = []
            with pool.at_most(3):
                pool.run([lambda: done.append(1)] * 2)
            print(len(done))
        atexit.register(late)
        with pool.at_most(3):
            pool.run([lambda: None] * 3)
    """)
    assert output == ["2"]


@pytest.mark.parametrize(("rows", "nbytes"), [(0, 0), (1, 1 << 30), (7, 100), (100, 1 << 30), (5, 8 << 20)])
def test_stretches_cover_all_rows_once(rows, nbytes):
    seen = []
    with pool.at_most(4):
        pool.over(rows, nbytes, lambda start, stop: seen.append((start, stop)))
    assert [row for start, stop in sorted(seen) for row in range(start, stop)] == list(range(rows))
    assert len(seen) <= max(1, min(4, rows, nbytes // pool.COPIED))
