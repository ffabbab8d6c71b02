"""The gap ledger in a world so small that every interleaving of it can be lived through.

The ledger is the product's own (:func:`~forwarder.journal.polls.next_poll`, :func:`~forwarder.journal.ledger.step`),
with runs and doubts of two instead of ten and five, so that walks of a few records can close. A state is what is
stored, and nothing else: so a crash, which takes what is not stored, leads from each state to itself, and every
transition is one from before a crash to after it, too.
"""
