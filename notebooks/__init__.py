"""The surface: workflows in notebooks, their runs as people watch them, and (in `designer`) the canvas.

May import all of pgweave; nothing of it may be imported by grammar, compiler or runtime.
"""
