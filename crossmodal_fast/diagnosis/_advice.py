"""From numbers to words: which remedy to take, or none, and what the measures of the spaces mean for it."""

from ._remedies import REMEDIES
from ._report import Contender, Diagnosis, signed

HUBBY = 1.0  # skewness of N_k from which hubs are worth a word: CLIP has 1.65 and 2.36, and CSLS gains
WIDE = 0.5  # a gap from which it is worth a word: CLIP has 0.85
LUCKY = 1.5  # times the MRR of chance


def recommendation(found: Diagnosis) -> str:
    """What to do, in words."""
    equal = [side for side, rank in zip("XY", found.effective_rank, strict=True) if rank == 0]
    if equal:
        return f"The rows of {' and '.join(equal)} are all equal: there is nothing to find by them."
    if not found.paired:
        return _unpaired(found)
    by_name = {one.name: one for one in found.contenders}
    if not by_name:
        return "The rows to learn from are all equal on one side: no map can be tried."
    return " ".join([_verdict(found, by_name), *_remarks(found, by_name)])


def _verdict(found: Diagnosis, by_name: dict[str, Contender]) -> str:
    choice, base = by_name[found.choice], by_name.get("nothing")
    advice = REMEDIES[choice.name].advice
    if base is None:
        widths = f"{found.columns[0]} and {found.columns[1]} columns"
        hits = f"hit_rate@1 {choice.hit_rate_mean:.3f}, {1 / found.held_out:.3f} by chance"
        return f"{advice}, as sides of {widths} need a map: {hits}."
    if choice is not base:
        return (
            f"{advice}: hit_rate@1 from {base.hit_rate_mean:.3f} to {choice.hit_rate_mean:.3f}, MRR from "
            f"{base.mrr_mean:.3f} to {choice.mrr_mean:.3f}, the mean of both directions."
        )
    nearest = max((one for one in by_name.values() if one is not base), key=lambda one: one.mrr_mean)
    told = "which chance explains" if (nearest.gain or 0) > 0 else "no better"
    return f"{advice}: the best of the others, {nearest.name}, changes MRR by {signed(nearest.gain)}, {told}."


def _remarks(found: Diagnosis, by_name: dict[str, Contender]) -> list[str]:
    told = []
    by_chance = sum(1 / rank for rank in range(1, found.held_out + 1)) / found.held_out
    if by_name[found.choice].mrr_mean < LUCKY * by_chance:
        told.append(f"But that is hardly more than chance, an MRR of {by_chance:.3f}: the pairs share little.")
    gap, shift, centred = found.modality_gap, by_name.get("mean shift"), by_name.get("centring")
    if gap is not None and gap >= WIDE and shift is not None and centred is not None:
        if max(shift.gain or 0, centred.gain or 0) <= 0:
            change = f"a shift that closes it changes MRR by {signed(shift.gain)}"
            told.append(f"The gap of {gap:.2f} does no harm: {change}.")
        elif "centring" in found.choice:
            told.append(f"The gap of {gap:.2f} was in the way.")
    maps = [by_name[name].gain for name in ("procrustes", "ridge") if name in by_name]
    if maps and all(gain is not None and gain < 0 for gain in maps):
        told.append(f"Fit no map from {found.rows[0] - found.held_out} pairs: the space is shared, and a map loses.")
    if found.hubness and max(one["skewness"] for one in found.hubness) >= HUBBY and "CSLS" in found.choice:
        told.append("Hubs were in the way.")
    return told


def _unpaired(found: Diagnosis) -> str:
    told = ["Without pairs no gain can be predicted."]
    if found.hubness and max(one["skewness"] for one in found.hubness) >= HUBBY:
        told.append("There are hubs: try CSLS.")
    if found.modality_gap is None:
        told.append("The sides have different columns: a map is needed before they can be compared.")
    elif found.modality_gap >= WIDE:
        told.append("There is a gap between the sides: it need not harm, so try centring on some pairs first.")
    return " ".join(told)
