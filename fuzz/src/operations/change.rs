//! Operations that change the store.

use super::world::{Block, Model, Staged, World};
use crate::input::Input;
use crate::setup::{TestBatch, WriteError, batch, pattern};
use blockyard_core::batch::BatchError;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Progress;
use blockyard_core::{Digest, Durability, PageIndex, Sequence};
use std::rc::Rc;

/// A put with its tag and bytes, or a deletion.
struct Change {
    name: Vec<u8>,
    value: Option<(u64, Rc<[u8]>)>,
}

/// What the batches of `plan` make of `model` when the store has come to commit `last`.
fn applied(mut model: Model, plan: &[Vec<Change>], last: Sequence) -> Model {
    for (changes, sequence) in plan.iter().zip(last.0 + 1..) {
        for Change { name, value } in changes {
            match value {
                Some((tag, bytes)) => {
                    let block = Block { tag: *tag, sequence, bytes: Rc::clone(bytes) };
                    model.insert(name.clone(), block);
                }
                None => drop(model.remove(name)),
            }
        }
    }
    model
}

impl<O: Overlay + Default> World<O> {
    /// Commits; if the group was admitted, the model is `after`.
    fn commit(&mut self, group: &mut [TestBatch], durability: Durability, after: Model) -> bool {
        let before = self.store.sequence();
        let operations: usize = group.iter().map(TestBatch::len).sum();
        let result = self.store.commit(group, durability);
        let Some(last) = self.admitted(result, before) else { return false };
        let commits = if operations > 0 { group.len() as u64 } else { 0 };
        assert_eq!(last.0, before.0 + commits);
        self.answered(last, durability);
        self.model = after;
        true
    }

    fn answered(&self, last: Sequence, durability: Durability) {
        assert_eq!(self.store.sequence(), last);
        if durability == Durability::Durable {
            assert_eq!(self.store.durable_sequence(), last);
        }
    }

    pub(super) fn put(&mut self, input: &mut Input<'_>) {
        let (name, durability) = (self.name(input), Self::durability(input));
        let length = self.length(input, self.chunk_size());
        let value = (input.number(), Rc::from(pattern(u64::from(input.byte()), length)));
        let mut one = batch(self.store.geometry());
        one.put(&name, &value.1, value.0).expect("it fits");
        let plan = [vec![Change { name, value: Some(value) }]];
        let after = applied(self.model.clone(), &plan, self.store.sequence());
        self.commit(&mut [one], durability, after);
        self.compare_one(&plan[0][0].name);
    }

    /// Several batches of several changes. Refused, they are as they were, and so is the store.
    pub(super) fn group(&mut self, input: &mut Input<'_>) {
        let (batches, operations) = (1 + input.below(3), 1 + input.below(14));
        let durability = Self::durability(input);
        let (mut plan, mut group) = (Vec::new(), Vec::new());
        for _ in 0..batches {
            let changes: Vec<_> = (0..operations).map(|_| self.draw_change(input)).collect();
            let mut many = batch(self.store.geometry());
            for Change { name, value } in &changes {
                match value {
                    Some((tag, bytes)) => many.put(name, bytes, *tag),
                    None => many.delete(name),
                }
                .expect("it fits");
            }
            assert_eq!(many.len(), operations);
            plan.push(changes);
            group.push(many);
        }
        let after = applied(self.model.clone(), &plan, self.store.sequence());
        if !self.commit(&mut group, durability, after) && self.staged.is_none() {
            self.compare();
            self.delete_all();
            let after = applied(Model::new(), &plan, self.store.sequence());
            self.commit(&mut group, durability, after);
        }
        plan.iter().flatten().for_each(|change| self.compare_one(&change.name));
        for many in &mut group {
            many.clear();
            assert!(many.is_empty() && many.bytes() == 0);
        }
        // Empty batches take no number.
        let model = self.model.clone();
        assert!(self.commit(&mut group, durability, model), "nothing always fits");
    }

    fn draw_change(&self, input: &mut Input<'_>) -> Change {
        let name = self.name(input);
        let value = (input.byte() % 4 != 3).then(|| {
            let length = self.length(input, self.chunk_size());
            (input.number(), pattern(u64::from(input.byte()), length).into())
        });
        Change { name, value }
    }

    pub(super) fn delete(&mut self, input: &mut Input<'_>) {
        let (name, durability) = (self.name(input), Self::durability(input));
        self.delete_one(&name, durability);
        self.compare_one(&name);
    }

