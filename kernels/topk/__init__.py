"""The k best partners of every row, each way, from one visit of the score tiles.

    index_ik = the k first j under (value_ij + (u_i + v_j), j), pairs that are masked or excluded left out

`value` is the canonical float64 value of rows x_i and y_j as given (eight lanes, see `tiles/metrics.py`): ascending,
for dot descending. Euclidean orders by the square and takes the root afterwards (with a bias, by root plus bias).

Exact: every pair is either compared by canonical value or excluded by a proved bound; index and value are the same bits
for every block size, batch split, thread count and backend. Ties: lowest j. NaN comes last, ties among NaN by j. Slots
for which no partner is allowed hold index -1 and +inf (dot: -inf). The other direction ranks rows i for each column j
in the same way.
Cost: 2 m n d flops at the scan's precision, plus about 10 d flops for each of some 1.1 k candidates a row.
Source: direct from the definition; the certificate is Cauchy-Schwarz with Higham (2002), section 3.1.
"""
