"""What comes of a run, whichever way it went: outputs, the state that is left, counts and the ledger."""
