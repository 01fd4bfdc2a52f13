"""Why a survivor is no fault, or one that no caller can see. Keys are those of `mutants.Mutant`; `*` ends a prefix."""

LEFT = ("survived", "not run")

NAME = "the name of a context variable, which only a debugger shows"

LAST = "an estimate that differs in its tenth digit or later: either backend is as good"

NINE = "no NumPy number has nine bytes"

EQUAL = "two numbers that are equal to the last bit: either way is right"

ZERO = "a row of zeros, of which any multiple is one, and whose exponent is 0 too"

FROZEN = "keeps out assignments that nobody makes"

REASONS: dict[str, dict[str, str]] = {
    "crossmodal_fast/_arguments.py": {
        "rows_of: rows.dtype.itemsize > 8 -> rows.dtype.itemsize > 9": NINE,
        "several: getattr(value, 'ndim', 1) -> getattr(value, 'ndim', 2)":
            "what has no ndim is not of dimension 0 either way",
        "label_pair: 'number' if labels.dtype.kind in 'biuf' else labels.dtype.kind -> 'XX' *":
            "a name for numbers that is neither S nor U, compared with itself alone",
        "label_pair: strict=True -> strict=False": "one entry a side on both, made from the same list",
    },
    "crossmodal_fast/_config.py": {
        "Control: total=False -> total=True": "for type checkers: nothing runs by it",
        "(module): ContextVar('crossmodal_fast_overrides', default={}) -> ContextVar('XX', default={})": NAME,
    },
    "crossmodal_fast/_usable.py": {
        "fault: :2 -> :3": "0.61.0 is no less than 0.61, nor 0.60.9 more",
    },
    "crossmodal_fast/_validate.py": {
        "maps: copy=False -> copy=True": "a copy more, of the same numbers",
        "_numbers: dtype.itemsize > 8 -> dtype.itemsize > 9": NINE,
    },
    "kernels/tiles/devices.py": {
        "(module): ContextVar('crossmodal_fast_devices', default=None) -> ContextVar('XX', default=None)": NAME,
    },
    "kernels/tiles/encode.py": {
        "Space: frozen=True -> frozen=False": FROZEN,
        "Group: frozen=True -> frozen=False": FROZEN,
        "Group: 1.0 -> 2.0": "the scale of rows without codes, the same for all of them",
        "Group: 1.0 -> 2.0 #2": "the scale of offsets of rows without codes, which have none",
        "Space.vectors: self.metric.name == 'cosine' -> self.metric.name == 'XX'":
            "a shortcut: rows whose squares float64 holds give the same without being scaled first",
        "Space.vectors: np.where(norm > 0, norm, 1.0) -> np.where(norm > 0, norm, 2.0)": ZERO,
        "space: centred < CENTRE_PAYS ** 2 * plain -> centred <= CENTRE_PAYS ** 2 * plain": EQUAL,
        "encode: safe[piece] & (norm[piece] > 0) -> safe[piece] | (norm[piece] > 0)":
            "the scale of rows that are dropped below",
        "encode: norm[piece] > 0 -> norm[piece] >= 0": ZERO,
        "encode: np.where(safe[piece] & (norm[piece] > 0), norm[piece], 1.0) -> *": ZERO,
        "encode: level == shared -> level != shared": "a shortcut that saves a copy",
        "operand: d + 2 -> d + 3": "a column that the next line fills",
    },
    "kernels/tiles/loop.py": {
        "Scan._wider: dtype='float64' -> dtype='XX'": "only tiles are asked of the wider scan, whose codes are there",
    },
    "kernels/tiles/worth.py": {
        "(module): (30000000000000.0, 6000000000.0, 0.002, 3.0) -> (30000000000001.0, 6000000000.0, 0.002, 3.0)": LAST,
        "(module): (30000000000000.0, 6000000000.0, 0.002, 3.0) -> (30000000000000.0, 6000000001.0, 0.002, 3.0)": LAST,
        "(module): (130000000000.0, 2.0) -> (130000000001.0, 2.0)": LAST,
        "_on_device: PAYS * device <= host -> PAYS * device < host":
            "two estimates that are equal to the last bit: either backend is as good",
    },
}  # fmt: skip


def of(name, mutant):
    """The reason of a mutant of a file, None without one."""
    return next((reason for key, reason in REASONS.get(name, {}).items() if fits(key, mutant.key)), None)


def fits(key, given):
    return given.startswith(key[:-1]) if key.endswith("*") else given == key


def idle(results):
    """Reasons that no survivor of these files has."""
    for name, fates in results.items():
        left = [mutant.key for mutant, fate in fates.items() if fate in LEFT]
        for key in REASONS.get(name, {}):
            if not any(fits(key, given) for given in left):
                yield f"{name}: {key}"
