"""What no array can be read of is refused: one sentence each, with the way out."""

import numpy as np
import pytest
from scipy import sparse

import crossmodal_fast as cmf
from foreign import CudaOnly, Exporter, OnDevice, library, tensorflow

X, Y = np.arange(30, dtype=np.float32).reshape(6, 5), np.arange(55, dtype=np.float32).reshape(11, 5)
NUMPY = {"backend": "numpy"}


def torch_with(change):
    return lambda: change(library("torch"), library("torch").from_numpy(X.copy()))


def traced():
    found = []
    library("jax").jit(lambda rows: found.append(rows) or rows)(X)
    return found[0]


def symbolic():
    found = []
    library("tensorflow").function(lambda rows: found.append(rows) or rows)(tensorflow(X))
    return found[0]


def lazy(name, shape=(2, 2)):
    """An array of a library that would have to be imported."""
    return lambda: type("Array", (), {"__module__": f"{name}.core", "shape": shape})()


def nullable():
    pandas = library("pandas")
    return pandas.DataFrame({"a": [1.0, 2.0], "b": pandas.array([1, None], dtype="Int64")})


REFUSED = [
    (torch_with(lambda torch, rows: rows.requires_grad_()), TypeError,
     "queries must not require gradients, which no result passes on, got torch.Tensor with requires_grad=True; "
     "queries.detach() is without"),
    (torch_with(lambda torch, rows: torch.nn.Parameter(rows)), TypeError,
     "queries must not require gradients, which no result passes on, got torch.Parameter with requires_grad=True; "
     "queries.detach() is without"),
    (torch_with(lambda torch, rows: rows.to_sparse()), TypeError,
     "queries must be a dense tensor, got layout torch.sparse_coo; queries.to_dense() makes it so"),
    (torch_with(lambda torch, rows: torch.nested.nested_tensor([rows[0], rows[1, :3]])), TypeError,
     "queries must be a dense tensor, got layout nested; queries.to_dense() makes it so"),
    (torch_with(lambda torch, rows: torch.quantize_per_tensor(rows, 0.1, 0, torch.quint8)), TypeError,
     "queries must not be quantised, got dtype torch.quint8; queries.dequantize() makes it float32"),
    (torch_with(lambda torch, rows: rows.to(torch.complex64)), TypeError,
     "queries must be bool, integer, float16, bfloat16, float32 or float64, got dtype complex64"),
    (torch_with(lambda torch, rows: rows.to(torch.float8_e4m3fn)), TypeError,
     "queries must be readable as an array, got torch.Tensor: Got unsupported ScalarType Float8_e4m3fn"),
    (torch_with(lambda torch, rows: rows.to("meta")), TypeError,
     "queries must be readable as an array, got torch.Tensor: Cannot copy out of meta tensor; no data!"),
    (traced, TypeError, "queries must hold numbers, got a tracer of JAX; call outside of jit, grad and vmap"),
    (symbolic, TypeError,
     "queries must hold numbers, got a symbolic tensor of TensorFlow; call outside of tf.function"),
    (lambda: library("tensorflow").ragged.constant([[1.0], [2.0, 3.0]]), TypeError,
     "queries must be a dense tensor, got tensorflow.RaggedTensor; tf.sparse.to_dense makes one"),
    (nullable, ValueError, "queries['b'] must have no missing values, got 1; fill them or leave such rows out"),
    (lambda: library("pandas").DataFrame({"a": [1.0], 7: ["b"]}), TypeError,
     "queries must have columns of numbers, got dtype str in 7"),
    (lambda: library("pyarrow").array([[1.0, 2.0], [3.0]]), ValueError,
     "queries must be rows of one length, got lists of 1 and of 2"),
    (lambda: library("pyarrow").array([[1.0, 2.0], None]), ValueError,
     "queries must have no missing values, got 1; fill them or leave such rows out"),
    (lambda: library("pyarrow").array([[1.0, None]]), ValueError,
     "queries must have no missing values, got 1; fill them or leave such rows out"),
    (lambda: library("pyarrow").table({"a": [1.0], "b": ["c"]}), TypeError,
     "queries must have columns of numbers, got string in 'b'; give lists by themselves"),
    (lambda: library("pyarrow").table({"a": [[1.0, 2.0]]}), TypeError,
     "queries must have columns of numbers, got list<item: double> in 'a'; give lists by themselves"),
    (lazy("dask"), TypeError, "queries must be dense and in memory, got dask.Array; queries.compute() makes it so"),
    (lazy("sparse"), TypeError, "queries must be dense and in memory, got sparse.Array; queries.todense() makes it so"),
    (lazy("cupyx"), TypeError, "queries must be dense and in memory, got cupyx.Array; queries.get() makes it so"),
    (CudaOnly, TypeError, "queries must be readable as an array, got foreign.CudaOnly: it is in the memory of a GPU "
     "and has no DLPack; cupy.asarray takes it over"),
    (lambda: sparse.csr_array(X.astype(complex)), TypeError,
     "queries must be bool, integer, float16, bfloat16, float32 or float64, got dtype complex128"),
    (lambda: sparse.coo_array(X[0]), ValueError, "queries must have shape (..., rows, features), got (5,)"),
    (lambda: Exporter(X[0]), ValueError, "queries must have shape (..., rows, features), got (5,)"),
    (lambda: OnDevice(np.array([["a"]])), TypeError, None),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, of what is to change in it
@pytest.mark.parametrize(("make", "kind", "sentence"), REFUSED, ids=[str(row[2])[:60] for row in REFUSED])
def test_one_sentence(make, kind, sentence):
    queries = make()
    with pytest.raises(kind) as caught:
        cmf.topk(queries, Y, 2, **NUMPY)
    assert caught.type is kind
    assert "\n" not in str(caught.value)
    assert str(caught.value) == sentence or sentence is None
    if sentence is None:
        assert str(caught.value).startswith("queries must be readable as an array, got foreign.OnDevice: ")


def test_a_list_of_tensors_with_gradients():
    torch = library("torch")
    with pytest.raises(TypeError, match="queries must be rows of numbers of one length, got "):
        cmf.topk([torch.zeros(5, requires_grad=True)], Y, 2, **NUMPY)


def test_gradients_are_refused_beside_the_rows():
    with_gradient = library("torch").zeros(6, requires_grad=True)
    for name, call in {
        "radius": lambda: cmf.within(X, Y, with_gradient),
        "bias[0]": lambda: cmf.topk(X, Y, 2, bias=(with_gradient, np.zeros(11))),
        "M": lambda: cmf.TransferMap(with_gradient[None], np.zeros(1)),
    }.items():
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value).startswith(f"{name} must not require gradients")


def test_out_is_in_the_memory_of_the_host():
    torch = library("torch")
    negated = torch.imag(torch.zeros(6, 11, dtype=torch.complex64).conj())  # whose memory holds minus its values
    with pytest.raises(ValueError, match=r"^out must be in the memory of the host, got a tensor on cpu$"):
        cmf.pairwise_distances(X, Y, out=negated, **NUMPY)
