//! Whose waiting it is when an object goes out late: the shard's, the viewer's, or nobody's.

/// Tells the time that an object waited for the shard from the time that it waited for the viewer.
#[derive(Clone, Debug)]
pub struct Arrears {
    joined_us: u64,
    /// Since when the viewer's stream has taken less than there is.
    held_since_us: Option<u64>,
}

impl Arrears {
    /// A viewer who joins at `joined_us`.
    pub fn new(joined_us: u64) -> Self {
        Self {
            joined_us,
            held_since_us: None,
        }
    }

    /// The stream takes no more.
    pub fn on_blocked(&mut self, now_us: u64) {
        self.held_since_us.get_or_insert(now_us);
    }

    /// Everything that there is was written.
    pub fn on_caught_up(&mut self) {
        self.held_since_us = None;
    }

    /// When an object that was complete at `complete_us` and is written at `now_us` was taken up.
    ///
    /// One that became complete while the stream was held up would have been taken up at once:
    /// from there on it waits for the viewer. `None` for one that was complete before the viewer
    /// came: its wait says nothing about the relay.
    pub fn taken_us(&self, complete_us: u64, now_us: u64) -> Option<u64> {
        if complete_us < self.joined_us {
            return None;
        }
        let held = self.held_since_us.map(|since_us| since_us.max(complete_us));
        Some(held.map_or(now_us, |held_us| held_us.min(now_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewer_at_the_head_takes_up_what_it_is_given() {
        let arrears = Arrears::new(100);
        assert_eq!(arrears.taken_us(200, 250), Some(250));
    }

    #[test]
    fn object_behind_a_held_stream_waits_for_the_viewer() {
        let mut arrears = Arrears::new(100);
        arrears.on_blocked(300);
        arrears.on_blocked(500);
        assert_eq!(
            arrears.taken_us(290, 900),
            Some(300),
            "10 of it waited for the shard"
        );
        assert_eq!(arrears.taken_us(400, 900), Some(400));
        assert_eq!(arrears.taken_us(800, 900), Some(800));
        arrears.on_caught_up();
        assert_eq!(arrears.taken_us(890, 900), Some(900));
    }

    #[test]
    fn what_was_there_before_the_viewer_waited_for_nobody() {
        assert_eq!(Arrears::new(100).taken_us(99, 200), None);
        assert_eq!(Arrears::new(100).taken_us(100, 200), Some(200));
    }
}
