//! Codec configuration records: what the decoder needs and what a person wants to know.
