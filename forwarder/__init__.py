"""Forward Persona's User Audit Logs to a SIEM, and lose none of them.

Persona keeps the log for six months, lists it newest first, pages it by cursor, filters it by
nothing, and pushes it nowhere. This daemon polls it, remembers every id in a journal, and delivers each event to every
configured sink::

    Persona            journal (one SQLite file)                          SIEM
      |                        |                                            |
    collect/ --a page, atomically--> journal/ --a batch--> delivery/ --> formats/ --> sinks/
      fills gaps,               ids, events, gap ledger,    one worker a sink:
      newest first              users, cursors,             read, filter, format, send, commit
                                dead letters

The two halves meet only in the journal. The collector never hears of sinks; a sink never hears of the journal.

What holds, always:

1. A sink's cursor moves only after the sink acknowledged, or the event became that sink's dead letter.
2. An id enters the journal once per source.
3. No page is half in: events, gap and users change in one transaction.
4. An event leaves the journal only when every sink is past it; ids stay for the retention, counted from
   when they were last seen.
5. One ``run`` owns the journal; a second one exits with status 75. Other commands read.
6. Every wait ends when ``stop`` is set. Whoever fails is restarted with backoff or ends the process; nothing dies
   silently.
7. Past the file that imports a wire library, every failure is ``Retryable``, ``Refused`` or ``Misconfigured``, and
   carries no secret.
8. Redaction and pseudonyms happen before the journal: what was redacted was never on the disk.
9. Time comes from one injectable clock and randomness from one injectable generator. Collecting decides by Persona's
   clock, never by ours.
10. Sequence numbers are global, grow, and are never used again, whatever backup was put back.
"""

__version__ = "0.1.0"
