"""Why a survivor is no fault, or one that no caller can see. Keys are those of `mutants.Mutant`; `*` ends a prefix."""

LEFT = ("survived", "not run")

NAME = "the name of a context variable, which only a debugger shows"

LAST = "an estimate that differs in its tenth digit or later: either backend is as good"

NINE = "no NumPy number has nine bytes"

EQUAL = "two numbers that are equal to the last bit: either way is right"

ZERO = "a row of zeros, of which any multiple is one, and whose exponent is 0 too"

FROZEN = "keeps out assignments that nobody makes"

LOOK = "whether to look for crowded rows; `_crowded` decides which are"

BEHIND = "a place behind the last row, where a step of 0 leaves no bound anyway"

SAME_UNITS = "rows have a weight where the units of both sides are the same"

MEASURED = "a threshold chosen by its time, which a little more hardly changes"

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
    "kernels/tiles/finite.py": {
        "first_unfinite: array.dtype.kind in 'biu' -> array.dtype.kind in 'XX'": "a shortcut: whole numbers are finite",
        "first_unfinite: max(1, array.size) -> max(2, array.size)": "of an array of one number, which is one piece",
    },
    "kernels/tiles/loop.py": {
        "Tile: 1.0 -> 2.0": "the unit of tiles of values, which have no scores",
        "Tile.reaches: -np.finfo(real).max / 2 -> -np.finfo(real).max / 3": "below all scores of pairs that may match",
        "Scan: False -> True": "`visit` always says which",
        "Scan: init=False -> init=True": "a field of its own, which nobody gives",
        "Scan._wider: dtype='float64' -> dtype='XX'": "only tiles are asked of the wider scan, whose codes are there",
    },
    "kernels/tiles/nearness.py": {
        "error: -1074.0 -> -1075.0": "less than any number of features gives",
        "entropies: np.where(rows == 0, 1.0, rows) -> np.where(rows == 0, 2.0, rows)": "of shares of 0, times 0",
    },
    "kernels/tiles/shortlist.py": {
        "(module): CROWD = 4 -> CROWD = 5": MEASURED,
        "(module): FEW = 48 -> FEW = 49": MEASURED,
        "_rank_within: (True, owner[1:] != owner[:-1]) -> *": "the first place counts from 0 either way",
        "_rank_within: np.zeros(0, bool) -> np.zeros(1, bool)": "broadcast to no entries",
        "Shortlist.offer: np.count_nonzero(keep) > CROWD * self.k + FEW -> *": LOOK,
        "Shortlist.offer: CROWD * self.k *": LOOK,
        "Shortlist._thin: not len(crowded) or width < self.k -> *": "a tile with a crowd is wider than k",
        "Shortlist._thin: width < self.k -> width <= self.k": "a tile with a crowd is wider than k",
        "Shortlist._offer_values: keep.shape[1] >= self.k -> *": "of k values the k-th is the largest: all stay",
        "Shortlist._pieces: self.capacity // 4 -> self.capacity // 5": "smaller pieces",
        "Shortlist._add: *": "tightens or settles a little earlier: time, no memory",
        "Shortlist._joined: strict=True -> strict=False": "columns of one named tuple",
    },
    "kernels/tiles/sides.py": {
        "Measure: frozen=True -> frozen=False": FROZEN,
        "_relative: form != 'cosine' -> form != 'XX'": "rows of unit length are within range",
        "_relative: fits[rows:] = True -> fits[rows:] = False": BEHIND,
        "queries: np.arange(len(odd)) >= rows -> np.arange(len(odd)) > rows": BEHIND,
        "queries: _weight(norm, form) * (measure.units[0] / measure.units[1]) -> *": SAME_UNITS,
        "queries: measure.units[0] -> measure.units[1] #2": SAME_UNITS,
        "queries: 1 / scale -> 2 / scale": "a row at the end of float32 that goes without a bound",
        "columns: _weight(norm, form) * (measure.units[1] / measure.units[0]) -> *": SAME_UNITS,
        "columns: measure.units[0] -> measure.units[1]": SAME_UNITS,
        "columns: odd[rows:] = False -> odd[rows:] = True": "only those of rows are returned",
        "columns: -1 -> -2": "any number below 0 stands for what is left, to NumPy",
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
