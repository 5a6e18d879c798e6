"""The history of the tables, oldest first, one file for each revision."""
