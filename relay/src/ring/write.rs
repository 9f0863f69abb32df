//! The ring's writing side: groups and subgroups begin, take objects, and end.

use std::sync::Arc;

use super::{
    Budget, Entry, Group, Kept, Limits, Object, Placed, PushError, Ring, State, Subgroup,
    SubgroupEnd, SubgroupOptions, TRIMMED, Writer, Written,
};

impl Ring {
    /// Hands the track to `writer`; from here on every older writer is refused.
    ///
    /// The groups that the older writer left are complete: nothing will be added to them.
    pub fn take_over(&self, writer: Writer) {
        let mut state = self.state.write();
        if state.writer < writer {
            state.writer = writer;
            state.end_all();
        }
        drop(state);
        self.wake();
    }

    /// Begins group `id` with one subgroup, completing the one before, and drops what exceeds the
    /// budget.
    ///
    /// `id` must be higher than every id before it; a lower one is raised to the next free id.
    /// Returns the id in use.
    pub fn begin_group(&self, writer: Writer, id: u64) -> Result<u64, PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        state.complete_newest();
        let next = state.groups.back().map_or(0, |newest| newest.group.id + 1);
        let id = id.max(next);
        let mut kept = Kept::new(id);
        kept.subgroups.push(Written {
            subgroup: Subgroup::new(SubgroupOptions::WHOLE, 0),
            last: None,
            attached: true,
        });
        state.groups.push_back(kept);
        state.open += 1;
        state.evict(&self.limits, &self.budget);
        Ok(id)
    }

    /// Appends an object to the newest group and wakes the readers.
    pub fn push(&self, writer: Writer, object: Object) -> Result<(), PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        let newest = state.groups.back().filter(|newest| !newest.group.complete);
        let subgroup = newest.and_then(|newest| newest.subgroups.first());
        let subgroup = subgroup.map(|first| Arc::clone(&first.subgroup));
        let subgroup = subgroup.ok_or(PushError::NoGroup)?;
        let placed = Placed { object, subgroup };
        state.afford(placed.kept_bytes(), &self.budget)?;
        let index = state.groups.len() - 1;
        state.append(index, 0, placed, &self.limits, &self.budget)?;
        drop(state);
        self.wake();
        Ok(())
    }

    /// Says that nothing will be added to the newest group: a catalog, or the end of an input.
    pub fn complete_group(&self, writer: Writer) -> Result<(), PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        state.complete_newest();
        drop(state);
        self.wake();
        Ok(())
    }

    /// Opens a subgroup whose next object is `first`, or goes on with one of that id that was
    /// [left](Self::leave_subgroup).
    ///
    /// Groups may be opened in any order, and any number of times, as long as they are newer than
    /// what the ring dropped. Beyond [`Limits::open_subgroups`] the oldest open one is reset.
    pub fn open_subgroup(
        &self,
        writer: Writer,
        group: u64,
        options: SubgroupOptions,
        first: u64,
    ) -> Result<Arc<Subgroup>, PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        let index = state.place(group)?;
        let kept = &mut state.groups[index];
        let same = |written: &&mut Written| written.subgroup.options.id == options.id;
        let mut left = kept.subgroups.iter_mut().rev().filter(same);
        let left = left.find(|written| !written.attached && written.subgroup.end.get().is_none());
        if let Some(left) = left {
            let follows = left.last.is_none_or(|last| first <= last.saturating_add(1));
            if follows {
                left.attached = true;
                return Ok(Arc::clone(&left.subgroup));
            }
        }
        if kept.subgroups.len() >= self.limits.group_subgroups {
            return Err(PushError::TooManySubgroups(self.limits.group_subgroups));
        }
        let last = kept.subgroups.iter_mut().filter(same);
        let last = last.filter_map(|written| written.last).max();
        let subgroup = Subgroup::new(options, first);
        kept.group.complete = false;
        kept.subgroups.push(Written {
            subgroup: Arc::clone(&subgroup),
            last,
            attached: true,
        });
        state.open += 1;
        state.settle_older(index);
        state.evict(&self.limits, &self.budget);
        state.give_up_oldest(self.limits.open_subgroups);
        drop(state);
        self.wake();
        Ok(subgroup)
    }

    /// Appends an object to an open subgroup and wakes the readers. Ids rise within a subgroup;
    /// one that came before is [`PushError::Duplicate`] or [`PushError::Conflict`].
    pub fn push_to(
        &self,
        writer: Writer,
        group: u64,
        subgroup: &Arc<Subgroup>,
        object: Object,
    ) -> Result<(), PushError> {
        let mut state = self.state.write();
        state.check(writer)?;
        let (index, written) = state.written(group, subgroup).ok_or(PushError::TooLate)?;
        if subgroup.end.get().is_some() {
            return Err(PushError::TooLate);
        }
        let kept = &state.groups[index];
        if kept.subgroups[written]
            .last
            .is_some_and(|last| object.id <= last)
        {
            return Err(kept.repeats(&object));
        }
        let placed = Placed {
            object,
            subgroup: Arc::clone(subgroup),
        };
        state.afford(placed.kept_bytes(), &self.budget)?;
        let (index, written) = state.written(group, subgroup).ok_or(PushError::TooLate)?;
        state.append(index, written, placed, &self.limits, &self.budget)?;
        // An older group may have stayed only because this one was empty.
        state.evict(&self.limits, &self.budget);
        drop(state);
        self.wake();
        Ok(())
    }

    /// Ends a subgroup as its publisher did.
    pub fn end_subgroup(&self, group: u64, subgroup: &Arc<Subgroup>, end: SubgroupEnd) {
        let mut state = self.state.write();
        if let Some((index, written)) = state.written(group, subgroup) {
            state.end_written(index, written, end);
            state.settle(index);
        }
        drop(state);
        self.wake();
    }

    /// Leaves a subgroup open, so that another source of the same track may go on with it.
    pub fn leave_subgroup(&self, group: u64, subgroup: &Arc<Subgroup>) {
        let mut state = self.state.write();
        if let Some((index, written)) = state.written(group, subgroup) {
            state.groups[index].subgroups[written].attached = false;
        }
    }

    /// Ends what was [left](Self::leave_subgroup) and nobody went on with, as far as it is older
    /// than `group`.
    pub fn end_left(&self, group: u64, end: SubgroupEnd) {
        let mut state = self.state.write();
        for index in 0..state.groups.len() {
            let kept = &state.groups[index];
            if kept.group.id >= group {
                break;
            }
            for written in 0..kept.subgroups.len() {
                let left = &state.groups[index].subgroups[written];
                if !left.attached && left.subgroup.end.get().is_none() {
                    state.end_written(index, written, end);
                }
            }
            state.settle(index);
        }
        drop(state);
        self.wake();
    }

    /// Ends the track: nothing can be added, readers finish what is there.
    pub fn end(&self) {
        let mut state = self.state.write();
        state.end_all();
        state.ended = true;
        drop(state);
        self.wake();
    }
}

