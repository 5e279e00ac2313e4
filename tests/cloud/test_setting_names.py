"""Names that were meant as settings: said with the nearest right one, and nobody else's are."""

from __future__ import annotations

import pytest

from cloud import health_parts
from cloud.settings import slips


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_CONCURENT", "MAX_CONCURRENT"),  # a letter too few
        ("MAX_CONCURRENTT", "MAX_CONCURRENT"),  # too many
        ("MAX_CONCURRANT", "MAX_CONCURRENT"),  # a wrong one
        ("SWEEP_SCHEDUEL", "SWEEP_SCHEDULE"),  # two that changed places
        ("MAX_ATTEMPT", "MAX_ATTEMPTS"),
        ("LEASE_SECOND", "LEASE_SECONDS"),
        ("max_concurrent", "MAX_CONCURRENT"),
        ("Routes_File", "ROUTES_FILE"),
        ("MAXCONCURRENT", "MAX_CONCURRENT"),
        ("DROPSIGHT_MAX_CONCURRENT", "MAX_CONCURRENT"),
        ("PUBLIC_MODELS", "DROPSIGHT_PUBLIC_MODELS"),
        ("DROPSIGHT_MODEL", "DROPSIGHT_MODELS"),
        ("DROPSIGHT_ALLOW_RESEARCH", "DROPSIGHT_ALLOW_RESEARCH_MODELS"),
        ("dropsight_weights", "DROPSIGHT_WEIGHTS"),
        ("DROPSIGHT-MODELS", "DROPSIGHT_MODELS"),
        ("INTKE", "INTAKE"),
        ("INTKAE", "INTAKE"),
        ("INTAKES", "INTAKE"),  # "paused" would change nothing, without a word
    ],
)
def test_a_slip_is_told_from_the_setting_that_was_meant(name: str, meant: str) -> None:
    said = slips({name: "3", "MAX_ATTEMPTS": "5"})
    assert list(said) == [name] and said[name].startswith(f"{name} is no setting; did you mean {meant}?")


def test_what_begins_as_ours_and_is_near_to_nothing_is_told_the_names() -> None:
    for name in ("DROPSIGHT_COLOUR", "DROPSIGHT-COLOUR", "dropsight:colour"):
        said = slips({name: "red"})[name]
        assert "is no setting; those that begin so are DROPSIGHT_ALLOW_RESEARCH_MODELS, DROPSIGHT_MODELS, " in said


def test_a_name_that_looks_like_the_right_one_is_shown_in_quotes() -> None:
    assert slips({"MAX_ATTEMPTS ": "3"}) == {
        "MAX_ATTEMPTS ": "'MAX_ATTEMPTS ' is no setting; did you mean MAX_ATTEMPTS?"
    }
    cyrillic = "MAX_ATTEMPT\u0405"
    assert slips({cyrillic: "3"})[cyrillic].startswith(r"'MAX_ATTEMPT\u0405' is no setting; did you mean MAX_ATTEMPTS?")


