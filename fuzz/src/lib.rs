//! The bodies of the fuzz targets, so that tests can replay the corpora.
