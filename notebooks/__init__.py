"""Workflows in Jupyter notebooks.

    magics       `%%pgweave` and `%pgweave`; commands: what each `%pgweave COMMAND` does
    sqlcell      `%%pgweave sql`: plain SQL on the database of the session
    complete     completion and hover in cells; shell: the parts of IPython that are used, typed
    stopped      how a magic ends a cell when it cannot do what was asked
    codemirror   the colours of the language for JupyterLab, made from grammar/reading/highlight.py
    tutorial/    notebooks that are run by the tests

How a run is drawn is in `pgweave.observe`, which the command line and the designer use too.
"""