# What Azure, Core Tools, Python, shells, runners and other programs set, and words that are nearly ours.
OTHERS = """
PATH HOME USER SHELL LANG LC_ALL PWD OLDPWD TERM EDITOR HOSTNAME TMPDIR TEMP TMP LOGNAME SHLVL PS1 DISPLAY
SSH_AUTH_SOCK PYTHONPATH PYTHONHOME PYTHONUNBUFFERED PYTHON_THREADPOOL_THREAD_COUNT PYTHON_ENABLE_WORKER_EXTENSIONS
PYTHON_ISOLATE_WORKER_DEPENDENCIES PYTHON_ENABLE_DEBUG_LOGGING VIRTUAL_ENV CONDA_PREFIX PIP_INDEX_URL UV_CACHE_DIR
FUNCTIONS_WORKER_RUNTIME FUNCTIONS_EXTENSION_VERSION FUNCTIONS_WORKER_PROCESS_COUNT FUNCTIONS_WORKER_RUNTIME_VERSION
FUNCTIONS_APPLICATION_DIRECTORY FUNCTIONS_REQUEST_BODY_SIZE_LIMIT AzureWebJobsStorage AzureWebJobsStorage__accountName
AzureWebJobsFeatureFlags AzureWebJobsScriptRoot AzureWebJobs.sweep.Disabled AzureWebJobs_sweep_Disabled
AzureWebJobsSecretStorageType AzureFunctionsJobHost__functionTimeout AzureFunctionsWebHost__hostid
AZURE_FUNCTIONS_ENVIRONMENT WEBSITE_HOSTNAME WEBSITE_SITE_NAME WEBSITE_INSTANCE_ID WEBSITE_RUN_FROM_PACKAGE
WEBSITE_CONTENTSHARE WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT WEBSITE_SLOT_NAME WEBSITE_TIME_ZONE WEBSITE_OWNER_NAME
APPINSIGHTS_INSTRUMENTATIONKEY APPLICATIONINSIGHTS_CONNECTION_STRING SCM_DO_BUILD_DURING_DEPLOYMENT ENABLE_ORYX_BUILD
BUILD_FLAGS XDG_CACHE_HOME CONTAINER_NAME REGION_NAME ASPNETCORE_URLS DOTNET_ROOT IDENTITY_ENDPOINT IDENTITY_HEADER
MSI_ENDPOINT MSI_SECRET AZURE_CLIENT_ID AZURE_TENANT_ID AZURE_REGION AZURE_WORKSPACE AZURE_STORAGE_CONNECTION_STRING
AZURE_STORAGE_ACCOUNT AZUREML_RUN_ID AZUREML_ARM_WORKSPACE_NAME AZUREML_WORKSPACE_NAME AZUREML_WORKSPACE_ID
AZUREML_MODEL_DIR AZUREML_DEV_URL_MFE AZUREML_ARM_REGION STORAGE_CONNECTION_STRING STORAGE_ACCOUNT DB_CONNECTION
MAX_CONCURRENCY MAX_CONNECTIONS MAX_WORKERS MAX_RETRIES MAX_THREADS MAX_MEMORY MAX_BATCH_SIZE MAX_FILE_SIZE
MAX_REQUESTS MAX_REQUEST_SIZE MAX_IMAGE_SIZE MAX_IMAGE_PIXELS MAX_VIDEO_SIZE MAX_BYTES MAX_TOKENS MAX_JOBS
MAX_BODY_BYTES MAX_LOG_BYTES MAX_MESSAGE_BYTES MAX_ATTACHMENTS CACHE_SECONDS SLEEP_SECONDS TIMEOUT_SECONDS
RELEASE_SECONDS BASE_SECONDS POLL_SECONDS TASK_SCHEDULE CRON_SCHEDULE BACKUP_SCHEDULE SLEEP_SCHEDULE MODELS MODEL
MODEL_PATH MODEL_NAME MODEL_FILE WEIGHTS PROVIDERS ROUTES RULES_FILE NOTES_FILE ENV_FILE CONFIG_FILE LOG_FILE
SOURCES_FILE PIPELINE PIPELINE_ID TRIGGER_SOURCE VIDEO_SECONDS OMP_NUM_THREADS MKL_NUM_THREADS CUDA_VISIBLE_DEVICES
NVIDIA_VISIBLE_DEVICES LD_LIBRARY_PATH ORT_DISABLE_TELEMETRY HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy
no_proxy REQUESTS_CA_BUNDLE SSL_CERT_FILE GIT_SSH CI GITHUB_ACTIONS GITHUB_WORKSPACE RUNNER_OS NODE_OPTIONS NODE_ENV
NVM_DIR npm_config_cache HF_HOME TORCH_HOME YOLO_CONFIG_DIR DEBUG LOG_LEVEL PORT HOST KUBERNETES_SERVICE_HOST LESSOPEN
LS_COLORS MAIL WSL_DISTRO_NAME COMSPEC SYSTEMROOT WINDIR APPDATA LOCALAPPDATA USERPROFILE NUMBER_OF_PROCESSORS PATHEXT
OS DROPSIGHT_AZURITE UPTAKE INTEL TAKE INVOKE INPUT IMAGE INTACT
"""


def test_what_others_set_is_nobodys_slip() -> None:
    names = OTHERS.split()
    assert len(names) > 150 and slips(dict.fromkeys(names, "1")) == {}


def test_the_health_is_red_with_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert health_parts.setting_names() == "ok"
    monkeypatch.setenv("MAX_CONCURENT", "3")
    with pytest.raises(ValueError, match=r"^MAX_CONCURENT is no setting; did you mean MAX_CONCURRENT\?$"):
        health_parts.setting_names()


@pytest.mark.parametrize("text", ["every 5 minutes", "0 */5 * * * * *", "0 61 * * * *", "%SWEEP%"])
def test_a_schedule_that_the_host_does_not_take_is_red(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert health_parts.timers() == {"SWEEP_SCHEDULE": "0 */5 * * * *", "TICK_SCHEDULE": "0 * * * * *"}
    monkeypatch.setenv("TICK_SCHEDULE", "00:01:00")
    monkeypatch.setenv("SWEEP_SCHEDULE", text)
    with pytest.raises(ValueError, match="^SWEEP_SCHEDULE: "):
        health_parts.timers()
