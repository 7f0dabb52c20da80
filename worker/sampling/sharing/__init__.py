"""Several workers that share a market: one asks the sources, and each commits the partitions that it has."""
