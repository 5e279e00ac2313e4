"""A local Azure Functions host for machines without Core Tools.

It runs any Python v2-model app (``function_app.py``) as the real host would: the app is indexed through the
public API of the ``azure-functions`` package, and triggers, bindings, retries and poison queues follow the
host's rules against a real storage account (in development: Azurite). ``docs/localhost.md`` lists every rule
and every difference.

    python -m localhost [APP_DIR] [--port 7071]
"""
