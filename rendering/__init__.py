"""Neutral documents to bytes and back: OCCI text, headers and JSON, URI lists, EC2 query and XML."""
