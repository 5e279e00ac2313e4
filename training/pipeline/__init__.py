"""The retraining pipeline: a folder of labelled pictures becomes a registered model that the app picks up.

Five steps, each a script that runs alike here and in Azure Machine Learning: prepare, train, evaluate, export,
register. `python -m training.pipeline --data PICTURES --out build/shop` runs them all on this machine.
"""
