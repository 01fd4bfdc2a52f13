"""Many callers at once, forks, workers of other libraries, Ctrl-C: answers stay right, calls end, nothing piles up."""

import os
import subprocess
import sys
import textwrap
import threading
from functools import partial

import numpy as np
import pytest

import crossmodal_fast as cmf
from crowd import called_by_many, calls, equal, flat, handles, resident

CALLERS = 64
GROWTH = 160 << 20  # bytes that the process may gain: 64 stacks, their workspaces, what the allocator keeps
SECONDS = 120  # after which a process counts as hung
STOPS = 1.0  # seconds from the signal to the end of the call
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
POSIX = pytest.mark.skipif(os.name != "posix", reason="sends a signal")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self")


def storm(seconds):
    """CALLERS threads that call until the time is up; how many calls they made."""
    jobs = [(partial(call, "numba"), expected) for call, expected in calls()]
    for call, expected in jobs:  # compiled, and right without a crowd
        assert equal(call(), expected)
    before, opened = resident(), handles()
    made = called_by_many(jobs, CALLERS, seconds)
    assert min(made) > 0
    grown = resident() - before
    assert grown < GROWTH, f"grew by {grown >> 20} MiB over {sum(made)} calls"
    assert handles() <= opened + 2
    return sum(made)


@LINUX
def test_sixty_four_callers():
    assert storm(3) > CALLERS


@LINUX
@pytest.mark.heavy
def test_sixty_four_callers_for_a_minute():
    assert storm(60) > 20 * CALLERS


