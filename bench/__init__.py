"""What docs/measurements.md claims, measured beside a floor or a peer in the same run. Nothing of the product lives here."""
