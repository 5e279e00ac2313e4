"""Step 5: register the model folder. In an Azure Machine Learning job, in its workspace; elsewhere, in a folder."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

from training.pipeline.steps import REGISTER

JOB = ("AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP", "AZUREML_ARM_WORKSPACE_NAME")


def in_workspace(model: Path, name: str, tags: dict[str, str]) -> str:
    """Register in the workspace whose job this is; returns the version."""
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential(managed_identity_client_id=os.environ.get("DEFAULT_IDENTITY_CLIENT_ID"))
    client = MLClient(credential, *(os.environ[name] for name in JOB))
    made = client.models.create_or_update(Model(path=str(model), name=name, type="custom_model", tags=tags))
    return str(made.version)


def in_folder(model: Path, name: str, folder: Path) -> str:
    """Copy to folder/NAME/VERSION, counting on from what is there; returns the version."""
    versions = [int(path.name) for path in (folder / name).glob("*") if path.name.isdigit()]
    version = str(max(versions, default=0) + 1)
    shutil.copytree(model, folder / name / version)
    return version


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = REGISTER.parse(arguments, __doc__)
    manifest = tomllib.loads((options.model / "model.toml").read_text("utf-8"))
    options.out.mkdir(parents=True, exist_ok=True)
    if all(os.environ.get(name) for name in JOB):
        version = in_workspace(options.model, options.name, {"sha256": manifest["sha256"][:16]})
    else:
        version = in_folder(options.model, options.name, options.out)
    answer = {"name": options.name, "version": version, "accuracy": manifest["accuracy"]}
    (options.out / "registered.json").write_text(json.dumps(answer, indent=1) + "\n")
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
