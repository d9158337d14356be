"""Every test runs on one torch thread, offline, on no data of the machine, with the same hypothesis examples
everywhere and no timed assertions."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.pop("MEDVL_DATA", None)
settings.register_profile("medvl", deadline=None, derandomize=True)
settings.load_profile("medvl")
