"""Pages beside the live view: published results, structure operators, the method.

Each page is a class with a `view` for the main area and `restyle(dark)`. It belongs to one session,
is made when it is first opened, and imports its plotting library then.
"""

from __future__ import annotations
