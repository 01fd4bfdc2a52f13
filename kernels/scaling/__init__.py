"""Sinkhorn's iterations on scores that are kept: one exponential an entry serves many of them.

    f_i = share (a_i - log sum_j exp(beta s_ij + g_j)),    then    g_j = share (b_j - log sum_i exp(beta s_ij + f_i))

a and b are logarithms of marginals, f and g potentials in units of epsilon = 1 / beta; share is 1 for balanced plans.
Both half steps are one reading of K_ij = exp(beta s_ij + h_j - top_i), which has the dtype of the scores. h is g when K
was made, top_i the largest exponent of a row, so that each row holds a 1:

    r_i = sum_j K_ij v_j,  v_j = exp(g_j - h_j),     c_j = sum_i w_i K_ij,  w_i = exp(f_i + top_i)

K is made anew when the logarithms of v lie more than SPREAD = 20 apart. Where a c_j is less than exp(-REACH) of sum w,
REACH = 40, its large terms may be among those that K does not hold: iterations end there, f being right, and the
half step of the columns is left to `softmax`. With w = 2**-24 or 2**-53 by the dtype and N terms in a sum, a half step
divided by share is within

    2**-51 max(beta |s_ij| + |h_j|) + (50 + log N) w + N exp(-60) + exp(-40)

of the exact one of the scores as they are kept: as in `softmax`, but that K rounds exponents z of up to SPREAD, or
REACH, more than the distance of a term from its sum. Nothing adds up, since every iteration starts from K again.
Scores and what is made of them have to be finite; if not, f is not, and iterations end.
Cost: one reading of K an iteration, 4 m n flops; m n exponentials for each K; memory of K, which is the caller's.
Source: absorption of scalings, Schmitzer (2019); the row's own top instead of f, and the bounds: direct.
"""
