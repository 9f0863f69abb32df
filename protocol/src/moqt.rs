//! MoQT drafts 18 and 19: messages, streams, names and codes.
