"""Findings -> what terminals, tools and CI services read: text, json, github, sarif, junit.

In comes, for every file that was looked at, what is to be said about it; out comes text. One module per format, loaded
when it is asked for. Nothing here reads a file, asks a clock or knows who wanted the report: equal findings give equal
bytes on every machine.

    checked   what a report is made of: files, their findings, the style
    report    picks the format
    as_text, as_json, as_github, as_sarif, as_junit    one format each
"""
