//! A list that grows by chunks of `N` and never moves what it holds.
//!
//! A `Vec` that doubles holds room for three times its contents while it grows, and copies all of them: for the hashes of a
//! full 64 GiB launch that is more than a gigabyte, and a pause. Here only the list of chunks doubles, which is smaller by a
//! factor of hundreds.
//!
//! **Invariant:** every chunk but the last is full, and no element is ever moved, changed or removed.

/// A list of `T` in chunks of `N`.
pub(super) struct Chunked<T, const N: usize> {
    /// Each allocated for exactly `N` elements.
    chunks: Vec<Vec<T>>,
}

impl<T: Copy, const N: usize> Chunked<T, N> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(super) fn len(&self) -> u64 {
        match self.chunks.split_last() {
            Some((last, full)) => (full.len() * N + last.len()) as u64,
            None => 0,
        }
    }

    pub(super) fn get(&self, index: u64) -> Option<T> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get(index / N)?.get(index % N).copied()
    }

    pub(super) fn push(&mut self, value: T) {
        self.extend_from_slice(&[value]);
    }

    pub(super) fn extend_from_slice(&mut self, mut values: &[T]) {
        if let Some(last) = self.chunks.last_mut() {
            let (fit, rest) = values.split_at(values.len().min(N - last.len()));
            last.extend_from_slice(fit);
            values = rest;
        }
        for values in values.chunks(N) {
            let mut chunk = Vec::with_capacity(N);
            chunk.extend_from_slice(values);
            self.chunks.push(chunk);
        }
    }

    /// How many elements, from the first on, satisfy `holds`; behind the first that does not, none may.
    pub(super) fn partition_point(&self, holds: impl Fn(&T) -> bool) -> u64 {
        let before = self
            .chunks
            .partition_point(|chunk| chunk.first().is_some_and(&holds))
            .saturating_sub(1);
        let inside = self
            .chunks
            .get(before)
            .map_or(0, |chunk| chunk.partition_point(&holds));
        (before * N + inside) as u64
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Vec<T>>() + self.chunks.len() * N * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::Chunked;

    fn counting_to(n: u32) -> Chunked<u32, 4> {
        let mut list = Chunked::new();
        list.extend_from_slice(&(0..n).collect::<Vec<_>>());
        list
    }

    #[test]
    fn holds_what_was_pushed_whatever_the_pieces() {
        for piece in 1..=9 {
            let mut list = Chunked::<u32, 4>::new();
            for values in (0..30).collect::<Vec<u32>>().chunks(piece) {
                list.extend_from_slice(values);
            }
            list.push(30);
            assert_eq!(list.len(), 31);
            assert!(
                (0..31).all(|i| list.get(u64::from(i)) == Some(i)),
                "pieces of {piece}"
            );
            assert_eq!(list.get(31), None);
        }
    }

    #[test]
    fn partitions_at_every_place_of_lists_of_every_length() {
        for len in 0..=13 {
            let list = counting_to(len);
            for at in 0..=len {
                assert_eq!(
                    list.partition_point(|value| *value < at),
                    u64::from(at),
                    "{at} of {len}"
                );
            }
        }
    }

    #[test]
    fn no_element_moves_when_the_list_grows() {
        let mut list = counting_to(1);
        let first = list.chunks[0].as_ptr();
        list.extend_from_slice(&[7; 1000]);
        assert_eq!(list.chunks[0].as_ptr(), first);
    }
}
