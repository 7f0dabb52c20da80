"""Moves all data from one store to another, which may be divided otherwise, while a worker goes on feeding the first."""
