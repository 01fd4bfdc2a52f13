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

FAULTS = (ArithmeticError, AssertionError, AttributeError, ImportError, NotTimed, TypeError, ValueError)  # of a call


def bits(answer):
    """A digest of all arrays of an answer."""
    parts = answer if isinstance(answer, tuple) else [answer]
    found = hashlib.sha256()
    for part in parts:
        found.update(bits(part).encode() if isinstance(part, tuple) else np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


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
            except (
                ArithmeticError,
                AssertionError,
                AttributeError,
                ImportError,
                NotTimed,
                TypeError,
                ValueError,
            ) as fault:
                call, says = None, {"failed": explained(fault)}
        else:
            says = {"seconds": clocked(call)}
        print(json.dumps(says), file=answers, flush=True)


if __name__ == "__main__":
    main()
