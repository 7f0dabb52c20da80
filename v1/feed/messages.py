"""The texts of alerts as people read them, one by one and as a digest."""

from ..rules.message_text import (
    MessageText,
    fit_body,
    is_in_digest,
    make_digest_id,
    make_link,
    shorten,
    sort_by_strength,
    write_digest,
    write_single,
)

__all__ = [
    "MessageText",
    "fit_body",
    "is_in_digest",
    "make_digest_id",
    "make_link",
    "shorten",
    "sort_by_strength",
    "write_digest",
    "write_single",
]
