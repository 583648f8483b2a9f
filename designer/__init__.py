"""The designer: a canvas and its text, one program. The Python side; web/ holds the TypeScript side.

web/ shows, lays out and keeps undo; it is built into static/designer.js by `make designer`. The modules here hold the
text, check it, draw it as blocks and turn gestures into edits:

    protocol, views         what both sides say to each other, typed once per side; what shows a document
    document, disk, file_sync, differences, units        the text, its versions, and its file
    drawing, titles, fields                              text -> blocks
    gestures, moving, block_palette, step_settings, workflow_edits    gesture -> edits of the text
    operator, page_results  runs as the page shows them
    session                 one document, its views and its drawing
    questions, answers      one request in, one reply out; no transport
    studio_server, opening, widget    where it is shown: a page of this machine, a cell of a notebook
    browser                 opens the page without its secret address on a command line
    colours                 a file of web/ that follows a table of the compiler
"""
