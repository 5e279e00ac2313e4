"""Everything that talks to Azure: storage, the ledger, the bodies of the functions."""
