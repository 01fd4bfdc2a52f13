"""Why a survivor is no fault, or one that no caller can see. Keys are those of `mutants.Mutant`; `*` ends a prefix."""

LEFT = ("survived", "not run")

REASONS: dict[str, dict[str, str]] = {}


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
