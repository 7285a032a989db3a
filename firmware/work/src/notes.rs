//! What the campaign remembers from one life to the next, in RAM that no reset clears.

/// Numbers that outlive a reset. Any words are some notes; those of another
/// program are told by [`is_ours`](Self::is_ours).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    magic: u32,
    /// Which job: its number in [`JOBS`](crate::job::JOBS).
    pub job: u32,
    /// The operation that this round cuts first.
    pub ordinal: u32,
    /// Cuts of this round so far.
    pub depth: u32,
    /// The last commit that was answered durable.
    pub answered: u32,
    /// The last commit that was begun.
    pub begun: u32,
    /// Resets, commits answered, operations of the device, and checks of all content, of all rounds.
    pub resets: u32,
    /// Commits answered in all rounds.
    pub commits: u32,
    /// Times that all content was compared.
    pub checks: u32,
    /// Times that a commit was there after a cut although nobody had been told so.
    pub unanswered: u32,
    /// Of all rounds, the most cuts before one came to its end.
    pub deepest: u32,
}

impl Notes {
    const MAGIC: u32 = 0x0b10_c4a2;

    /// Notes of a campaign that begins.
    #[must_use]
    pub fn new() -> Self {
        Self { magic: Self::MAGIC, ordinal: 1, ..Self::default() }
    }

    /// Whether a campaign left them.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.magic == Self::MAGIC
    }

    /// As words, to be kept where no reset clears them.
    #[must_use]
    pub const fn to_words(self) -> [u32; 16] {
        let Self {
            magic,
            job,
            ordinal,
            depth,
            answered,
            begun,
            resets,
            commits,
            checks,
            unanswered,
            deepest,
        } = self;
        [
            magic, job, ordinal, depth, answered, begun, resets, commits, checks, unanswered, deepest, 0, 0,
            0, 0, 0,
        ]
    }

    /// From words.
    #[must_use]
    pub const fn from_words(words: [u32; 16]) -> Self {
        let [magic, job, ordinal, depth, answered, begun, resets, commits, checks, unanswered, deepest, ..] =
            words;
        Self { magic, job, ordinal, depth, answered, begun, resets, commits, checks, unanswered, deepest }
    }

    /// Another job begins.
    pub fn next_job(&mut self) {
        *self = Self { job: self.job + 1, ordinal: 1, depth: 0, answered: 0, begun: 0, ..*self };
    }

    /// Another operation is cut, so many behind the last one, on an empty device.
    pub fn next_round(&mut self, stride: u32) {
        self.deepest = self.deepest.max(self.depth);
        *self = Self { ordinal: self.ordinal + stride.max(1), depth: 0, answered: 0, begun: 0, ..*self };
    }
}
