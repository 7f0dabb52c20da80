"""Rewrites PostgreSQL's partitions that are over in the order of their key, beside what is asked and written."""

from .orderer import OrderingProgress, OrderingStep, PartitionOrderer

__all__ = ["OrderingProgress", "OrderingStep", "PartitionOrderer"]
