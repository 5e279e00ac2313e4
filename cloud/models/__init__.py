"""Models on their way: registered in Azure Machine Learning, released in the container, served by the app.

Layout of the container `models`, per model NAME:

    NAME/model.toml, NAME/model.onnx ...       dropped by hand: serves as soon as it is verified
    NAME/versions/7/...                        released from the workspace
    NAME/versions/7-HASH/...                   the release 7 before another one of that number came
    NAME/serving.json                          which release serves, unless a folder was dropped by hand since
    NAME/samples/*.jpg                         pictures that a new version is tried on before it serves
"""
