// forms.cuh - the metrics that a product gives, as numbers (expansion.py).
#pragma once

enum Form { L2, DOT, COSINE, CORRELATION };
