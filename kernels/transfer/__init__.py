"""Rows mapped by a matrix, or each row by the matrix that it names.

    e_j = M e_i + bias            out_ir = sum_c M_rc e_ic + bias_r
    with which:                   out_ir = sum_c M[which_i]_rc e_ic + bias[which_i]_r

Within g (sum_c |M_rc||e_ic| + |bias_r|) of the exact value, g = (d_in + 2) u / (1 - (d_in + 2) u) and u the unit
roundoff of the result's dtype (float32, or float64 if E or M needs it). Non-finite entries of E or M raise; with
check_finite=False they propagate.
Cost: 2 n d_in d_out flops; with few rows a matrix, bound by reading the matrices.
Source: direct from the definition; bound: Higham (2002), section 3.1.
"""
