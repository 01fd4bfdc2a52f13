"""Build script: `kernels/` ships as `crossmodal_fast.kernels`, never as a top-level `kernels`."""

from pathlib import Path

from setuptools import find_packages, setup

KERNELS = "crossmodal_fast.kernels"

REQUIRED = [
    "numpy>=2",
    "numba>=0.61",  # first with Python 3.13
    "numba>=0.63; python_version >= '3.14'",
    "scipy>=1.14",
    "array-api-compat>=1.9",
    "threadpoolctl>=3.5",
]

EXTRAS = {
    "cuda12": ["cupy-cuda12x[ctk]>=14"],  # 12 or 13, never both: two CuPy builds overwrite each other
    "cuda13": ["cupy-cuda13x[ctk]>=14"],
    "cli": ["rich>=13", "typer>=0.16", "pyarrow>=17", "safetensors>=0.5"],
    "plot": ["matplotlib>=3.9"],
    "dask": ["dask[array,distributed]>=2024.8"],
    "sklearn": ["scikit-learn>=1.6"],  # first with `validate_data` and with tags as objects
    "torch": ["torch>=2.4"],
    "encoders": ["torch>=2.4", "transformers>=4.45", "sentence-transformers>=3.1"],
    "stores": ["h5py>=3.11", "zarr>=3"],
    "bf16": ["ml_dtypes>=0.5"],
}
EXTRAS["demo"] = [*EXTRAS["cli"], *EXTRAS["plot"], *EXTRAS["sklearn"]]
EXTRAS["docs"] = [
    *EXTRAS["demo"], *EXTRAS["dask"], "furo>=2024.8", "myst-parser>=4", "numpydoc>=1.8", "sphinx>=8",
]  # fmt: skip
EXTRAS["test"] = [
    *EXTRAS["demo"],
    *EXTRAS["bf16"],
    *EXTRAS["dask"],
    *EXTRAS["stores"],
    "basedpyright>=1.29",  # brings the Node.js that it runs on
    "build>=1.2",
    "hypothesis>=6.135",
    "mypy>=1.13",
    "nvidia-cuda-nvrtc>=13; sys_platform == 'linux'",  # 58 MB; compiles CUDA for GPUs that are not there
    "psutil>=6",
    "pytest>=8",
    "pytest-benchmark>=5",
    "pytest-xdist>=3.6",
    "ruff>=0.12",
    "setuptools>=77",  # the packaging tests build without a network
    "typer>=0.26",  # first whose import and whose sentences do not depend on the version of click
]
# What the shims stand in for, as judges of them: torch's build for CUDA takes gigabytes, so not in "test"
EXTRAS["peers"] = [
    *EXTRAS["test"], *EXTRAS["encoders"], "faiss-cpu>=1.9", "POT>=0.9.5", "torchmetrics>=1.5",
]  # fmt: skip
EXTRAS["bench"] = [
    *EXTRAS["test"], *EXTRAS["torch"], "faiss-cpu>=1.9", "numkong>=7.8", "usearch>=2.20", "POT>=0.9.5", "ranx>=0.3.20",
    "lapx>=0.9", "pykeops>=2.3; sys_platform != 'win32'",
]  # fmt: skip

setup(
    name="crossmodal-fast",
    version="0.2.0",
    description="Exact, fast distances, top-k matching and matrix transfer between embeddings of several modalities",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=[
        "cross-modal",
        "embeddings",
        "nearest neighbours",
        "top-k",
        "pairwise distances",
        "retrieval",
        "alignment",
    ],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: Microsoft :: Windows",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["crossmodal_fast", "crossmodal_fast.*"]),
        KERNELS,
        *(f"{KERNELS}.{name}" for name in find_packages("kernels")),
    ],
    package_dir={"crossmodal_fast": "crossmodal_fast", KERNELS: "kernels"},
    package_data={"": ["*.cu", "*.cuh", "py.typed", "*.npz", "*.html", "*.css", "*.js"]},
    zip_safe=False,
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["crossmodal-fast=crossmodal_fast.cli:main"]},
)
