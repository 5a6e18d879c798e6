"""The OCCI face (1.1 and 1.2): documents to commands, instances to entities."""
