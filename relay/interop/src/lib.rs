//! Nothing to link: the tests are all there is.
