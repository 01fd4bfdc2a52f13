"""A limit on the address space, reached in the middle of a call: MemoryError or the answer, and all is well after."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys, threading
import numpy as np
import crossmodal_fast as cmf
backend, operation = sys.argv[1:]
rng = np.random.default_rng(0)
x, y = rng.standard_normal((300, 96), dtype=np.float32), rng.standard_normal((30_000, 96), dtype=np.float32)
third = {"topk": 50, "topk_both": (50, 5), "within": 11.5, "ranks": np.arange(300)}[operation]


def flat(answer):
    return [answer] if isinstance(answer, np.ndarray) else [part for piece in answer for part in flat(piece)]


def call():
    return flat(getattr(cmf, operation)(x, y, third, backend=backend, n_threads=2))


wanted = call()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
outcomes = []
for step in range(24):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (step << 19), hard))  # from none to 12 MB more
    try:
        found = call()
    except MemoryError:
        found = None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    outcomes.append(found is not None)
    for part, other in zip(found or [], wanted):
        assert np.array_equal(part, other), f"a wrong answer at step {step}"
for part, other in zip(call(), wanted):
    assert np.array_equal(part, other), "a wrong answer without a limit"
print(sum(outcomes), len(outcomes))
"""


HEAVY, OTHERS = pytest.mark.heavy, ("topk_both", "ranks")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
@pytest.mark.parametrize("operation", ["topk", "within", *(pytest.param(name, marks=HEAVY) for name in OTHERS)])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_limit_that_is_reached(backend, operation):
    ran = subprocess.run(
        [sys.executable, "-c", CODE, backend, operation], capture_output=True, text=True, timeout=300, check=False
    )
    if backend == "numpy" and ran.returncode == 1 and ran.stderr.startswith("OpenBLAS: malloc failed"):
        pytest.skip("OpenBLAS ends the process where it gets no memory for its own buffers")
    assert ran.returncode == 0, ran.stderr[-2000:]
    answered, calls = map(int, ran.stdout.split())
    assert answered < calls, "the limit was never reached"
