"""Rows mapped by a matrix, or each row by the matrix that it names.

    e_j = M e_i + bias            out_ir = sum_c M_rc e_ic + bias_r
    with which:                   out_ir = sum_c M[which_i]_rc e_ic + bias[which_i]_r
    with normalize:               out_i / |out_i|, a row of zeros as it is

Within w_r = g (sum_c |M_rc||e_ic| + |bias_r|) of the exact value, g = (d_in + 2) u / (1 - (d_in + 2) u) and u the unit
roundoff of the result's dtype (float32, or float64 if E or M needs it). Non-finite entries of E or M raise; with
check_finite=False they propagate.
With normalize, y being the exact row and v the computed one before it is divided, within
(w_r + |w|) / |y| + u + (d_out + 4) 2**-53: v_r / |v| - y_r / |y| is (v_r - y_r) / |y| + (v_r / |v|) (|y| - |v|) / |y|,
where ||y| - |v|| <= |w|; the length is a root of a sum in float64, with the divisions at most d_out / 2 + 4 roundings.
Float64 rows are divided by their largest entry first, so that no square overflows or vanishes. A row with an entry that
is not finite before it is divided becomes NaN.
Cost: 2 n d_in d_out flops; with few rows a matrix, bound by reading the matrices.
Source: direct from the definition; bound: Higham (2002), section 3.1.
"""
