"""Responses that many routes share, as the OpenAPI document describes them."""

from typing import Any

from .problems import Problem, QuotaProblem

Responses = dict[int | str, dict[str, Any]]

NOT_ACCEPTED: Responses = {
    422: {"model": Problem, "description": "A parameter is not accepted; `errors` says what is."}
}
AWAY: Responses = {503: {"model": Problem, "description": "The store is away; ask again after `Retry-After` seconds."}}
UNKNOWN: Responses = {
    404: {"model": Problem, "description": "There is no such metric; `errors` has the nearest names."}
}
KEY_WANTED: Responses = {401: {"model": Problem, "description": "Nobody is answered without a key."}}
LIMITED: Responses = {
    429: {"model": QuotaProblem, "description": "A limit is used up; ask again after `Retry-After` seconds."}
}
UNCHANGED: Responses = {304: {"description": "The answer is still the one of `If-None-Match`."}}
NO_ARROW: Responses = {406: {"model": Problem, "description": "The package that writes Arrow is not installed here."}}