    fn delete_one(&mut self, name: &[u8], durability: Durability) {
        let mut one = batch(self.store.geometry());
        one.delete(name).expect("it fits");
        let mut after = self.model.clone();
        after.remove(name);
        let admitted = self.commit(&mut [one], durability, after);
        assert!(admitted || self.staged.is_some(), "a deletion is always possible");
    }

    pub(super) fn delete_all(&mut self) {
        while let Some(name) = self.model.keys().next().cloned() {
            self.delete_one(&name, Durability::Buffered);
        }
    }

    pub(super) fn rename(&mut self, input: &mut Input<'_>) {
        let (from, to, durability) = (self.name(input), self.name(input), Self::durability(input));
        let before = self.store.sequence();
        let mut scratch = batch(self.store.geometry());
        let result = self.store.rename(&from, &to, &mut scratch, durability);
        let Some(block) = self.model.get(&from).cloned() else {
            assert_eq!(result, Err(WriteError::NotFound));
            return;
        };
        if let Some(last) = self.admitted(result, before) {
            let renamed = from != to;
            assert_eq!(last.0, before.0 + u64::from(renamed));
            self.answered(last, durability);
            if renamed {
                self.model.remove(&from);
                self.model.insert(to.clone(), Block { sequence: last.0, ..block });
            }
        }
        self.compare_one(&from);
        self.compare_one(&to);
    }

    /// A block of any length through a writer, in pieces.
    pub(super) fn stream(&mut self, input: &mut Input<'_>) {
        let (name, durability, tag) = (self.name(input), Self::durability(input), input.number());
        let size = self.chunk_size() / (1 + input.below(self.setup.chunk_pages as usize));
        let page = self.setup.page_size as usize;
        let mut chunk = vec![0; (size / page).max(1) * page];
        let length = self.length(input, 5 * chunk.len());
        let bytes = pattern(u64::from(input.byte()), length);
        let piece = 1 + input.below(3000);
        let before = self.store.sequence();
        let mut scratch = batch(self.store.geometry());
        let mut writer = self.store.writer::<8>(&name, tag, &mut chunk).expect("a writer");
        let written = if piece.is_multiple_of(2) {
            bytes.chunks(piece).try_for_each(|piece| writer.write(piece))
        } else {
            bytes.chunks(piece).try_for_each(|piece| {
                embedded_io::Write::write_all(&mut writer, piece).map_err(|error| error.0)
            })
        };
        let result = written.and_then(|()| writer.finish(&mut scratch, durability));
        if let Some(last) = self.admitted(result, before) {
            assert_eq!(last.0, before.0 + 1);
            self.answered(last, durability);
            self.model.insert(name.clone(), Block { tag, sequence: last.0, bytes: bytes.into() });
        }
        self.compare_one(&name);
    }

    /// A writer that is dropped leaves nothing behind.
    pub(super) fn give_up(&mut self, input: &mut Input<'_>) {
        let name = self.name(input);
        let bytes = pattern(1, self.length(input, 4 * self.chunk_size()));
        let before = self.store.sequence();
        let mut chunk = vec![0; self.chunk_size()];
        let mut writer = self.store.writer::<3>(&name, 0, &mut chunk).expect("a writer");
        let result = writer.write(&bytes);
        drop(writer);
        self.admitted(result, before);
        self.compare_one(&name);
    }

    /// One more chunk of a block that is committed later, perhaps; other work comes between.
    pub(super) fn stage(&mut self, input: &mut Input<'_>) {
        if self.staged.is_none() {
            self.store.begin_staged();
            self.staged = Some(Staged::default());
        }
        let size = self.chunk_size();
        let bytes = pattern(u64::from(input.byte()), size);
        let last = input.byte().is_multiple_of(4);
        let bytes = &bytes[..if last { 1 + input.below(size) } else { size }];
        let before = self.store.sequence();
        let result = self.store.write_chunk(bytes, Digest::of(bytes));
        let Some(staged) = self.admitted(result, before) else { return };
        let Some(list) = &mut self.staged else { return };
        assert_eq!(staged.digest, Digest::of(bytes));
        // A short chunk can only be the last of a list: behind one a new list begins.
        if !list.bytes.len().is_multiple_of(size) || list.chunks.len() > 6 {
            *list = Staged::default();
        }
        list.chunks.push(staged.to_ref());
        list.bytes.extend(bytes);
    }

