"""Requirements of OCCI, one file for each document."""
