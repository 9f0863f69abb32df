//! RTMP: handshake, chunks, commands and sessions.
