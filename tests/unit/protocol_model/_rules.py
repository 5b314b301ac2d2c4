"""The rules that carry the promise, each of which can be switched off."""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """All hold in the product and its broker; the model is broken by each that does not."""

    # the broker's part
    members_are_checked: bool = True  # offsets of a member that was expelled are refused
    producers_are_fenced: bool = True  # a former process of a slot ends nothing of the present one
    # transactions
    always_an_offset: bool = True  # a transaction that moves no offset sends the present one, as a fence
    entry_with_its_offset: bool = True  # a submission is recorded in the transaction that passes it
    pair_is_one: bool = True  # the membership of a transaction is the one under which its units were owned
    metadata_has_a_member: bool = True  # nameless metadata is let into a living group
    timeout_is_no_answer: bool = True  # a commit that timed out is asked for again, never taken for failed
    aborted_goes_again: bool = True  # what an abort took back is sent again
    # assignments
    dead_work_is_dropped: bool = True  # nothing of an assignment that has ended enters a transaction
    dead_rows_are_dropped: bool = True  # ... or the store
    dead_rows_are_unseen: bool = True  # ... or what handlers of the next assignment read
    # restore
    offsets_are_stable: bool = True  # a pending offset is waited for
    offsets_come_first: bool = True  # before the end of the journal is asked for
    end_counts_the_open: bool = True  # that end is the high watermark, not the last stable offset
    only_committed_is_read: bool = True
    journal_knows_the_offset: bool = True  # the higher one of the group's and the journal's is taken
    # the store
    store_after_commit: bool = True
    rows_with_their_mark: bool = True  # one batch: never a mark without its rows
    # runs
    known_runs_are_passed: bool = True  # a second submission moves only the offset
    reads_see_the_uncommitted: bool = True  # the look-up goes through what is under way
    effects_after_commit: bool = True  # an effect starts when all before it is committed
