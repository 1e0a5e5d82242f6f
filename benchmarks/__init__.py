"""Timed comparisons: what the README claims in numbers, measured again by `python -m benchmarks`.

Each row of the table is one module in `benchmarks.rows`; `benchmarks.peers` runs other packages in
an environment of their own. Not part of the installed package, and no tests: times vary by machine.
"""
