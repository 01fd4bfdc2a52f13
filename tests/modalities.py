"""Three modalities that describe the same hidden things, and pipelines at each stage of their life."""

import numpy as np

from crossmodal_fast import CrossModalPipeline


def world(n=120, seed=0, noise=0.2):
    """Three views of the same hidden things, of different widths."""
    hidden = np.random.default_rng(0).standard_normal((400, 6))[seed : seed + n]
    rng = np.random.default_rng(1)
    made = {}
    for name, width in {"image": 12, "audio": 9, "text": 7}.items():
        mixing = rng.standard_normal((6, width))
        made[name] = hidden @ mixing + noise * np.random.default_rng(seed + width).standard_normal((n, width)) + 2
    return made


TRAIN, TEST = world(), world(50, seed=200)


def loaded(*data, **keywords):
    pipeline = CrossModalPipeline("normalize")
    pipeline.load_data(*(data or [TRAIN]), **keywords)
    return pipeline


def prepared(*data, **keywords):
    pipeline = loaded(*data, **keywords)
    pipeline.preprocess_data()
    return pipeline


def fitted(**parameters):
    return CrossModalPipeline(**{"preprocess": ["center", "normalize"], **parameters}).fit(TRAIN)
