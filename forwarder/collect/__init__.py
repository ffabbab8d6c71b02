"""Collecting: one source's pages and errors, its rate budget, and the task that fills its gaps.

``persona`` asks and reads answers, ``budget`` says when, ``reading`` how much, ``intake`` makes a page ready for the
journal, ``lookup`` finds users that a page does not include, and ``collector`` is the eternal task that puts them
together; ``health`` is what the probes see of it.
"""
