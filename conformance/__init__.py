"""Tools that judge endpoints and the guests they judge them with."""
