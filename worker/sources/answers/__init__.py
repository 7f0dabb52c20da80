"""Keeps what providers answered, for a while and within so many bytes, and plays it to the sources again."""
