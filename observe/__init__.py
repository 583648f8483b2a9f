"""What runs look like to people, for every face: the command line, notebooks and the designer.

run_state        what a run is at one moment: plain values
past             rows -> the program as it was
failures         run state -> the SQL that ran, the server's words, a caret in the text
sentences        run state -> what it waits for, in one sentence, and what would release it
signals          run state and a name -> the instance that a signal has to be sent to
snapshot         client and instance -> a run state with words and a failure
stored_json      a result -> its parts, with digits and equal names as they are stored
step_table, timeline, text_tables      steps and results as tables, charts and text
display, picture_bundles, theme        findings, results and pictures as mime bundles, in light and dark
session_database, background, watch    which database, its worker in this process, a thread that sees changes
runs, live, live_widget                a run as an object, and as a cell of a notebook shows it
"""
