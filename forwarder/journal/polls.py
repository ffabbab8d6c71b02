"""When a gap is opened, which one is read next, and up to when the log is complete. Pure.

All times are Persona's, in microseconds; what one answer changes in a gap is decided in
:mod:`~forwarder.journal.ledger`.
"""

from collections.abc import Sequence

from forwarder.journal.gaps import Gap, SourceState, earliest


def next_poll(
    source: SourceState,
    gaps: Sequence[Gap],
    *,
    gap_id: int,
    mark: int,
    now: int,
    lookback: int,
    sweep_interval: int,
) -> Gap | None:
    """Open the gap of the next poll, or None while one of the source's open *gaps* has not been started.

    *now* is server time as well as it is known; it only decides whether a sweep is due. *lookback* and
    *sweep_interval* are microseconds.
    """
    if not all(gap.started for gap in gaps):
        return None
    floor = source.start if source.head is None else source.head
    sweep = source.head is None  # the first walk reads everything, so it is one
    swept = _last_sweep(source, gaps)
    deep = source.head
    if swept is not None:
        deep = swept - lookback if source.head is None else min(source.head, swept - lookback)
        # One at a time; but one that cannot go on must not keep the others from looking for late records.
        busy = any(gap.sweep and gap.based and not gap.stuck for gap in gaps)
        if source.head is not None and now - swept >= sweep_interval and not busy:
            floor, sweep = deep, True
    if floor is not None and source.start is not None:
        floor = max(floor, source.start)
    return Gap(
        id=gap_id,
        floor=floor,
        based=source.head is not None,
        mark=mark,
        sweep=sweep,
        proven_then=_proven(source, gaps),
        hole_from=deep,
    )


def _proven(source: SourceState, gaps: Sequence[Gap]) -> int | None:
    """Up to when everything was read, or belongs to a gap that is open.

    While a first walk is under way, that is the head, whatever walks of an empty log were closed before it: what that
    log had was nothing, so that a list which ends above it has lost nothing.
    """
    if source.head is not None and any(not gap.based for gap in gaps):
        return source.head
    return source.head if source.proven is None else source.proven


def _last_sweep(source: SourceState, gaps: Sequence[Gap]) -> int | None:
    """When the last closed sweep was opened; before there is one, when the first walk was.

    So sweeps do not wait for the end of a first walk that takes hours, or that stands at a record it cannot read.
    """
    if source.swept is not None:
        return source.swept
    return earliest(*(gap.opened for gap in gaps if not gap.based))


def choose(gaps: Sequence[Gap], *, oldest: bool) -> Gap | None:
    """The gap to read next: the newest, so that fresh events never wait; the *oldest* in its turn."""
    if not gaps:
        return None
    return min(gaps, key=lambda gap: gap.id) if oldest else max(gaps, key=lambda gap: gap.id)


def complete_until(state: SourceState, gaps: Sequence[Gap]) -> int | None:
    """Server time up to which everything visible was read.

    An open gap takes nothing away from what had been read when it was opened: it only holds back what a newer gap,
    closed meanwhile, would claim. So a sweep, whose floor is far below, does not make the answer go back.
    """
    started = [gap for gap in gaps if gap.started]
    if state.proven is None or any(not gap.based for gap in started):
        return None
    held_back = (gap.proven_then for gap in started if gap.proven_then is not None)
    return min([state.proven, *held_back])
