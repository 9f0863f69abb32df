//! Catalogs: what tracks a stream has and how to decode them.
