//! From the text of a config file to settings, and the difference between two of them.
