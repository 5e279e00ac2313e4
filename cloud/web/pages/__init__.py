"""The pages in the browser: rendered on the server, whole without scripts."""
