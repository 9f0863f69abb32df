//! Bounded reads over byte slices.
