"""The OVN driver: tenant networks as rows of an OVN northbound database.

The rows that a topology calls for are made by pure functions (:mod:`.plan`), compared with those that are
there (:mod:`.difference`), and made true in one transaction (:mod:`.northbound`). Each row names its owner,
one object of the topology, so that what belongs to an owner is found and compared without looking at anything
else.
"""
