"""The whole daemon under simulated time, from a seed: worlds that try to lose an event, and an oracle that looks on.

::

    drawing/ ──▶ plan ──▶ stage ◀── acts          which world a seed is; the world as it runs; what happens in it
                            │
        life: the daemon, on loop (time, deaths), network and way (to Persona), disk/ and storage/ (the journal's
        file), destination and splunk (who takes the events)
                            │
                        chronicle ──▶ oracle/     what was made, asked, told and taken; what had to be
                                         │
        playing: a world in a process of its own      shrink: what a broken one needs      __main__: the command

Beside it, ``decisions/`` drives the pure decisions alone, a hundred times faster; ``interleavings/`` lives through
every order of a few happenings; ``mutants/`` are wrong changes to the daemon, each of which has to be found.
"""
