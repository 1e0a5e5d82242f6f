"""One thread a process: tensors this small gain nothing from more, and lose much on a busy machine.

Set before torch is imported; the processes that tests start inherit it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
