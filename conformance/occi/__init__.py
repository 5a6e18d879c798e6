"""The Open Cloud Computing Interface, versions 1.1 and 1.2."""