@pytest.mark.parametrize(
    ("call", "words"), [(lambda: np.ones(2), "job 0 differs"), (lambda: 1 // 0, "job 0 raised ZeroDivisionError")]
)
def test_the_crowd_notices(call, words):
    with pytest.raises(AssertionError, match=words):
        called_by_many([(call, [np.zeros(2)])], 3, 20)


@LINUX
def test_calls_one_after_the_other_leave_nothing():
    jobs = calls()
    for call, _ in jobs:
        call("numba")
    before, opened, threads = resident(), handles(), threading.active_count()
    for _ in range(4):
        for call, _ in jobs:
            call("numba")
    assert resident() - before < 24 << 20
    assert handles() == opened
    assert threading.active_count() <= threads


# ------------------------------------------------------------------------------------------------------------ processes

PROBLEM = """
import os, signal, sys, threading, time
import numpy as np
import crossmodal_fast as cmf

rng = np.random.default_rng(302)
x, y = (rng.standard_normal((rows, 24)).astype(np.float32) for rows in (40, 1500))
lawful = cmf.topk(x, y, 5, backend="numpy"), cmf.topk_both(x, y, 2, "dot", backend="numpy")

def right():
    found = cmf.topk(x, y, 5, backend="numba"), cmf.topk_both(x, y, 2, "dot", backend="numba")
    pairs = zip(
        [*found[0], *found[1][0], *found[1][1]], [*lawful[0], *lawful[1][0], *lawful[1][1]], strict=True
    )
    return all(np.array_equal(part, twin) for part, twin in pairs)
"""


def python(code):
    """Words that a script prints after PROBLEM."""
    script = PROBLEM + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


@FORKS
def test_forks_before_after_and_during_calls():
    said = python("""
        def child():
            number = os.fork()
            if number == 0:
                code = 2
                try:
                    signal.alarm(60)  # ends it, where it hangs
                    code = 0 if right() else 1
                finally:
                    os._exit(code)
            return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])

        print("before", child())
        assert right()
        print("after", child())
        calling = True

        def caller():
            while calling:
                assert right()

        threads = [threading.Thread(target=caller) for _ in range(3)]
        for thread in threads:
            thread.start()
        print("during", *(child() for _ in range(6)))
        calling = False
        for thread in threads:
            thread.join()
        print("parent", int(right()))
    """)
    assert said == ["before", "0", "after", "0", "during", *["0"] * 6, "parent", "1"]


def test_workers_of_joblib():
    """Loky's: processes that may use their share of the cores alone."""
    pytest.importorskip("joblib")
    said = python("""
        from joblib import Parallel, delayed
        from crossmodal_fast.kernels.tiles import pool

        parts = Parallel(n_jobs=2, backend="loky")(
            delayed(cmf.topk)(part, y, 5, backend="numba") for part in np.array_split(x, 4)
        )
        same = [np.array_equal(np.concatenate(side), law) for side, law in zip(zip(*parts), lawful[0])]
        threads = Parallel(n_jobs=4, backend="threading")(
            delayed(cmf.topk)(part, y, 5, backend="numba") for part in np.array_split(x, 4)
        )
        same += [np.array_equal(np.concatenate(side), law) for side, law in zip(zip(*threads), lawful[0])]
        most = max(Parallel(n_jobs=2, backend="loky")(delayed(pool.cores)() for _ in range(4)))
        print(*map(int, same), int(most <= max(1, pool.cores() // 2)))
    """)
    assert said == ["1"] * 5


SESSION = """
import sys
import numpy as np
import crossmodal_fast as cmf

rng = np.random.default_rng(304)
x, y = rng.random((3, 11)) < 0.2, rng.random((20, 11)) < 0.2
for metric in sys.argv[1:]:
    for part, twin in zip(*(cmf.topk(x, y, 2, metric, backend=backend) for backend in ("numba", "numpy"))):
        assert np.array_equal(part, twin), metric
"""


def test_a_process_tells_apart_the_kernels_that_two_others_have_kept(tmp_path):
    """Each was the first of its process: their parts have the same names, numbers and types."""
    for metrics in (["hamming"], ["jaccard"], ["hamming", "jaccard"], ["jaccard", "hamming"]):
        alone = os.environ | {"CROSSMODAL_FAST_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-c", SESSION, *metrics]
        done = subprocess.run(command, env=alone, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, f"{metrics}: {done.stderr[-500:]}"


LONG = {  # many seconds if nothing stops them; the precision named, as no compilation would stop
    "scan": "cmf.topk(many, rows, 10, n_threads=2, backend='numba', precision='int16')",
    "without a bound": "cmf.topk(many, rows, 10, 'cityblock', n_threads=2, backend='numba')",
    "columns": "cmf.topk_both(many, rows, 10, n_threads=2, backend='numba')",
    "within": "cmf.within(many, rows, 1.0, n_threads=2, backend='numba')",
}


@POSIX
@pytest.mark.parametrize("what", [pytest.param(name, marks=pytest.mark.heavy if name in ("within", "columns") else ())
                                  for name in LONG])  # fmt: skip
def test_an_interrupt_stops_a_call(what):
    said = python(f"""
        many, rows = (np.tile(rng.standard_normal((1000, 64)).astype(np.float32), (times, 1)) for times in (20, 100))
        assert right()
        {LONG[what].replace("many", "many[:50]").replace("rows", "rows[:200]")}
        sent = []

        def interrupt():
            time.sleep(0.3)
            sent.append((time.monotonic(), time.process_time()))
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            {LONG[what]}
        except KeyboardInterrupt:
            wall, processor = (now - then for now, then in zip((time.monotonic(), time.process_time()), sent[0]))
            print(wall, processor / 2, int(right()))
        else:
            print("finished")
    """)
    assert said != ["finished"], "the call was too short to be interrupted"
    wall, processor, right = said  # on a busy machine two threads take longer to do what takes them a second
    assert right == "1"
    assert min(float(wall), float(processor)) < STOPS, f"{wall} s after the signal, {processor} of both threads"


def test_an_exception_in_progress_leaves_the_pool_to_others():
    """One caller fails in each of its calls, beside others who do not notice."""
    rng = np.random.default_rng(303)
    x, y = (rng.standard_normal((rows, 16)).astype(np.float32) for rows in (60, 800))
    expected, wrong = flat(cmf.topk(x, y, 5, backend="numpy")), []

    def refuse(done, total):
        raise LookupError(f"{done} of {total}")

    def caller(fails):
        for _ in range(25):
            if fails:
                try:
                    cmf.topk(x, y, 5, progress=refuse, n_threads=3, backend="numba")
                    wrong.append("no exception")
                except LookupError:
                    continue
            elif not equal(cmf.topk(x, y, 5, n_threads=3, backend="numba"), expected):
                wrong.append("another answer")

    threads = [threading.Thread(target=caller, args=(number % 2,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert equal(cmf.topk(x, y, 5, backend="numba"), expected)
