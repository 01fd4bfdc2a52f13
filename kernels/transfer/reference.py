"""The meaning of `transfer`: float64, plain loops, no shared code. Tests only."""

import numpy as np


def transfer(e_ni, m_oi, bias_o=None, normalize=False):
    """e (n, d_in), m (d_out, d_in), bias (d_out,) -> (n, d_out) float64: rows m e, the bias added last."""
    e_ni, m_oi = np.asarray(e_ni).astype(np.float64), np.asarray(m_oi).astype(np.float64)
    total_no = np.zeros((len(e_ni), len(m_oi)))
    for i in range(e_ni.shape[1]):
        total_no += e_ni[:, i, None] * m_oi[None, :, i]
    if bias_o is not None:
        total_no = total_no + np.asarray(bias_o).astype(np.float64)
    return np.array([unit(row_o) for row_o in total_no]).reshape(total_no.shape) if normalize else total_no


def unit(row_o):
    """A row divided by its Euclidean length; by its largest entry first, whose square float64 need not hold."""
    largest = np.abs(row_o).max(initial=0.0)
    if largest == 0:
        return row_o
    scaled_o = row_o / largest
    return scaled_o / np.sqrt((scaled_o * scaled_o).sum())


def transfer_which(e_ni, m_boi, which_n, bias_bo=None, normalize=False):
    """One matrix number per row: row r is mapped by m[which[r]] and, where there is one, bias[which[r]]."""
    rows = [
        transfer(e_ni[r : r + 1], m_boi[number], None if bias_bo is None else bias_bo[number], normalize)
        for r, number in enumerate(which_n)
    ]
    return np.concatenate([np.empty((0, m_boi.shape[1])), *rows])
