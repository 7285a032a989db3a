//! The few things that JavaScript holds by a number: a list is smaller code than a tree, and as quick.

/// Things by their numbers.
#[derive(Debug)]
pub(super) struct Numbered<T>(Vec<(u32, T)>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Numbered<T> {
    fn place(&self, number: u32) -> Option<usize> {
        // What was made last is asked for most.
        self.0.iter().rposition(|(other, _)| *other == number)
    }

    pub(super) fn insert(&mut self, number: u32, thing: T) {
        self.0.push((number, thing));
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let place = self.place(number)?;
        self.0.get(place).map(|(_, thing)| thing)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let place = self.place(number)?;
        self.0.get_mut(place).map(|(_, thing)| thing)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        self.place(number).map(|place| self.0.remove(place).1)
    }
}
