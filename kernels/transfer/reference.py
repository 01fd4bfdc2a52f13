"""The meaning of `transfer`: float64, plain loops, no shared code. Tests only."""

import numpy as np


def transfer(e_ni, m_oi, bias_o=None):
    """e (n, d_in), m (d_out, d_in), bias (d_out,) -> (n, d_out) float64: rows m e, the bias added last."""
    e_ni, m_oi = np.asarray(e_ni).astype(np.float64), np.asarray(m_oi).astype(np.float64)
    total_no = np.zeros((len(e_ni), len(m_oi)))
    for i in range(e_ni.shape[1]):
        total_no += e_ni[:, i, None] * m_oi[None, :, i]
    return total_no if bias_o is None else total_no + np.asarray(bias_o).astype(np.float64)


def transfer_which(e_ni, m_boi, which_n, bias_bo=None):
    """One matrix number per row: row r is mapped by m[which[r]] and, where there is one, bias[which[r]]."""
    rows = [
        transfer(e_ni[r : r + 1], m_boi[number], None if bias_bo is None else bias_bo[number])
        for r, number in enumerate(which_n)
    ]
    return np.concatenate([np.empty((0, m_boi.shape[1])), *rows])
