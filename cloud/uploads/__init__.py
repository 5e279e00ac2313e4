"""One upload from its event to its result: ledger, worker, publish, sweep."""
