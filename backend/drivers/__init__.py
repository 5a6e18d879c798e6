"""Adapters to hypervisors: each driver implements the host ports of :mod:`backend.ports`."""
