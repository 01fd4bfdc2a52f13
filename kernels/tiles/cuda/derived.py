"""Rows on the device as a metric compares them: about their mean, as roots, as shares; or as given, looked at.

Work    one launch of derive.cu
Shapes  rows (n, d) -> rows (n, d), stat (n,), said (2,)
Cost    8 n d bytes of device memory where rows are derived
Sum     canonical, as metrics.py prepares rows
"""

import numpy as np

BLOCK = 256  # threads
LANES = 8  # threads of a row
KINDS = {
    "float32": "float", "float64": "double", "float16": "float16", "uint16": "bfloat16", "int8": "signed char",
    "uint8": "unsigned char", "bool": "unsigned char",
}  # fmt: skip
INPUT = {np.dtype(name): kind for name, kind in KINDS.items()}
"""What device code calls rows of a dtype; those of bfloat16 are their bits. A dtype's name takes NumPy 5 us."""
WAY = {"cosine": 0, "correlation": 1, "hellinger": 2, "jensenshannon": 3}  # of derive.cu
GIVEN = 4  # the way of the others


def derived(driver, metric, rows, make=None):
    """(rows, stat or None, said); `make` is the `Workspace` of queries.

    said (2,) int32: the first row that is not finite, the first with a negative number; their number if there is none.
    """
    (n, d), way = rows.shape, WAY.get(metric.name, GIVEN)
    kept = make is not None and make.ready  # of a workspace that was used before nothing was bad
    make = make or (lambda name, shape, dtype: driver.empty(shape, dtype))
    made, stat, said = None, None, make("said", (2,), np.int32)
    if way != GIVEN:
        made, stat = make("made", (n, d), np.float64), make("stat", (n,), np.float64)
    if not kept:
        driver.put(said, np.array([n, n], np.int32))
    arguments = [rows, np.int32(n), np.int32(d), made, stat, said]
    driver.launch("derive", -(-n * LANES // BLOCK), BLOCK, arguments, INPUT=INPUT[rows.dtype], WAY=way)
    return (rows if way == GIVEN else made), stat, said
