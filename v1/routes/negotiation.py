"""Content negotiation: the weights in a client's `Accept` and `Accept-Encoding` headers (RFC 9110)."""

import re

IDENTITY = "identity"
GZIP = "gzip"
CODINGS = ("br", "zstd", GZIP)
"""What a body may be compressed by, smallest first: where a client likes several as much, it gets the first."""

_WEIGHT = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def parse_weights(header: str) -> dict[str, float]:
    """Return what a header names, in lower case, each with its weight; 0 for what is not to be sent."""
    weighed = {}
    for each in header.lower().split(","):
        name, *parameters = [part.strip() for part in each.split(";")]
        weight = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
        if name and _WEIGHT.fullmatch(weight):
            weighed[name] = float(weight)
    return weighed


def choose_codings(header: str | None) -> tuple[float, float]:
    """
    Return the weights of gzip and of no coding at all, for an `Accept-Encoding`.

    Without the header, or where it names neither, an answer goes as it is. No coding is refused by name
    or by `*`, and otherwise liked a little less than whatever is named.
    """
    named = parse_weights(header or "")
    others = named.get("*")
    gzip = named.get("gzip", named.get("x-gzip", others or 0.0))
    plain = named.get("identity", 0.0 if others == 0 else 0.001)
    return gzip, plain


def rank_codings(header: str | None) -> tuple[str, ...]:
    """
    Return the codings that an `Accept-Encoding` accepts, what it likes best first; none where it accepts none of ours.

    No coding at all, `identity`, is part of it unless it is refused; what is liked less than that is left out.
    """
    named = parse_weights(header or "")
    others = named.get("*", 0.0)
    weights = {coding: named.get(coding, others) for coding in CODINGS}
    weights["gzip"] = named.get("gzip", named.get("x-gzip", others))
    plain = choose_codings(header)[1]
    liked = sorted(
        (each for each in CODINGS if weights[each] and weights[each] >= plain), key=lambda each: -weights[each]
    )
    return (*liked, IDENTITY) if plain else tuple(liked)
