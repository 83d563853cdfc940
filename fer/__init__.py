"""The rooms, in the order of the data's way; each imports only from those above it.

    console/        what surrounds the command line: Ctrl-C, a missing environment, text any terminal can show
    utils           project-blind helpers: whole files, fingerprints, locks, seeds, logging
    layouts/        datasets as their owners ship them: one reader a layout, pictures opened safely
    views/          the views of a face that are averaged at test time
    metrics/        what a set of answers is worth: one table of metrics
    columns/        every column of every table that is written: its type, unit and meaning
    settings/       values of config.py, checked once, errors in sentences
    machine/        what this computer has: number formats, memory
    sample_faces/   the embedded dataset: drawn faces
    data/           folders on disk become rows, each with one split; copies have one definition
    faces/          rows become faces: found, cut out, augmented, balanced, packed
    data_loader     packed pictures become batches
    preprocessing   the variant `preprocessed`
    audit/          what is doubtful in the data, before any training
    networks/       this project's own networks, and what is known of all others before one is built
    model_utils     a network by name, its head, weights in and out
    evaluation      networks to probabilities, probabilities to scores
    runs/           one training: what identifies it, where it lies, what it resumes from
    training        fit one network
    pretraining/    what a network learns from faces first, without labels
    study/          the plan: what to train, doing it, resuming it, verifying it
    results/        files become numbers; no torch
    statistics/     numbers become claims
    search/         trials over settings, chosen by validation: SEARCH
    findings/       claims become the sentences a reader needs
    inference/      trained networks on new pictures
    figures/        numbers and claims become pictures
    report/         the page, paper tables, terminal summary, trackers
    main            the story: the stages in order, and the command line
    predict         what a trained network says of new pictures: the command line
    app             the same as a local page

tests/test_architecture.py reads this list and holds it.
"""
