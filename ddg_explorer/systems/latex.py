"""Numbers and sums as LaTeX, for equations that show today's values."""

from __future__ import annotations

from collections.abc import Iterable


def number(x: float) -> str:
    """`x` with at most four digits: 0.5, 6, 5\\times10^{-4}; 0 without a sign."""
    mantissa, exponent = f"{x:.3e}".split("e")
    if x == 0 or -3 < int(exponent) < 5:
        return f"{x + 0.0:.4g}"
    power = rf"10^{{{int(exponent)}}}"
    digits = f"{float(mantissa):g}"
    return {"1": power, "-1": f"-{power}"}.get(digits, rf"{digits}\times{power}")


def total(terms: Iterable[tuple[float, str]]) -> str:
    """Σ cᵢ bodyᵢ with signs in place and without zero terms; "0" if none is left."""
    out = ""
    for coefficient, body in terms:
        if coefficient == 0:
            continue
        sign = "-" if coefficient < 0 else ("+" if out else "")
        size = number(abs(coefficient))
        out += sign + (body if size == "1" and body else rf"{size}\,{body}".removesuffix(r"\,"))
    return out or "0"
