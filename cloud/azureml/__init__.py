"""Azure Machine Learning: the old (v1 REST) and the new (v2) dialect behind one call, `client.AzureML`.

Nothing here imports azure.ai.ml or azure.identity at module level: azure.ai.ml alone takes about two
seconds and 100 MiB, which no upload must pay.
"""
