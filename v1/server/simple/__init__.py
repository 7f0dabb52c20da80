"""
Simple requests: GET and HEAD without a body, whole in what has arrived. They are nearly all there are.

    requests  what a request is, read at a fraction of the cost where its headers were seen before
    heads     the head of an answer, written the same way
    exchange  one request and its answer, as ASGI

Everything else is Hypercorn's (see `http1`), which these do not differ from in a byte.
"""

from .exchange import ExchangeContext, SimpleExchange
from .heads import AnswerHeads
from .requests import RequestReader, SimpleRequest

__all__ = ["AnswerHeads", "ExchangeContext", "RequestReader", "SimpleExchange", "SimpleRequest"]
