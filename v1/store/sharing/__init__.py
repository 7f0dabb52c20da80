"""What several workers that feed one divided store tell each other by way of it."""
