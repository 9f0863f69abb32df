//! FLV tags: the container of RTMP media, and of what `weir pull` writes.
