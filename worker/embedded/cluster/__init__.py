"""Nodes of the embedded server on loopback, and how nodes become one cluster."""
