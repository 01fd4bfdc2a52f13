"""All partners of every row within a radius, inclusive.

    {j : value_ij + (u_i + v_j) <= radius_i}   (dot: >=), ordered as `topk` orders, pairs masked or excluded left out

`value` is the canonical float64 value; for euclidean the root of the canonical sum. Exact, the same bits for every
block size, thread count and backend. Ties: lowest j. NaN is within no radius.
Result: CSR-like, row i has indices[indptr[i]:indptr[i+1]] and their distances.
Cost: 2 m n d flops at the scan's precision, plus 10 d for each pair returned or undecided.
Source: direct from the definition; the certificate as in `topk`.
"""
