"""The version of pgweave, beside the package's face so that nothing below it imports the face."""

__version__ = "0.1.0"
