"""A sweep's directory for people: tables, figures, one offline page. Needs neither torch nor the models' code."""
