//! Weir's load tester and impairment proxy.
