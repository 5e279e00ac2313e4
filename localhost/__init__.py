"""A local Azure Functions host for machines without Core Tools, made for this app and the functions of its users.

It indexes ``function_app.py`` through the public API of the ``azure-functions`` package and runs its HTTP, blob, queue
and timer triggers by the real host's rules against a real storage account (in development: Azurite).
``docs/localhost.md`` lists the rules and every difference.

    python -m localhost [APP_DIR] [--port 7071]
"""
