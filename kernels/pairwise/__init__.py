"""All distances between two sets of rows, accurate where the expansion is not.

    distance_ij = metric(x_i, y_j)

Accurate: L2 family within 1e-6 relative of the canonical value, dot within 1e-6 |x||y|, cosine and correlation within
1e-6 absolute for float32 results; 1e-13 max(1, d / 256) on the same scales for float64. Other metrics, and entries that
the expansion |x|^2 + |y|^2 - 2 <x, y> cannot give at that accuracy, are canonical values rounded once.
x against itself: symmetric to the bit. NaN and infinity give what the canonical formula gives.
Cost: 2 m n d flops in float64 (half for x against itself) plus 10 d for each repaired entry.
Source: direct from the definition; bound: Higham (2002), section 3.1, for sums in pieces.
"""
