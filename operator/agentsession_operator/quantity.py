"""Comparing Kubernetes quantities such as `500m` and `2Gi`.

Source: the serialization format of `resource.Quantity` in Kubernetes' API machinery.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from agentsession_core.api import Resources

_QUANTITY: Final = re.compile(r"^([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)$")
_SCALES: Final = {
    "": Decimal(1),
    **{letter: Decimal(10) ** power for letter, power in zip("num", (-9, -6, -3), strict=True)},
    **{letter: Decimal(1000) ** (i + 1) for i, letter in enumerate("kMGTPE")},
    **{f"{letter}i": Decimal(1024) ** (i + 1) for i, letter in enumerate("KMGTPE")},
}


def parse_quantity(text: str) -> Decimal:
    """The quantity's value. Raises ValueError if it is none."""
    match = _QUANTITY.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a quantity")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SCALES[suffix or ""]


def exceeding(resources: Resources | None, maximum: Mapping[str, str] | None) -> str:
    """Names the requests and limits above `maximum`, e.g. `limits.memory 16Gi > 8Gi`; '' if none."""
    if resources is None or not maximum:
        return ""
    found = [
        f"{kind}.{name} {amount} > {maximum[name]}"
        for kind, amounts in (("requests", resources.requests), ("limits", resources.limits))
        for name, amount in (amounts or {}).items()
        if name in maximum and parse_quantity(amount) > parse_quantity(maximum[name])
    ]
    return ", ".join(found)
