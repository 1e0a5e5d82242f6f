"""Plain versions of what the package does, as one would write them from the papers.

Quotient slopes with a threshold, gradients of gradients by automatic differentiation, convolutions
of width 1 for the pointwise layers: correct, short, and what most people have. Rows of the table
take them as their other side.
"""
