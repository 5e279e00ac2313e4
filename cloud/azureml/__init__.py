"""Azure Machine Learning: the old API (v1, REST) and the newer (v2) behind the same calls, `azureml_client.AzureML`.

Nothing here imports azure.ai.ml or azure.identity at module level: azure.ai.ml alone takes about two
seconds and 100 MiB, which no upload must pay.
"""
