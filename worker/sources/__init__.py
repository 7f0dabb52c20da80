"""Providers that can be asked for samples: one file each, all behind the contract in `base`; what goes wrong is in `errors`."""
