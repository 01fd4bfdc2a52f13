"""The rank of given partners among all partners of a row, by counting, without a sort.

    better_e = #{j : value_ij < value_ip}
    before_e = #{j < p : value_ij = value_ip}    equal_e = #{j != p : value_ij = value_ip}

for each pair e = (i, p), over the pairs that are neither masked nor excluded; `value` is the canonical float64 value
plus bias, `<` means nearer, NaN after everything and equal to NaN. The rank by index is 1 + better + before, the
optimistic one 1 + better, the pessimistic one 1 + better + equal, the mean one their mean.
A partner may lie outside the rows that are counted where its value is given: behind all of them, or before.
Exact, the same counts for every block size, thread count and backend. Memory O(pairs), no m x n.
Cost: 2 m n d flops at the scan's precision, one more reading of a tile per partner of a row, 10 d per undecided pair.
Source: direct from the definition.
"""