    pub(super) fn commit_staged(&mut self, input: &mut Input<'_>) {
        let (name, durability, tag) = (self.name(input), Self::durability(input), input.number());
        let Some(list) = self.staged.as_mut().map(std::mem::take) else { return };
        let size = self.store.geometry().chunk_size();
        let length = list.bytes.len() as u64;
        let mut one = batch(self.store.geometry());
        match list.chunks.as_slice() {
            [] => return self.end_staged(),
            [only] => one.put_extent(&name, length, tag, Digest(only.digest), PageIndex(only.page.get())),
            chunks => one.put_chunks(&name, length, tag, size, chunks),
        }
        .expect("it fits");
        let plan = [vec![Change { name, value: Some((tag, list.bytes.into())) }]];
        let after = applied(self.model.clone(), &plan, self.store.sequence());
        self.commit(&mut [one], durability, after);
        self.end_staged();
        self.compare_one(&plan[0][0].name);
    }

    pub(super) fn end_staged(&mut self) {
        if self.staged.take().is_some() {
            self.store.end_staged();
        }
    }

    pub(super) fn checkpoint_steps(&mut self, input: &mut Input<'_>) {
        for _ in 0..=input.byte() % 4 {
            let pending = self.store.pending();
            match self.store.checkpoint_step() {
                Ok(Progress::Idle) => assert_eq!(pending, 0),
                Ok(Progress::Working) => assert!(self.store.wants_checkpoint()),
                Ok(Progress::Done) => {}
                Err(error) => panic!("a checkpoint is always possible: {error}"),
            }
        }
    }

    pub(super) fn checkpoint(&mut self) {
        self.store.checkpoint().expect("a checkpoint is always possible");
        assert_eq!(self.store.pending(), 0);
        assert_eq!(self.store.durable_sequence(), self.store.sequence());
        if self.staged.is_none() {
            self.verify(true);
        }
    }

    pub(super) fn sync_or_seal(&mut self, input: &mut Input<'_>) {
        if input.byte().is_multiple_of(2) {
            assert_eq!(self.store.sync(), Ok(self.store.sequence()));
            assert_eq!(self.store.durable_sequence(), self.store.sequence());
        }
        self.store.seal().expect("nothing fails");
    }

    /// What cannot be is told by its own error, and changes nothing.
    pub(super) fn refusals(&mut self, input: &mut Input<'_>) {
        let (max, chunk) = (self.store.geometry().max_name(), self.chunk_size());
        let before = self.store.sequence();
        let long = vec![b'l'; max + 1 + usize::from(input.byte())];
        let mut one = batch(self.store.geometry());
        let too_long = BatchError::NameTooLong { length: long.len(), max };
        assert_eq!(one.put(b"", b"value", 0), Err(BatchError::NameEmpty));
        assert_eq!(one.delete(&long), Err(too_long));
        assert_eq!(one.put(&long, b"value", 0), Err(too_long));
        let (length, most) = (chunk as u64 + 1, chunk as u64);
        assert_eq!(
            one.put(b"v", &vec![0; chunk + 1], 0),
            Err(BatchError::ValueTooLarge { length, max: most })
        );
        assert!(one.is_empty() && one.bytes() == 0);
        let name_too_long = WriteError::NameTooLong { length: long.len(), max };
        let mut scratch = batch(self.store.geometry());
        assert_eq!(
            self.store.rename(b"a", b"", &mut scratch, Durability::Durable),
            Err(WriteError::NameEmpty)
        );
        assert_eq!(self.store.rename(b"a", &long, &mut scratch, Durability::Durable), Err(name_too_long));
        let mut buffer = vec![0; chunk];
        assert_eq!(self.store.writer::<1>(b"", 0, &mut buffer).map(drop), Err(WriteError::NameEmpty));
        assert_eq!(self.store.writer::<1>(&long, 0, &mut buffer).map(drop), Err(name_too_long));
        assert_eq!(
            self.store.writer::<1>(b"w", 0, &mut buffer[1..]).map(drop),
            Err(WriteError::WorkspaceTooSmall)
        );
        let digest = Digest::of(b"");
        assert_eq!(self.store.write_chunk(b"", digest), Err(WriteError::BatchTooLarge));
        assert_eq!(self.store.write_chunk(&vec![0; chunk + 1], digest), Err(WriteError::BatchTooLarge));
        assert_eq!(self.store.sequence(), before);
        let within = self.store.overlay().max_name();
        if within < max {
            let name = vec![b'n'; within + 1];
            let mut one = batch(self.store.geometry());
            one.put(&name, b"", 0).expect("it fits");
            let too_long = WriteError::NameTooLong { length: within + 1, max: within };
            assert_eq!(self.store.commit(&mut [one], Durability::Buffered), Err(too_long));
        }
    }
}
