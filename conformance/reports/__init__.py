"""A report as other people and programs want it: a table, JUnit XML, JSON, and one HTML page."""
