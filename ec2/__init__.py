"""The EC2 Query face: requests to commands, instances to XML replies, driven by Amazon's service model."""
