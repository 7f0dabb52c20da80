"""Providers that can be asked for samples: one file each, all behind the contract in `base`."""
