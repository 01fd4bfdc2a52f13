"""What the sums of a tensor core, and a score of 16 bits, may lose: the loss that bound.cu adds to every margin."""

TERMS, FRACTION_BITS = 16, 22  # of a tensor core's sum, and the bits it keeps: the worst of Volta to Blackwell
SPLITS = 32  # of a product's sum in cuBLAS, at most
ROUNDINGS = 2.0**-20  # of the bound itself, in float32
LARGEST_BITS, CODE_BITS = 15, 14  # of a score: float16 ends at 2**16; of a code, as prepare.cu


def accumulation(d):
    """A of the package docstring: what summing d products in a tensor core may lose, of |code_x||code_y|."""
    share = -(-d // TERMS) * ((TERMS + 1) * 2.0**-FRACTION_BITS + 2.0**-23) + SPLITS * 2.0**-23
    return share * (1 + share) + ROUNDINGS


def score_bits(d):
    """A score is the sum of d code products over 2 to this: it lies within 2**LARGEST_BITS."""
    return 2 * CODE_BITS + (d - 1).bit_length() - LARGEST_BITS


def loss(d):
    """Of |code_x||code_y|: the sum's, and half a unit of the least score where that is subnormal.

    Rows that are not zero have |code| >= 2**13. What else a score loses is a share of itself: ROUNDED of bounds.cuh.
    """
    return accumulation(d) + 2.0 ** (score_bits(d) - 25 - 2 * (CODE_BITS - 1))
