//! Finding out, after a crash, what the journal holds, and making it the durable state.
//!
//! 1. Only records of the superblock's epoch that continue its chain of digests are believed.
//! 2. A chain that ends before a commit that a later record calls durable is damage, not a torn tail.
//! 3. What was found is folded into a checkpoint of a new epoch before anything else is written, and
//!    what no sync is known to have covered is copied to fresh pages on the way.

use super::open::NUMBERS_END;
use super::{Store, space};
use crate::device::{BlockDevice, Io};
use crate::digest::Digest;
use crate::error::{Damage, Structure};
use crate::failure::Failure;
use crate::format::{RecordHeader, U64, record_kind};
use crate::ids::Sequence;
use crate::journal::{Journal, RingReader};
use crate::overlay::Overlay;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// What opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Recovery {
    /// Journal records replayed.
    pub records: u64,
    /// The last commit before replay and after it.
    pub from: Sequence,
    /// The last commit that was recovered.
    pub to: Sequence,
    /// The highest commit that is known to have been durable.
    pub watermark: Sequence,
    /// A record behind the last good one was torn, or its values were: it was never answered durable
    /// and is discarded.
    pub torn_tail: bool,
    /// With `salvage`: the place of the damage that recovery stopped at.
    pub damage: Option<Damage>,
}

impl Recovery {
    /// Says it to whoever listens on a target without a debugger: `defmt` and `log`, if asked for.
    pub(crate) fn tell(&self) {
        #[cfg(feature = "defmt")]
        defmt::debug!("opened: {}", self);
        #[cfg(feature = "log")]
        log::debug!("opened: {self:?}");
    }
}

/// Where a walk through the journal ended.
struct Walk {
    head: u64,
    chain: Digest,
    sequence: u64,
    watermark: u64,
    records: u64,
    last: Option<Last>,
}

/// What a walk has found.
struct Found {
    records: u64,
    watermark: u64,
    torn_tail: bool,
    damage: Option<Damage>,
}

