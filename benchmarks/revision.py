"""A revision in a process of its own, which takes orders of `compare`: a line of JSON in, a line of JSON out.

{"case": name} makes our call of a case, has its answer judged, and tells its seconds; {"time": true} calls it once.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from shapes import FULL, LARGE, TOOLKIT, NotTimed

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # cases and judge

PAUSE = 0.03  # seconds before a call: threads of a BLAS spin after the work of the other side

# Of a call, or of a revision that does not have it: BackendUnavailable is a RuntimeError
FAULTS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, NotTimed, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip


def bits(answer):
    """A digest of all arrays of an answer, their dtypes and shapes included."""
    if isinstance(answer, tuple):
        return digest("".join(map(bits, answer)).encode())
    rows = np.ascontiguousarray(answer)
    if rows.dtype.hasobject:
        raise TypeError(f"an answer must be of numbers, got {type(answer).__name__}")  # bytes would be addresses
    return digest(f"{rows.dtype.str} {rows.shape}".encode() + rows.tobytes())


def digest(content):
    return hashlib.sha256(content).hexdigest()


def ready(case):
    """(the call, what to say about it)"""
    from answers import must_keep_promise
    from contenders import OUR_CALLS
    from data import arguments

    call = OUR_CALLS[case.operation](*arguments(case), backend="auto")
    answer = call()
    must_keep_promise(case, answer)
    known = case.operation != "prepare"
    return call, {"seconds": clocked(call), "bits": bits(answer) if known else None}


def clocked(call):
    time.sleep(PAUSE)
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def explained(fault):
    *_, sentence = ["", *str(fault).strip().splitlines()]
    return f"{type(fault).__name__}: {sentence}"


def main():
    import crossmodal_fast

    site = Path(os.environ["PYTHONPATH"])
    if not Path(crossmodal_fast.__file__).is_relative_to(site):
        raise SystemExit(f"the revision must be imported from {site}, got {crossmodal_fast.__file__}")
    cases = {case.name: case for case in (*FULL, *TOOLKIT, *LARGE)}
    answers, call = sys.stdout, None
    sys.stdout = sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        order = json.loads(line)
        if "case" in order:
            try:
                call, says = ready(cases[order["case"]])
            except FAULTS as fault:
                call, says = None, {"failed": explained(fault)}
        else:
            says = {"seconds": clocked(call)}
        print(json.dumps(says), file=answers, flush=True)


if __name__ == "__main__":
    main()
