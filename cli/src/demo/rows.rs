//! The records of the demo: five thousand people, the same on every machine.
//!
//! Invariants
//! 1. The same seed gives the same records and the same updates, byte for byte.
//! 2. An encoded row is 100 to 250 bytes long.
//! 3. What an engine is asked to keep is the encoded row (SQLite: its columns), and what it gives
//!    back is compared with it.

use std::rc::Rc;

/// Given names, first and second.
const GIVEN: [&str; 24] = [
    "Alessandra",
    "Benedikt",
    "Charlotte",
    "Dimitrios",
    "Eleanor",
    "Fernando",
    "Gabriela",
    "Hyacinth",
    "Ingeborg",
    "Jonathan",
    "Katarina",
    "Leopold",
    "Magdalena",
    "Nathaniel",
    "Ottoline",
    "Philippa",
    "Quentin",
    "Rosalind",
    "Sebastian",
    "Theodora",
    "Ulrike",
    "Valentina",
    "Wilhelmina",
    "Zachary",
];
/// Family names.
const FAMILY: [&str; 20] = [
    "Abernathy",
    "Bergström",
    "Castellanos",
    "Delacroix",
    "Eriksen",
    "Featherstone",
    "Grünwald",
    "Hawthorne",
    "Iwanowska",
    "Jefferson",
    "Kowalczyk",
    "Lindqvist",
    "Montgomery",
    "Nakamura",
    "O'Sullivan",
    "Papadopoulos",
    "Rosenberg",
    "Szymanski",
    "Thompson",
    "Whitfield",
];
/// Where they work.
const DEPARTMENT: [&str; 6] = ["accounting", "engineering", "logistics", "marketing", "research", "sales"];
/// For whom they work.
const COMPANY: [&str; 4] =
    ["northwind-traders", "contoso-manufacturing", "harbour-freight-lines", "fabrikam-instruments"];

/// Bytes before the texts of an encoded row: id, age, salary and the lengths of name, email and
/// created.
const HEADER: usize = 4 + 1 + 4 + 3;

/// A small generator (SplitMix64, Steele et al. 2014): the demo needs repeatable rows, not good
/// randomness.
pub(crate) struct Random(u64);

impl Random {
    /// A generator that gives the same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit` (`limit` is at least 1).
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        let scaled = (self.next() >> 32) * u64::from(limit);
        (scaled >> 32) as u32
    }

    /// One of the words.
    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u32) as usize]
    }
}

/// One record, with the two forms in which the engines take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its number, from 0.
    pub(crate) id: u32,
    /// Full name.
    pub(crate) name: String,
    /// Mail address.
    pub(crate) email: String,
    /// Years, 18 to 67.
    pub(crate) age: u8,
    /// Yearly salary in cents.
    pub(crate) salary: u32,
    /// When the record was made, RFC 3339.
    pub(crate) created: String,
    /// Name of its block, and of its file in the directory.
    pub(crate) key: String,
    /// The encoded row.
    pub(crate) bytes: Vec<u8>,
}

impl Row {
    /// Invents the record `id`.
    fn invent(id: u32, random: &mut Random) -> Self {
        let (first, second, family) = (random.pick(&GIVEN), random.pick(&GIVEN), random.pick(&FAMILY));
        let (department, company) = (random.pick(&DEPARTMENT), random.pick(&COMPANY));
        let mailbox: String = format!("{first}.{second}.{family}").to_lowercase().replace('\'', "");
        let mut row = Self {
            id,
            name: format!("{first} {second} {family}"),
            email: format!("{mailbox}.{id:05}@{department}.{company}.example"),
            age: 18 + random.below(50) as u8,
            salary: 2_400_000 + random.below(12_000_000),
            created: format!(
                "20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                10 + random.below(15),
                1 + random.below(12),
                1 + random.below(28),
                random.below(24),
                random.below(60),
                random.below(60),
                random.below(1000)
            ),
            key: format!("record/{id:06}"),
            bytes: Vec::new(),
        };
        row.bytes = row.encode();
        row
    }

    /// The same person after a birthday and a new contract.
    fn changed(&self, random: &mut Random) -> Self {
        let mut row = self.clone();
        row.age = 18 + random.below(50) as u8;
        row.salary = 2_400_000 + random.below(12_000_000);
        row.bytes = row.encode();
        row
    }

    /// id u32 · age u8 · salary u32 · three lengths u8 · name · email · created; integers
    /// little-endian.
    fn encode(&self) -> Vec<u8> {
        encode(self.id, self.age, self.salary, [&self.name, &self.email, &self.created])
    }
}

