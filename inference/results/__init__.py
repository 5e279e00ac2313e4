"""The result document and the formats that it is exported to."""
