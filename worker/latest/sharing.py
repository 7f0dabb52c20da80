"""What several workers that share one divided store leave for each other in it."""

from v1.feed.sharing import *
