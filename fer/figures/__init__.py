"""Numbers and claims become pictures: one file per subject, its data above and its drawing below.

    engine              a figure to draw (FigureJob), drawing what changed
    manifest            which figures are there, and the words about each
    draw                which figures a study has
    style, titles       what all figures look like, and the words all share
    result_rows, statistics_rows    rows of the tables as figures need them

All other modules are subjects. In a subject, a generator `..._jobs` says which figures there are and with what values;
`plot_*` makes a matplotlib Figure of plain values and a title, and reads no file; `draw_*` stands before it where the
values are read from a file only when the figure is drawn.
"""