/// Encodes a row from its columns. Texts are at most 255 bytes each, which [`Row::invent`] keeps.
pub(crate) fn encode(id: u32, age: u8, salary: u32, texts: [&str; 3]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + texts.iter().map(|text| text.len()).sum::<usize>());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.push(age);
    bytes.extend_from_slice(&salary.to_le_bytes());
    bytes.extend(texts.iter().map(|text| text.len() as u8));
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// An encoded row, read where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowRef<'a> {
    /// Years.
    pub(crate) age: u8,
    /// Yearly salary in cents.
    pub(crate) salary: u32,
    /// Name, email and created, one after the other.
    pub(crate) texts: &'a [u8],
}

impl<'a> RowRef<'a> {
    /// Reads a row; `None` if the bytes are not one.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, texts) = bytes.split_first_chunk::<HEADER>()?;
        let [_, _, _, _, age, s0, s1, s2, s3, name, email, created] = *header;
        let expected = usize::from(name) + usize::from(email) + usize::from(created);
        (texts.len() == expected).then_some(Self { age, salary: u32::from_le_bytes([s0, s1, s2, s3]), texts })
    }
}

/// What `select … where age > N` found. Three numbers that only the right rows, read to their end,
/// can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Rows that matched.
    pub(crate) rows: u64,
    /// Sum of their salaries in cents.
    pub(crate) salaries: u64,
    /// Bytes of their names, mail addresses and dates.
    pub(crate) text: u64,
}

impl Selection {
    /// Adds one matching row.
    pub(crate) fn add(&mut self, salary: u32, text: usize) {
        self.rows += 1;
        self.salaries += u64::from(salary);
        self.text += text as u64;
    }

    /// Adds the encoded row if its age is above `age`; `false` if the bytes are not a row.
    pub(crate) fn visit(&mut self, bytes: &[u8], age: u8) -> bool {
        let Some(row) = RowRef::parse(bytes) else { return false };
        if row.age > age {
            self.add(row.salary, row.texts.len());
        }
        true
    }
}

/// What an engine must hold: the model every engine is verified against.
#[derive(Clone)]
pub(crate) struct Model {
    rows: Vec<Rc<Row>>,
}

impl Model {
    /// `count` records from `seed`.
    pub(crate) fn generate(seed: u64, count: u32) -> Self {
        let mut random = Random::new(seed);
        Self { rows: (0..count).map(|id| Rc::new(Row::invent(id, &mut random))).collect() }
    }

    /// All records, by id.
    pub(crate) fn rows(&self) -> &[Rc<Row>] {
        &self.rows
    }

    /// `count` random updates. A record may be hit more than once; the last one counts.
    pub(crate) fn invent_updates(&self, seed: u64, count: u32) -> Vec<Rc<Row>> {
        let mut random = Random::new(seed);
        let size = self.rows.len() as u32;
        (0..count)
            .map(|_| {
                let row = &self.rows[random.below(size) as usize];
                Rc::new(row.changed(&mut random))
            })
            .collect()
    }

    /// Takes the updates over.
    pub(crate) fn apply(&mut self, updates: &[Rc<Row>]) {
        for row in updates {
            self.rows[row.id as usize] = Rc::clone(row);
        }
    }

    /// What a select must find.
    pub(crate) fn select(&self, age: u8) -> Selection {
        let mut found = Selection::default();
        for row in self.rows.iter().filter(|row| row.age > age) {
            found.add(row.salary, row.name.len() + row.email.len() + row.created.len());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        let (a, b) = (Model::generate(7, 100), Model::generate(7, 100));
        assert_eq!(a.rows, b.rows);
        assert_eq!(a.invent_updates(3, 50), b.invent_updates(3, 50));
        assert_ne!(a.rows, Model::generate(8, 100).rows);
    }

    #[test]
    fn rows_are_100_to_250_bytes_and_parse() {
        for row in Model::generate(1, 20_000).rows() {
            assert!((100..=250).contains(&row.bytes.len()), "{} bytes: {row:?}", row.bytes.len());
            let parsed = RowRef::parse(&row.bytes).expect("a row parses");
            assert_eq!((parsed.age, parsed.salary), (row.age, row.salary));
            assert_eq!(parsed.texts, format!("{}{}{}", row.name, row.email, row.created).as_bytes());
        }
    }

    #[test]
    fn what_is_not_a_row_is_told() {
        let model = Model::generate(1, 1);
        let bytes = &model.rows()[0].bytes;
        assert_eq!(RowRef::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(RowRef::parse(&bytes[..5]), None);
        assert!(!Selection::default().visit(&[], 30));
    }

    #[test]
    fn updates_change_the_model_and_the_selection_follows() {
        let mut model = Model::generate(1, 300);
        let before = model.select(30);
        let updates = model.invent_updates(2, 100);
        model.apply(&updates);
        assert_ne!(before, model.select(30));
        let mut visited = Selection::default();
        assert!(model.rows().iter().all(|row| visited.visit(&row.bytes, 30)));
        assert_eq!(visited, model.select(30));
        assert_eq!(model.select(200), Selection::default());
    }
}