impl Kept {
    fn new(id: u64) -> Self {
        Self {
            group: Group::new(id),
            subgroups: Vec::new(),
        }
    }

    /// What is wrong with an object that came before.
    fn repeats(&self, object: &Object) -> PushError {
        let mut known = self.group.objects.iter();
        match known.find(|known| known.id == object.id) {
            Some(known)
                if known.payload() == object.payload() && known.properties == object.properties =>
            {
                PushError::Duplicate
            }
            Some(_) => PushError::Conflict,
            // An id that was passed over: out of order, which a subgroup must not be.
            None => PushError::Conflict,
        }
    }
}

impl State {
    fn check(&self, writer: Writer) -> Result<(), PushError> {
        if self.ended {
            Err(PushError::Ended)
        } else if writer < self.writer {
            Err(PushError::Superseded)
        } else {
            Ok(())
        }
    }

    pub(super) fn find(&self, id: u64) -> Option<&Kept> {
        let mut newest_first = self.groups.iter().rev();
        newest_first
            .find(|kept| kept.group.id <= id)
            .filter(|kept| kept.group.id == id)
    }

    pub(super) fn object(&self, entry: Entry) -> Option<&Placed> {
        self.find(entry.group)?.group.objects.get(entry.index)
    }

    /// The index of group `id`, which is made when it is not there.
    fn place(&mut self, id: u64) -> Result<usize, PushError> {
        let newer = self.groups.iter().rev();
        let newer = newer.take_while(|kept| kept.group.id > id).count();
        let index = self.groups.len() - newer;
        let known = index.checked_sub(1);
        if let Some(known) = known.filter(|known| self.groups[*known].group.id == id) {
            return Ok(known);
        }
        if id < self.dropped {
            return Err(PushError::TooLate);
        }
        self.groups.insert(index, Kept::new(id));
        Ok(index)
    }

    /// Where a subgroup is: the index of its group, and its own in there.
    fn written(&self, group: u64, subgroup: &Arc<Subgroup>) -> Option<(usize, usize)> {
        let newer = self.groups.iter().rev();
        let newer = newer.take_while(|kept| kept.group.id > group).count();
        let index = (self.groups.len() - newer).checked_sub(1)?;
        let mut subgroups = self.groups[index].subgroups.iter();
        let written = subgroups.rposition(|written| Arc::ptr_eq(&written.subgroup, subgroup))?;
        Some((index, written))
    }

