"""Logarithms of sums of exponentials over the rows and over the columns of all scores, of which none is stored.

    rows_i = log sum_j exp(beta s_ij + v_j)        columns_j = log sum_i exp(beta s_ij + u_i)

s_ij = 1 - distance_ij for cosine and correlation, the value itself for dot, -distance_ij for other metrics; or the
entry x_ij where x are ready scores (y and metric None). One pass over the scores gives both; memory O(m + n).
With E_ij the accuracy of `pairwise_distances` for float32 (all inputs fit it) or float64, w = 2**-24 or 2**-53, and N
terms in a sum, each result is within

    beta max E_ij + 2**-51 max(beta |s_ij| + |bias|) + (10 + log N) w + (N + 8 B) 2**-53 + N exp(-80)

of the exact value, where terms come in B blocks: a sum is 1-Lipschitz in the largest error of its terms; what a term
loses when its distance z from the largest is rounded weighs sum e**-z z w / sum e**-z <= w log N (the entropy of the
weights); an exponential is within 8 w of its value; sums are float64, rescaled once a block at most. The logarithm and
the last addition are in it too: a sum is large where partial sums are small (docs/accuracy.md). NaN and infinity give
what the formula gives.
Cost: 2 m n d flops and m n exponentials for each of the two.
Source: running sums, Milakov and Gimelshein (2018); bounds direct from the definition.
"""
