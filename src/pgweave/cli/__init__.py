"""The command line: thin commands over pgweave.workflow and the runtime."""
