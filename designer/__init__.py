"""The designer: a canvas and its text, one program. Both sides of it live in this folder.

src/ (TypeScript) shows, lays out and keeps undo; it is built into ../static/designer.js by `make designer`. The modules
here hold the text, check it, draw it as blocks and turn gestures into edits:

    protocol            what both sides say to each other, typed once per side
    document, disk, keeper, differences, units    the text, its versions, and its file
    drawing, titles, fields                       text -> blocks
    gestures, moving, palette, settings, programs gesture -> edits of the text
    operator, page_results                        runs as the page shows them
    session, questions                            one request in, one answer out; no transport
    studio, opening, widget                       its two homes: a page of this machine, a cell of a notebook
    colours, codemirror                           files of src/ and ../static/ that follow tables of the compiler and the grammar
"""