/// Allocation as of the last record.
struct Last {
    pages: u64,
    cursor: u64,
    limit: u64,
    wrapped: bool,
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    pub(super) fn ring(&mut self) -> Result<RingReader<'_, Io<D>>, Failure> {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        Ok(RingReader::new(&mut self.io, &self.geometry, transfer, &mut self.ring_window))
    }

    /// Reads the header at a position of the journal; whether it is whole and was written for it.
    fn header_at(&mut self, position: u64, header: &mut RecordHeader) -> Result<bool, Failure> {
        self.ring()?.header_into(position, header)
    }

    /// Fills `into` from a position of the journal on.
    pub(super) fn read_journal(&mut self, at: u64, into: &mut [u8]) -> Result<(), Failure> {
        self.ring()?.read(at, into)
    }

    /// Whether `length` bytes from a position of the journal on have this digest.
    pub(super) fn journal_has(&mut self, at: u64, length: u64, digest: &[u8; 32]) -> Result<bool, Failure> {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        RingReader::new(&mut self.io, &self.geometry, transfer, &mut self.ring_window).has(at, length, digest)
    }

    /// Brings the overlay to the state of the last whole commit in the journal.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(super) fn replay(&mut self, salvage: bool, recovery: &mut Recovery) -> Result<(), Failure> {
        let mut found = Found { records: 0, watermark: 0, torn_tail: false, damage: None };
        self.find(salvage, &mut found)?;
        let mut end = self.start();
        self.take_in(&mut found, &mut end, salvage)?;
        self.adopt(&found, &end, recovery);
        Ok(())
    }

    /// Looks for the end of the journal, and at what lies behind it.
    fn find(&mut self, salvage: bool, found: &mut Found) -> Result<(), Failure> {
        let mut walk = self.start();
        self.walk(&mut walk)?;
        let witness = self.witness(&walk)?;
        if witness > walk.sequence {
            let offset = self.ring_offset(walk.head);
            if !salvage {
                return Err(self.io.damaged(Structure::Journal, offset));
            }
            found.damage = Some(Damage { what: Structure::Journal, offset });
        }
        found.torn_tail = found.damage.is_none() && self.is_torn(&walk)?;
        (found.records, found.watermark) = (walk.records, walk.watermark);
        Ok(())
    }

    /// Goes on where the journal ends.
    fn adopt(&mut self, found: &Found, end: &Walk, recovery: &mut Recovery) {
        let Found { torn_tail, damage, .. } = *found;
        let from = self.sequence;
        self.sequence = Sequence(end.sequence);
        self.durable = Sequence(found.watermark.min(end.sequence));
        self.journal = Journal::new(end.head, end.chain, &self.geometry);
        if let Some(last) = &end.last {
            self.pages = last.pages.max(self.pages);
            self.map.resume(last.cursor, last.limit, last.wrapped, self.pages, &self.geometry);
        }
        let (records, to, watermark) = (end.records, self.sequence, self.durable);
        *recovery = Recovery { records, from, to, watermark, torn_tail, damage };
        recovery.tell();
    }

    /// Puts what was found into the overlay, as far as it is whole.
    fn take_in(&mut self, found: &mut Found, end: &mut Walk, salvage: bool) -> Result<(), Failure> {
        let mut header = RecordHeader::new_zeroed();
        let mut compared = 0;
        while end.records < found.records {
            let Some(position) = self.next_record(end, &mut header)? else { break };
            // A seal has no operations, but it too says how long the file is.
            match self.replay_record(&header, position, found.watermark, &mut compared) {
                Ok(true) => {}
                Ok(false) => {
                    found.torn_tail = true;
                    break;
                }
                Err(Failure::Corrupted) if salvage => {
                    found.damage = self.io.damage();
                    break;
                }
                Err(failure) => return Err(failure),
            }
            end.take(&header, position);
        }
        Ok(())
    }

    fn start(&self) -> Walk {
        Walk {
            head: self.superblock.journal_position.get(),
            chain: Digest(self.superblock.chain),
            sequence: self.superblock.sequence.get(),
            watermark: self.superblock.sequence.get(),
            records: 0,
            last: None,
        }
    }

    /// Where the journal may reach to.
    fn ring_end(&self) -> u64 {
        self.tail() + self.geometry.journal_length()
    }

    /// Whether a record is of this file and of the superblock's epoch.
    fn is_ours(&self, header: &RecordHeader) -> bool {
        header.file_id == self.superblock.file_id && header.epoch == self.superblock.epoch
    }

    pub(super) fn ring_offset(&self, position: u64) -> u64 {
        self.geometry.ring_offset(position)
    }

    /// Follows the chain of whole records from where a walk begins.
    fn walk(&mut self, walk: &mut Walk) -> Result<(), Failure> {
        let mut header = RecordHeader::new_zeroed();
        while let Some(position) = self.next_record(walk, &mut header)? {
            let meta_at = position + RecordHeader::SIZE as u64;
            let meta = u64::from(header.meta_length.get());
            if !self.journal_has(meta_at, meta, &header.meta_digest)? {
                break;
            }
            walk.take(&header, position);
        }
        Ok(())
    }

    /// Reads the header of the record that follows; its place, if it is whole and continues the chain.
    fn next_record(&mut self, walk: &Walk, header: &mut RecordHeader) -> Result<Option<u64>, Failure> {
        let end = self.ring_end();
        let places = [walk.head.next_multiple_of(8), self.geometry.unit_up(walk.head)];
        for position in places {
            if position + RecordHeader::SIZE as u64 > end {
                continue;
            }
            let whole = self.header_at(position, header)?;
            let follows = |header: &RecordHeader| {
                let first =
                    if header.kind.get() == record_kind::SEAL { walk.sequence } else { walk.sequence + 1 };
                matches!(header.kind.get(), record_kind::COMMIT | record_kind::SEAL)
                    && self.is_ours(header)
                    && header.previous == walk.chain.0
                    && header.first_sequence.get() == first
                    && (first..NUMBERS_END).contains(&header.sequence.get())
                    && header.watermark.get() <= header.sequence.get()
                    && position + header.record_length() <= end
                    && header.pages.get() <= self.geometry.max_pages()
                    && header.cursor.get() <= header.pages.get()
                    && header.limit.get() <= header.pages.get()
            };
            if whole && follows(header) {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// The highest watermark that any later record of this epoch carries: proof that commits up to it
    /// were durable, even if the chain breaks before them.
    fn witness(&mut self, walk: &Walk) -> Result<u64, Failure> {
        let unit = self.geometry.unit() as u64;
        let end = self.ring_end();
        let mut position = self.geometry.unit_up(walk.head);
        let mut highest = 0;
        let mut header = RecordHeader::new_zeroed();
        while position + unit <= end {
            let whole = self.header_at(position, &mut header)?;
            if whole && self.is_ours(&header) && header.sequence.get() > walk.sequence {
                highest = highest.max(header.watermark.get());
            }
            position += unit;
        }
        Ok(highest)
    }

    /// Whether something was begun behind the last whole record. Of what says so one part may be
    /// damaged: else a flipped bit in the magic of the last commit would lose it without a word.
    fn is_torn(&mut self, walk: &Walk) -> Result<bool, Failure> {
        let end = self.ring_end();
        let mut header = RecordHeader::new_zeroed();
        for position in [walk.head.next_multiple_of(8), self.geometry.unit_up(walk.head)] {
            if position + RecordHeader::SIZE as u64 > end {
                continue;
            }
            self.read_journal(position, header.as_mut_bytes())?;
            let ours = header.epoch == self.superblock.epoch;
            let here =
                u32::from(header.position.get() == position) + u32::from(header.previous == walk.chain.0);
            let signs = here
                + u32::from(ours)
                + u32::from(header.magic == RecordHeader::MAGIC)
                + u32::from(header.file_id == self.superblock.file_id);
            // A whole record of an earlier epoch was discarded before.
            let begun = here > 0 && signs >= 3 && (ours || !header.is_valid());
            if begun {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the recovered state durable under a new epoch, whatever the medium holds of it: if there is something to
    /// fold in, by the checkpoint that it begins.
    pub(super) fn settle_recovery(&mut self, recovery: &Recovery) -> Result<(), Failure> {
        // The newest superblock could be read; that does not mean that the medium has it.
        if !self.io.reads_come_from_medium() {
            self.assert_superblock()?;
        }
        if self.active.entries > 0 {
            let watermark = if self.io.reads_come_from_medium() { recovery.to } else { recovery.watermark };
            self.begin_checkpoint(watermark);
            return Ok(());
        }
        self.raise_epoch()
    }

    /// Writes the newest superblock again, a copy at a time.
    fn assert_superblock(&mut self) -> Result<(), Failure> {
        self.compose_superblock()?;
        for copy in [0, 1] {
            self.write_superblock(&[copy])?;
            self.io.sync()?;
        }
        Ok(())
    }

    /// Begins a new epoch in a file whose journal holds nothing to fold in.
    fn raise_epoch(&mut self) -> Result<(), Failure> {
        let (head, chain) = (self.journal.head, self.journal.chain);
        let next = self.compose_superblock()?;
        next.generation = U64::new(next.generation.get() + 1);
        next.epoch = U64::new(next.epoch.get() + 1);
        next.journal_position = U64::new(head);
        next.chain = chain.0;
        self.write_superblock(&[0, 1])?;
        self.io.sync()?;
        self.adopt_superblock();
        Ok(())
    }
}

impl Walk {
    fn take(&mut self, header: &RecordHeader, position: u64) {
        self.head = position + header.record_length();
        self.chain = Digest(header.digest);
        self.sequence = header.sequence.get();
        self.watermark = self.watermark.max(header.watermark.get());
        self.records += 1;
        let (pages, cursor, limit) = (header.pages.get(), header.cursor.get(), header.limit.get());
        self.last = Some(Last { pages, cursor, limit, wrapped: header.wrapped.get() == 1 });
    }
}
