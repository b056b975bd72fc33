complete --keep-order --exclusive --command shibudb --arguments "(SHIBUDB_COMPLETE=fish shibudb -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
