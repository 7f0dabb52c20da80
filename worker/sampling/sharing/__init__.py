"""Several workers that share a market: each asks its sources, one hands out the ticks, each commits its partitions."""
