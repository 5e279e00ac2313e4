"""The index of uploads: a table of the storage account, from which lists and searches are answered."""
