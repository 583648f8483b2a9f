"""What a run looks like to people: the rows of an instance and of all that it started, told in the program's own terms.

    past        rows -> the program as it was
    snapshot    program and rows -> the state of every step, through called children
    sentences   snapshot -> what it waits for, in one sentence, and what would release it
    failures    snapshot -> the SQL that ran, the server's words, a caret in the text
    signals     snapshot and a name -> the instance that a signal has to be sent to

The command line, notebooks and the designer show runs by these.
"""