    /// Makes room for so many bytes in the budget of all rings, or says that there is none.
    fn afford(&mut self, bytes: usize, budget: &Budget) -> Result<(), PushError> {
        if !budget.exceeds(bytes) {
            return Ok(());
        }
        self.evict(&TRIMMED, budget);
        if budget.exceeds(bytes) && self.bytes + bytes > budget.share() {
            budget.hit();
            return Err(PushError::OverBudget(budget.limit() >> 20));
        }
        Ok(())
    }

    fn append(
        &mut self,
        index: usize,
        written: usize,
        placed: Placed,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<(), PushError> {
        let Kept { group, subgroups } = &mut self.groups[index];
        let bytes = placed.kept_bytes();
        if group.bytes + bytes > limits.group_bytes || group.objects.len() >= limits.group_objects {
            return Err(PushError::GroupTooLarge(
                limits.group_bytes,
                limits.group_objects,
            ));
        }
        self.log.push_back(Entry {
            group: group.id,
            index: group.objects.len(),
        });
        self.newest_us = placed.complete_us;
        subgroups[written].last = Some(placed.id);
        group.push(placed);
        self.bytes += bytes;
        self.objects += 1;
        budget.take(bytes);
        self.unpin(budget);
        Ok(())
    }

    fn end_written(&mut self, index: usize, written: usize, end: SubgroupEnd) {
        let position = self.first + self.log.len() as u64;
        let written = &mut self.groups[index].subgroups[written];
        written.attached = false;
        if written.subgroup.end.set((end, position)).is_ok() {
            self.open -= 1;
            self.ends += 1;
        }
    }

    /// Completes a group that has no open subgroup, if it is said to be over or a newer one began.
    fn settle(&mut self, index: usize) {
        let newest = index + 1 == self.groups.len();
        let kept = &mut self.groups[index];
        let mut subgroups = kept.subgroups.iter().map(|written| &written.subgroup);
        let open = subgroups.any(|subgroup| subgroup.end.get().is_none());
        let said = |subgroup: &Arc<Subgroup>| {
            let fin = matches!(subgroup.end.get(), Some((SubgroupEnd::Fin, _)));
            fin && subgroup.options.end_of_group
        };
        let over = !newest || kept.subgroups.iter().any(|written| said(&written.subgroup));
        if !open && over && !kept.group.complete {
            kept.group.complete = true;
            self.ends += 1;
        }
    }

    /// Completes what waited for the news that a newer group began.
    fn settle_older(&mut self, index: usize) {
        if let Some(older) = index.checked_sub(1) {
            self.settle(older);
        }
    }

    /// Ends the subgroups of the newest group: it is the whole of what its publisher sends.
    fn complete_newest(&mut self) {
        if let Some(newest) = self.groups.len().checked_sub(1) {
            self.complete(newest, SubgroupEnd::Fin);
        }
    }

    pub(super) fn complete(&mut self, index: usize, end: SubgroupEnd) {
        for written in 0..self.groups[index].subgroups.len() {
            self.end_written(index, written, end);
        }
        let group = &mut self.groups[index].group;
        if !group.complete {
            group.complete = true;
            self.ends += 1;
        }
    }

    /// Ends every group. What a publisher over MoQT left open is cut short, which a FIN would hide.
    fn end_all(&mut self) {
        for index in 0..self.groups.len() {
            let whole = |written: &Written| written.subgroup.options == SubgroupOptions::WHOLE;
            let end = match self.groups[index].subgroups.iter().all(whole) {
                true => SubgroupEnd::Fin,
                false => SubgroupEnd::Reset(CANCELLED),
            };
            self.complete(index, end);
        }
    }

    fn give_up_oldest(&mut self, limit: usize) {
        if self.open <= limit {
            return;
        }
        let open = |written: &Written| written.subgroup.end.get().is_none();
        let oldest = self.groups.iter().enumerate().find_map(|(index, kept)| {
            let written = kept.subgroups.iter().position(open)?;
            Some((index, written))
        });
        if let Some((index, written)) = oldest {
            self.end_written(index, written, SubgroupEnd::Reset(DELIVERY_TIMEOUT));
            self.settle(index);
        }
    }
}

/// CANCELLED and DELIVERY_TIMEOUT (draft 19, "Data Stream Reset Error Codes").
const CANCELLED: u64 = 0x1;
pub(super) const DELIVERY_TIMEOUT: u64 = 0x2;
