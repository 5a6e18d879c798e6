"""Composes the product: settings, authentication, processes, health, the operator's command line."""
