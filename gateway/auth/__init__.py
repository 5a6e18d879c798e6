"""Who sends a request: from signatures, passwords and tokens to a :class:`backend.model.Caller` (D10)."""
