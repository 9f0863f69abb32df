//! LOC: the object properties of media over MoQT.
