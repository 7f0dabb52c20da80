"""Channels to users: one file for each kind."""
