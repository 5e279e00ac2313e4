"""What surrounds the app on a developer's machine: the environment, Azurite, the inbox. Never deployed."""
